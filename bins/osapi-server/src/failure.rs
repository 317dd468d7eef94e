//! Why a request was not answered as it was meant: what the client may see, and what the log may.

use std::error::Error;
use std::fmt::Write as _;

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use osapi_core::api::header::PROBLEM_JSON;
use osapi_core::api::{Code, Problem};
use osapi_core::id::RequestId;
use osapi_core::job::Invalid;

use crate::answer::{self, Body};

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    problem: Problem,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure that says this and nothing more.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// A parameter that is wrong.
    pub(crate) fn parameter(invalid: &Invalid) -> Self {
        Problem::invalid(Code::InvalidParameter, invalid).into()
    }

    /// A header field that is wrong.
    pub(crate) fn header(field: &str, bound: &str, value: &str) -> Self {
        Problem::invalid(Code::InvalidHeader, &Invalid::new(field, bound, value)).into()
    }

    /// The server's own fault: the client learns that and where to look, the log learns why.
    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "the server failed; its log says how, under this request id";
        Self::new(Code::Internal, detail).because(cause)
    }

    /// The same, with what the log may see.
    pub(crate) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The same with one more header field. A value that cannot stand in a header is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.0.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// The problem that is answered.
    pub(crate) fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Writes the cause to the log: loudly if the server is to blame.
    pub(crate) fn log(&self, id: RequestId) {
        let Problem { status, code, .. } = &self.0.problem;
        let Some(cause) = &self.0.cause else { return };
        let cause = chain(cause.as_ref());
        if *status >= 500 {
            tracing::error!(request_id = %id, %code, cause, "request failed");
        } else {
            tracing::debug!(request_id = %id, %code, cause, "request refused");
        }
    }

    /// The response.
    pub(crate) fn into_response(self, id: RequestId) -> Response<Body> {
        let Inner { mut problem, headers, .. } = *self.0;
        problem.request_id = Some(id.to_string());
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = answer::json(status, PROBLEM_JSON, &problem).unwrap_or_else(|_| {
            let mut bare = Response::new(answer::empty());
            *bare.status_mut() = status;
            bare
        });
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge(problem.code));
        }
        response.headers_mut().extend(headers);
        response
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(Inner { problem, headers: Vec::new(), cause: None }))
    }
}

/// The challenge of a 401 (RFC 6750 §3): a request without a token is told no error.
fn challenge(code: Code) -> HeaderValue {
    HeaderValue::from_static(match code {
        Code::TokenMissing => r#"Bearer realm="osapi""#,
        _ => r#"Bearer realm="osapi", error="invalid_token""#,
    })
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        write!(text, ": {source}").expect("writing to a string does not fail");
        next = source.source();
    }
    text
}
