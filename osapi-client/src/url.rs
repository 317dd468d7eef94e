//! Where the server is, parsed once, and the addresses below it.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use osapi_core::api::{Endpoint, Params};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but unreserved characters (RFC 3986 §2.3): a text becomes one path segment or one value of a query whatever is in it.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Scheme, host, port and an optional prefix of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    prefix: String,
}

/// Why a text is not the URL of a server. What may hold a password is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidUrl {
    #[error("the server's URL is empty: give one such as http://127.0.0.1:8080")]
    Empty,
    #[error("the server's URL has no scheme: write http:// or https:// before the host")]
    NoScheme,
    #[error("the server's URL has the scheme '{}': only http and https are supported", .0.escape_debug())]
    Scheme(String),
    #[error("the server's URL holds a user or a password: give the token to the builder instead")]
    Userinfo,
    #[error("the server's URL has no host: write it after ://")]
    NoHost,
    #[error("the server's URL has the host '{}', which is no host name or address", .0.escape_debug())]
    Host(String),
    #[error("the server's URL has the port '{}': it must be 1 to 65535", .0.escape_debug())]
    Port(String),
    #[error("the server's URL has a query or a fragment: leave out what follows '?' or '#'")]
    Query,
    #[error("the server's URL has the path '{}', which holds characters that must be percent-encoded", .0.escape_debug())]
    Path(String),
}

impl FromStr for BaseUrl {
    type Err = InvalidUrl;
    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.trim().is_empty() {
            return Err(InvalidUrl::Empty);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::NoScheme)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(InvalidUrl::Userinfo);
        }
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err(InvalidUrl::Scheme(scheme.into())),
        };
        if path.contains(['?', '#']) {
            return Err(InvalidUrl::Query);
        }
        let prefix = path.trim_end_matches('/').to_owned();
        if !prefix.is_empty() && (!prefix.is_ascii() || PathAndQuery::from_str(&prefix).is_err()) {
            return Err(InvalidUrl::Path(prefix));
        }
        Ok(Self { scheme, authority: parse_authority(authority)?, prefix })
    }
}

fn parse_authority(text: &str) -> Result<Authority, InvalidUrl> {
    if text.is_empty() || text.starts_with(':') {
        return Err(InvalidUrl::NoHost);
    }
    let authority: Authority = text.parse().map_err(|_| InvalidUrl::Host(text.into()))?;
    let port = text.get(authority.host().len()..).unwrap_or_default();
    match (port.strip_prefix(':'), authority.port_u16()) {
        (None, _) | (Some(_), Some(1..)) => Ok(authority),
        (Some(port), _) => Err(InvalidUrl::Port(port.into())),
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

impl BaseUrl {
    /// Whether the connection is encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The address of `E` with these parameters.
    pub(crate) fn of<E: Endpoint>(
        &self,
        path: &E::Path,
        query: &E::Query,
    ) -> Result<Uri, http::Error> {
        let mut text = self.prefix.clone();
        expand(E::INFO.path, &path.to_pairs(), &mut text);
        for (n, (name, value)) in query.to_pairs().iter().enumerate() {
            text.push(if n == 0 { '?' } else { '&' });
            text.extend(utf8_percent_encode(name, RESERVED));
            text.push('=');
            text.extend(utf8_percent_encode(value, RESERVED));
        }
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(text)
            .build()
    }
}

/// Appends `template` with its parameters in braces replaced.
fn expand(template: &str, pairs: &[(&'static str, String)], to: &mut String) {
    for segment in template.split('/').skip(1) {
        to.push('/');
        let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
        match name.and_then(|name| pairs.iter().find(|(known, _)| *known == name)) {
            Some((_, value)) => to.extend(utf8_percent_encode(value, RESERVED)),
            None => to.push_str(segment),
        }
    }
}

#[cfg(test)]
mod tests {
    use osapi_core::api::endpoints::{CommandExec, JobsList};
    use osapi_core::api::params::{JobsQuery, RunQuery, TargetPath};
    use osapi_core::job::Target;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_server_is_a_scheme_a_host_and_perhaps_a_prefix() {
        for (text, shown) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("HTTPS://osapi.example.com/", "https://osapi.example.com"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("https://example.com/ops/osapi//", "https://example.com/ops/osapi"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        let host = |text: &str| InvalidUrl::Host(text.into());
        let port = |text: &str| InvalidUrl::Port(text.into());
        for (text, error) in [
            ("", InvalidUrl::Empty),
            (" ", InvalidUrl::Empty),
            ("localhost:8080", InvalidUrl::NoScheme),
            ("ftp://x", InvalidUrl::Scheme("ftp".into())),
            ("http://user:secret@x", InvalidUrl::Userinfo),
            ("ftp://secret@x", InvalidUrl::Userinfo),
            ("http://", InvalidUrl::NoHost),
            ("http:///path", InvalidUrl::NoHost),
            ("http://:8080", InvalidUrl::NoHost),
            ("http://a b", host("a b")),
            ("http://x:0", port("0")),
            ("http://x:65536", port("65536")),
            ("http://x:", port("")),
            ("http://x?token=1", InvalidUrl::Query),
            ("http://x/a#b", InvalidUrl::Query),
            ("http://x/a b", InvalidUrl::Path("/a b".into())),
            ("http://x/\u{e9}", InvalidUrl::Path("/\u{e9}".into())),
        ] {
            assert_eq!(text.parse::<BaseUrl>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn an_address_is_prefix_path_and_query() {
        let base: BaseUrl = "https://example.com/ops".parse().unwrap();
        let path = TargetPath { target: Target::Any };
        let uri =
            base.of::<CommandExec>(&path, &RunQuery { wait: Some(5), queue_for: None }).unwrap();
        let expected = CommandExec::INFO.path.replace("{target}", "_any");
        assert_eq!(uri.to_string(), format!("https://example.com/ops{expected}?wait=5"));

        let query = JobsQuery {
            limit: Some(3),
            submitter: Some("a+b@example.com & c".into()),
            ..JobsQuery::default()
        };
        let uri = base.of::<JobsList>(&(), &query).unwrap();
        assert_eq!(uri.query(), Some("limit=3&submitter=a%2Bb%40example.com%20%26%20c"));
    }
    proptest! {
        #[test]
        fn any_value_is_one_value_of_the_query_and_one_segment_of_the_path(text in ".*") {
            let base: BaseUrl = "http://x".parse().unwrap();
            let query = JobsQuery { submitter: Some(text.clone()), ..JobsQuery::default() };
            let uri = base.of::<JobsList>(&(), &query).unwrap();
            let value = uri.query().unwrap().strip_prefix("submitter=").unwrap();
            prop_assert!(!value.contains(['&', '=', '+', '#', '/', '?']));
            prop_assert_eq!(percent_decode_str(value).decode_utf8().unwrap(), text.clone());

            let mut path = String::new();
            expand("/{target}", &[("target", text.clone())], &mut path);
            let segment = path.strip_prefix('/').unwrap();
            prop_assert!(!segment.contains(['/', '?', '#']));
            prop_assert_eq!(percent_decode_str(segment).decode_utf8().unwrap(), text);
        }
    }
}
