//! A request as it is sent, and sent again: made once from the declaration of its endpoint.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Method, Uri};
use http_body_util::Full;
use osapi_core::api::header::{
    IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_MAX, PREFER, PROBLEM_JSON, RESPOND_ASYNC,
};
use osapi_core::api::{Access, Endpoint};
use osapi_core::id::Nonce;
use osapi_core::job::Invalid;

use crate::error::{Error, ErrorKind};
use crate::url::BaseUrl;

const AGENT: &str = concat!("osapi-client/", env!("CARGO_PKG_VERSION"));

/// Which endpoint of which server, for messages.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    id: &'static str,
    base: BaseUrl,
}

impl Place {
    /// The server without the endpoint.
    pub(crate) fn server(&self) -> &BaseUrl {
        &self.base
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.id, self.base)
    }
}

/// Whether a request that was sent and not answered leaves a question behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes nothing.
    Reads,
    /// It makes, cancels or removes something.
    Acts,
}

/// A request that can be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) place: Place,
    pub(crate) effect: Effect,
    /// How long the server was asked to wait before it answers.
    pub(crate) wait: Duration,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Outgoing {
    /// A request to `E`, with the token unless anybody may call it, and with an idempotency key if it makes a job.
    pub(crate) fn to<E: Endpoint>(
        base: &BaseUrl,
        token: Option<&HeaderValue>,
        path: &E::Path,
        query: &E::Query,
        body: &E::Body,
    ) -> Result<Self, Error> {
        let place = Place { id: E::INFO.id, base: base.clone() };
        let invalid = |err: &dyn fmt::Display| {
            Error::new(ErrorKind::InvalidRequest, format!("{place} cannot be asked for: {err}"))
        };
        let method =
            Method::from_bytes(E::INFO.method.as_str().as_bytes()).map_err(|err| invalid(&err))?;
        let uri = base.of::<E>(path, query).map_err(|err| invalid(&err))?;
        let body = encode(body).map_err(|err| invalid(&err))?;
        let acts = E::INFO.creates_job || !method.is_safe();
        let effect = if acts { Effect::Acts } else { Effect::Reads };
        let headers = headers::<E>(token, !body.is_empty());
        Ok(Self { place, effect, wait: Duration::ZERO, method, uri, headers, body })
    }

    /// The same with another header field.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same under this key instead of a random one.
    pub(crate) fn key(self, key: &str) -> Result<Self, Invalid> {
        let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len());
        match HeaderValue::from_str(key) {
            Ok(value) if fits && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(self.header(HeaderName::from_static(IDEMPOTENCY_KEY), value))
            }
            _ => {
                let bound = format!("1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters");
                Err(Invalid::new(IDEMPOTENCY_KEY, bound, format!("'{key}'")))
            }
        }
    }

    /// The same, to be answered at once (RFC 7240 §4.1).
    pub(crate) fn respond_async(self) -> Self {
        let value = HeaderValue::from_static(RESPOND_ASYNC);
        self.header(HeaderName::from_static(PREFER), value)
    }

    /// The same with the time that its query asks the server to wait.
    pub(crate) fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// What is sent each time.
    pub(crate) fn request(&self) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// A body of no size is `()`, which stands for none: the contract's own rule.
fn encode<B: serde::Serialize>(body: &B) -> Result<Bytes, serde_json::Error> {
    if size_of::<B>() == 0 { Ok(Bytes::new()) } else { Ok(serde_json::to_vec(body)?.into()) }
}

fn headers<E: Endpoint>(token: Option<&HeaderValue>, has_body: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.append(ACCEPT, HeaderValue::from_static(E::INFO.media.as_str()));
    headers.append(ACCEPT, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(token) = token.filter(|_| E::INFO.access != Access::Open) {
        headers.insert(AUTHORIZATION, token.clone());
    }
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if E::INFO.creates_job {
        // 128 random bits: the server answers a repetition with the job that the first attempt made.
        let key = HeaderValue::from_str(&Nonce::random().to_string());
        let key = key.expect("hexadecimal digits are a header value");
        headers.insert(HeaderName::from_static(IDEMPOTENCY_KEY), key);
    }
    headers
}

#[cfg(test)]
mod tests {
    use osapi_core::api::endpoints::{CommandExec, HealthGet, JobDelete, NodeGet};
    use osapi_core::api::params::{JobPath, RunQuery, TargetPath};
    use osapi_core::job::{Exec, Target};

    use super::*;

    fn base() -> BaseUrl {
        "http://127.0.0.1:1".parse().unwrap()
    }

    fn exec() -> Outgoing {
        let path = TargetPath { target: Target::Any };
        let token = HeaderValue::from_static("Bearer x");
        let body = Exec::new("ls");
        Outgoing::to::<CommandExec>(&base(), Some(&token), &path, &RunQuery::default(), &body)
            .unwrap()
    }

    #[test]
    fn every_repetition_is_the_same_and_no_two_requests_share_a_key() {
        let key = |outgoing: &Outgoing| outgoing.request().headers()[IDEMPOTENCY_KEY].clone();
        let (one, two) = (exec(), exec());
        assert_eq!(key(&one), key(&one));
        assert_eq!(key(&one).len(), 32, "128 bits in hexadecimal digits");
        assert_ne!(key(&one), key(&two));
    }

    #[test]
    fn what_makes_a_job_acts_whatever_its_method() {
        let path = TargetPath { target: Target::Any };
        let facts =
            Outgoing::to::<NodeGet>(&base(), None, &path, &RunQuery::default(), &()).unwrap();
        assert_eq!(facts.effect, Effect::Acts);
        assert!(facts.request().headers().contains_key(IDEMPOTENCY_KEY));

        let id = "01a0c4c0-9c00-7000-8000-000000000001".parse().unwrap();
        let delete = Outgoing::to::<JobDelete>(&base(), None, &JobPath { id }, &(), &()).unwrap();
        assert_eq!(delete.effect, Effect::Acts);
        assert!(!delete.request().headers().contains_key(IDEMPOTENCY_KEY));
        assert!(!delete.request().headers().contains_key(CONTENT_TYPE), "it has no body");
    }

    #[test]
    fn the_token_goes_only_where_it_is_needed() {
        let token = HeaderValue::from_static("Bearer x");
        let health = Outgoing::to::<HealthGet>(&base(), Some(&token), &(), &(), &()).unwrap();
        assert!(!health.request().headers().contains_key(AUTHORIZATION));
        assert_eq!(exec().request().headers()[AUTHORIZATION], token);
    }

    #[test]
    fn a_key_of_ones_own_is_visible_ascii() {
        assert_eq!(exec().key("k-1").unwrap().request().headers()[IDEMPOTENCY_KEY], "k-1");
        for bad in ["", "a b", "\u{e9}", "a\nb", &"k".repeat(256)] {
            assert_eq!(exec().key(bad).unwrap_err().field, IDEMPOTENCY_KEY, "{bad:?}");
        }
    }
}
