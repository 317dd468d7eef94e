//! The idempotency key of a request, and the hash by which a repetition is told from another request.

use http::HeaderMap;
use osapi_core::api::header::{IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_MAX};
use osapi_core::id::Digest;

use crate::failure::Failure;
use crate::params;

/// The key, if there is one.
///
/// # Errors
/// When it is empty, too long, holds other than visible ASCII, or is given more than once.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut fields = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    let refuse = |bound: &str, value: &str| Err(Failure::header(IDEMPOTENCY_KEY, bound, value));
    if fields.next().is_some() {
        return refuse("given once", "given again");
    }
    let bound = format!("1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters");
    match field.as_bytes() {
        [] => refuse(&bound, "empty"),
        bytes if bytes.len() > IDEMPOTENCY_KEY_MAX => {
            refuse(&bound, &format!("{} bytes", bytes.len()))
        }
        bytes if !bytes.iter().all(u8::is_ascii_graphic) => {
            refuse(&bound, &format!("'{}'", String::from_utf8_lossy(bytes)))
        }
        bytes => Ok(Some(String::from_utf8_lossy(bytes).into_owned())),
    }
}

/// The hash of what was asked: method, path, query and body. `wait` is left out, since it changes only how long the client waits; a
/// repetition may ask for another.
pub(crate) fn fingerprint(method: &str, path: &str, query: Option<&str>, body: &[u8]) -> Digest {
    let mut parts = vec![method.as_bytes().to_vec(), path.as_bytes().to_vec()];
    for (name, value) in params::pairs(query).into_iter().filter(|(name, _)| name != "wait") {
        parts.extend([name.into_bytes(), value.into_bytes()]);
    }
    parts.push(body.to_vec());
    // Each part with its length before it, so that no two requests give the same bytes.
    let mut text = Vec::new();
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(&part);
    }
    Digest::of(&text)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use osapi_core::api::{Code, Method};

    use super::*;

    fn given(fields: &[&[u8]]) -> Result<Option<String>, Failure> {
        let name: HeaderName = IDEMPOTENCY_KEY.parse().unwrap();
        let value = |field: &&[u8]| HeaderValue::from_bytes(field).unwrap();
        key(&fields.iter().map(|field| (name.clone(), value(field))).collect())
    }

    #[test]
    fn a_key_is_visible_ascii_given_once() {
        assert_eq!(given(&[]).unwrap(), None);
        assert_eq!(given(&[b"a~!\"1"]).unwrap().as_deref(), Some("a~!\"1"));
        assert!(given(&[&[b'k'; 255]]).is_ok());
        for bad in
            [&[b"".as_slice()][..], &[&[b'k'; 256]], &[b"a b"], &[b"\xc3\xa9"], &[b"a", b"a"]]
        {
            let failure = given(bad).unwrap_err();
            assert_eq!(failure.problem().code, Code::InvalidHeader, "{bad:?}");
            assert_eq!(failure.problem().field.as_deref(), Some(IDEMPOTENCY_KEY));
        }
    }

    #[test]
    fn only_wait_may_differ_in_a_repetition() {
        let post = Method::Post.as_str();
        let of = |query| fingerprint(post, "/x", query, b"{}");
        assert_eq!(of(None), of(Some("wait=5")));
        assert_ne!(of(None), of(Some("other=5")));
        assert_ne!(of(None), fingerprint(Method::Get.as_str(), "/x", None, b"{}"));
        assert_ne!(of(None), fingerprint(post, "/y", None, b"{}"));
        assert_ne!(of(None), fingerprint(post, "/x", None, b"{ }"));
        assert_ne!(fingerprint(post, "/xa", None, b"b"), fingerprint(post, "/x", None, b"ab"));
    }
}
