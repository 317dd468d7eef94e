//! What an answer means. Pure: status, header fields and body in, an answer or a setback out.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use osapi_core::api::{Code, Problem};
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind};
use crate::request::Place;
use crate::retry::{Repeat, Setback, Trace};

/// An answer as it arrived, whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The same if it is a success.
    pub(crate) fn accept(self, place: &Place) -> Result<Self, Setback> {
        if self.status.is_success() { Ok(self) } else { Err(refused(place, &self)) }
    }

    /// Its body as `T`; a body of no size stands for none.
    pub(crate) fn decode<T: DeserializeOwned>(&self, place: &Place) -> Result<T, Error> {
        let body: &[u8] = if size_of::<T>() == 0 { b"null" } else { &self.body };
        serde_json::from_slice(body).map_err(|err| {
            let what = format!(
                "{place} answered {} with a body that this version cannot read",
                self.status.as_u16()
            );
            Error::new(ErrorKind::Protocol, what).because(err)
        })
    }
}

fn refused(place: &Place, reply: &Reply) -> Setback {
    let problem: Option<Problem> = serde_json::from_slice(&reply.body).ok();
    let code = problem.as_ref().map(|problem| problem.code).unwrap_or(Code::Unknown);
    let error = match problem {
        Some(problem) => {
            let what = format!("{place} answered {code}: {}", problem.detail);
            Error::new(kind(code, reply.status), what).answered(problem)
        }
        None => foreign(place, reply),
    };
    let repeat = repeat(code, reply.status, retry_after(&reply.headers));
    Setback { error, repeat, trace: trace(code, reply.status) }
}

/// An answer without a problem document is not from an OSAPI server, or from something in front of it.
fn foreign(place: &Place, reply: &Reply) -> Error {
    let status = reply.status;
    let what = if status.is_redirection() {
        "which is a redirect; none is followed, so give the URL that it leads to"
    } else if status.is_server_error() {
        "without saying why; something in front of the server may have answered"
    } else {
        "without a problem document; is this the URL of an OSAPI server?"
    };
    let what = format!("{place} answered {}, {what}", status.as_u16());
    Error::new(kind(Code::Unknown, status), what)
}

/// What a caller branches on: by the code, and by the status where the code says nothing.
fn kind(code: Code, status: StatusCode) -> ErrorKind {
    match code {
        Code::TokenMissing
        | Code::TokenMalformed
        | Code::TokenTooLong
        | Code::TokenUnknownKey
        | Code::TokenBadSignature
        | Code::TokenExpired
        | Code::TokenNotYetValid
        | Code::TokenOtherFleet
        | Code::TokenRevoked => ErrorKind::Unauthorized,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::NotFound | Code::MethodNotAllowed | Code::UnsupportedMediaType => ErrorKind::Protocol,
        Code::JobNotFound
        | Code::AgentNotFound
        | Code::HostNotFound
        | Code::NoMatch
        | Code::OutputNotFound => ErrorKind::NotFound,
        Code::InvalidParameter
        | Code::InvalidHeader
        | Code::BodyNotJson
        | Code::BodyInvalid
        | Code::InvalidValue
        | Code::BodyTooLarge
        | Code::RangeNotSatisfiable
        | Code::OrderTooLarge
        | Code::HostAmbiguous
        | Code::KeyRingInvalid
        | Code::TooManyHosts => ErrorKind::InvalidRequest,
        Code::BodyTimeout => ErrorKind::Timeout,
        Code::IdempotencyConflict
        | Code::IdempotencyExpired
        | Code::JobKeyNotValid
        | Code::JobUnfinished
        | Code::NothingToRetry
        | Code::KeyRingConflict
        | Code::JobSettled => ErrorKind::Conflict,
        Code::TooManyJobs => ErrorKind::TooManyRequests,
        Code::OutcomeUnknown => ErrorKind::OutcomeUnknown,
        Code::NoLiveHost
        | Code::BackendUnavailable
        | Code::NotReady
        | Code::StoreRolledBack
        | Code::ShuttingDown => ErrorKind::Unavailable,
        Code::JobDamaged | Code::IdempotencyDamaged | Code::Internal => ErrorKind::Server,
        Code::Unknown => kind_of_status(status),
    }
}

fn kind_of_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::PermissionDenied,
        429 => ErrorKind::TooManyRequests,
        502..=504 => ErrorKind::Unavailable,
        500..=599 => ErrorKind::Server,
        _ => ErrorKind::Protocol,
    }
}

fn repeat(code: Code, status: StatusCode, retry_after: Option<Duration>) -> Repeat {
    match (status.as_u16(), retry_after) {
        (429 | 502..=504, Some(pause)) => Repeat::After(pause),
        // That no host is live is an answer, not a fault: who asked wants to know it now. A store that went back waits for a person.
        (503, None) if matches!(code, Code::NoLiveHost | Code::StoreRolledBack) => Repeat::Never,
        (502..=504, None) => Repeat::Paced,
        _ => Repeat::Never,
    }
}

/// A gateway says 502 or 504, and perhaps 503, after it has passed the request on; an OSAPI server says what it means.
fn trace(code: Code, status: StatusCode) -> Trace {
    match (status.as_u16(), code) {
        (502..=504, Code::Unknown) | (_, Code::OutcomeUnknown) => Trace::Possible,
        _ => Trace::None,
    }
}

/// In seconds. The other form, a date, would need a clock that agrees with the server's; it counts as absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
