//! The `Prefer` header (RFC 7240).

use http::HeaderMap;
use osapi_core::api::header::{PREFER, RESPOND_ASYNC};

/// Whether the client prefers a 202 at once. Every other preference is ignored, as §2 demands.
pub(crate) fn respond_async(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(preferences).any(|name| name.eq_ignore_ascii_case(RESPOND_ASYNC))
}

/// The names of the preferences in one field: a list with commas, each with parameters after semicolons. Values may be quoted.
fn preferences(field: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let preferences = field.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    preferences.map(|preference| preference.split([';', '=']).next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefers(fields: &[&str]) -> bool {
        let name: http::HeaderName = PREFER.parse().unwrap();
        respond_async(&fields.iter().map(|value| (name.clone(), value.parse().unwrap())).collect())
    }

    #[test]
    fn the_preference_is_found_among_others() {
        for fields in [
            &["respond-async"][..],
            &["Respond-Async; x=1"],
            &["wait=5, respond-async"],
            &["handling=lenient", "return=minimal,respond-async"],
            &[r#"a="x,y" , respond-async"#],
        ] {
            assert!(prefers(fields), "{fields:?}");
        }
    }

    #[test]
    fn other_preferences_are_ignored() {
        for fields in
            [&[][..], &["wait=5"], &["respond-asynchronously"], &[r#"a="b, respond-async""#]]
        {
            assert!(!prefers(fields), "{fields:?}");
        }
    }
}
