//! What a handler answers, and the response that is made of it.

use std::io;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use osapi_core::api::header::RESPOND_ASYNC;
use osapi_core::id::RequestId;
use serde::Serialize;

use crate::failure::Failure;

/// The body of a response: bytes at once, or in pieces.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

const REQUEST_ID: HeaderName = HeaderName::from_static(osapi_core::api::header::REQUEST_ID);
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a handler answers: `A` is the type that the endpoint declares.
pub(crate) enum Answer<A> {
    /// 200 with a JSON document.
    Json(A),
    /// 202: a job was made and is not settled.
    Accepted {
        /// Where it can be asked for.
        location: String,
        /// How it stands.
        body: A,
        /// Whether it is answered so early because the client preferred that (RFC 7240 §3).
        preferred: bool,
    },
    /// 204.
    Done,
    /// Bytes as they are; its own status and headers.
    Bytes(Response<Body>),
}

impl<A: Serialize> Answer<A> {
    /// The response, without the headers that every response has.
    pub(crate) fn into_response(self) -> Result<Response<Body>, Failure> {
        match self {
            Self::Json(body) => json(StatusCode::OK, "application/json", &body),
            Self::Accepted { location, body, preferred } => {
                let mut response = json(StatusCode::ACCEPTED, "application/json", &body)?;
                let location = HeaderValue::from_str(&location).map_err(Failure::internal)?;
                response.headers_mut().insert(header::LOCATION, location);
                if preferred {
                    let applied = HeaderValue::from_static(RESPOND_ASYNC);
                    response.headers_mut().insert(PREFERENCE_APPLIED, applied);
                }
                Ok(response)
            }
            Self::Done => {
                let mut response = Response::new(empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            Self::Bytes(response) => Ok(response),
        }
    }
}

/// A response with a JSON document of type `media`.
pub(crate) fn json(
    status: StatusCode,
    media: &'static str,
    body: &impl Serialize,
) -> Result<Response<Body>, Failure> {
    let body = serde_json::to_vec(body).map_err(Failure::internal)?;
    let mut response = Response::new(whole(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    Ok(response)
}

/// A body that is there already.
pub(crate) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Sets what every response has: its request id, and that neither a cache keeps it nor a browser guesses its type.
pub(crate) fn finish(headers: &mut HeaderMap, id: RequestId) {
    let id = HeaderValue::from_str(&id.to_string()).expect("an id is hexadecimal digits");
    headers.insert(REQUEST_ID, id);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
