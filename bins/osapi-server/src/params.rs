//! Step 5: parameters. Segments of the path are percent-decoded (RFC 3986 §2.1), the query is form-decoded (WHATWG URL §5.1).

use osapi_core::api::params::{Pairs, Params, parse};
use osapi_core::job::Invalid;
use percent_encoding::percent_decode_str;

use crate::failure::Failure;

/// The parameters in the path, from its raw segments.
pub(crate) fn path<P: Params>(raw: &[(String, String)]) -> Result<P, Failure> {
    let pairs: Result<Pairs, Failure> =
        raw.iter().map(|(name, text)| Ok((name.clone(), decode(name, text)?))).collect();
    parse(&pairs?).map_err(|invalid| Failure::parameter(&invalid))
}

/// The parameters in the query, from its raw text.
pub(crate) fn query<P: Params>(raw: Option<&str>) -> Result<P, Failure> {
    parse(&pairs(raw)).map_err(|invalid| Failure::parameter(&invalid))
}

/// The decoded pairs of a query.
pub(crate) fn pairs(raw: Option<&str>) -> Pairs {
    form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned().collect()
}

fn decode(name: &str, text: &str) -> Result<String, Failure> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| {
        Failure::parameter(&Invalid::new(name, "UTF-8 once percent-decoded", format!("'{text}'")))
    })
}

#[cfg(test)]
mod tests {
    use osapi_core::api::params::{TargetPath, WaitQuery};
    use osapi_core::job::Target;

    use super::*;

    fn target(text: &str) -> Result<TargetPath, Failure> {
        path(&[("target".into(), text.into())])
    }

    #[test]
    fn segments_are_decoded_before_they_are_parsed() {
        assert_eq!(target("%5Fany").unwrap().target, Target::Any);
        let slash = target("a%2Fb").unwrap_err();
        assert_eq!(slash.problem().value.as_deref(), Some("'a/b'"));
        assert_eq!(slash.problem().field.as_deref(), Some("target"));
        let binary = target("%FF").unwrap_err();
        assert_eq!(binary.problem().bound.as_deref(), Some("UTF-8 once percent-decoded"));
    }

    #[test]
    fn queries_are_decoded_and_refused_by_name() {
        assert_eq!(query::<WaitQuery>(Some("w%61it=5")).unwrap().wait, Some(5));
        assert_eq!(query::<WaitQuery>(None).unwrap().wait, None);
        for (text, field) in [("wait=x", "wait"), ("wiat=5", "wiat"), ("wait=1&wait=1", "wait")] {
            let failure = query::<WaitQuery>(Some(text)).unwrap_err();
            assert_eq!(failure.problem().field.as_deref(), Some(field), "{text}");
        }
    }
}
