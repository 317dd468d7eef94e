//! Problem documents (RFC 9457): every error that the API answers, with a stable `code`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::job::Invalid;

/// Declares the codes, their statuses and titles.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:literal;)*) => {
        /// The stable word for what went wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $name,)*
            /// A code that a newer server made up.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Code {
            /// Every code that this build answers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word in the document.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                    Self::Unknown => "unknown",
                }
            }

            /// The HTTP status that it comes with (RFC 9110 §15).
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                    Self::Unknown => 500,
                }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+).trim_ascii(),)*
                    Self::Unknown => "an error that this build does not know",
                }
            }
        }
    };
}

codes! {
    /// The request carries no bearer token.
    TokenMissing = "token_missing", 401;
    /// The bearer token is no access token.
    TokenMalformed = "token_malformed", 401;
    /// The bearer token is longer than 4 KiB.
    TokenTooLong = "token_too_long", 401;
    /// The bearer token is signed with a key that is not valid here.
    TokenUnknownKey = "token_unknown_key", 401;
    /// The signature of the bearer token does not verify.
    TokenBadSignature = "token_bad_signature", 401;
    /// The bearer token has expired.
    TokenExpired = "token_expired", 401;
    /// The bearer token is not valid yet.
    TokenNotYetValid = "token_not_yet_valid", 401;
    /// The bearer token is for another fleet.
    TokenOtherFleet = "token_other_fleet", 401;
    /// The bearer token was revoked.
    TokenRevoked = "token_revoked", 401;
    /// The token lacks a permission.
    PermissionDenied = "permission_denied", 403;
    /// There is nothing at this path.
    NotFound = "not_found", 404;
    /// The path exists and does not take this method.
    MethodNotAllowed = "method_not_allowed", 405;
    /// There is no such job, or no longer.
    JobNotFound = "job_not_found", 404;
    /// There is no such agent.
    AgentNotFound = "agent_not_found", 404;
    /// The target names a host that is not known, or there is none at all.
    HostNotFound = "host_not_found", 404;
    /// The target names a host by a host name that several have.
    HostAmbiguous = "host_ambiguous", 422;
    /// No known host matches the target.
    NoMatch = "no_match", 404;
    /// The job has no such output.
    OutputNotFound = "output_not_found", 404;
    /// No host is live and ready.
    NoLiveHost = "no_live_host", 503;
    /// A parameter in the path or the query is wrong.
    InvalidParameter = "invalid_parameter", 400;
    /// A header field is wrong.
    InvalidHeader = "invalid_header", 400;
    /// The body is not JSON.
    BodyNotJson = "body_not_json", 400;
    /// The body is JSON of another shape.
    BodyInvalid = "body_invalid", 422;
    /// A value is outside its bounds.
    InvalidValue = "invalid_value", 422;
    /// The body is larger than 2 MiB.
    BodyTooLarge = "body_too_large", 413;
    /// The body took too long to arrive.
    BodyTimeout = "body_timeout", 408;
    /// The body is not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415;
    /// The range cannot be satisfied.
    RangeNotSatisfiable = "range_not_satisfiable", 416;
    /// The signed order would be larger than 640 KiB.
    OrderTooLarge = "order_too_large", 413;
    /// The target names more hosts than one job may have.
    TooManyHosts = "too_many_hosts", 422;
    /// The idempotency key was used with another request.
    IdempotencyConflict = "idempotency_conflict", 409;
    /// The idempotency key was used with a request whose start deadline passed before it became a job.
    IdempotencyExpired = "idempotency_expired", 409;
    /// The store holds something for the idempotency key that no server has written.
    IdempotencyDamaged = "idempotency_damaged", 500;
    /// The job was ordered under a job key that is not valid any more.
    JobKeyNotValid = "job_key_not_valid", 409;
    /// The job is not settled yet.
    JobUnfinished = "job_unfinished", 409;
    /// The job is settled already.
    JobSettled = "job_settled", 409;
    /// The job succeeded on every host that would be tried again.
    NothingToRetry = "nothing_to_retry", 409;
    /// The records of the job do not fit together; it is never sent.
    JobDamaged = "job_damaged", 500;
    /// The key ring is not one that this fleet can work with.
    KeyRingInvalid = "key_ring_invalid", 422;
    /// Another key ring was published first.
    KeyRingConflict = "key_ring_conflict", 409;
    /// The server keeps as many jobs as it may.
    TooManyJobs = "too_many_jobs", 429;
    /// Whether the job was made is unknown; it is named, and will show itself if it was.
    OutcomeUnknown = "outcome_unknown", 503;
    /// The store or the bus cannot be reached.
    BackendUnavailable = "backend_unavailable", 503;
    /// The server is starting: it has not read its store yet, or has no keys.
    NotReady = "not_ready", 503;
    /// The store went back in time: nothing is sent until somebody has accepted that.
    StoreRolledBack = "store_rolled_back", 503;
    /// The server is shutting down.
    ShuttingDown = "shutting_down", 503;
    /// The server failed; its log says how, under the request id.
    Internal = "internal", 500;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A problem document. Nothing internal is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[error("{detail}")]
pub struct Problem {
    /// A URI that names the kind of problem: `urn:osapi:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the code means.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable word to branch on.
    pub code: Code,
    /// What is wrong here, where, and what would be right.
    pub detail: String,
    /// The request, as it stands in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The permission that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_permission: Option<String>,
    /// The field that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What the field may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
    /// What the field was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The job that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub job_id: Option<JobId>,
}

impl Problem {
    /// A problem with this code, and what is wrong here.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:osapi:problem:{code}"),
            title: code.title().into(),
            status: code.status(),
            code,
            detail: detail.into(),
            request_id: None,
            missing_permission: None,
            field: None,
            bound: None,
            value: None,
            job_id: None,
        }
    }

    /// A problem with one field: the field, its bound and its value.
    #[must_use]
    pub fn invalid(code: Code, invalid: &Invalid) -> Self {
        Self {
            field: Some(invalid.field.clone()),
            bound: Some(invalid.bound.clone()),
            value: Some(invalid.value.clone()),
            ..Self::new(code, invalid.to_string())
        }
    }

    /// The same about this job.
    #[must_use]
    pub fn about(self, job: JobId) -> Self {
        Self { job_id: Some(job), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words_with_an_error_status() {
        for code in Code::ALL {
            assert!((400..600).contains(&code.status()), "{code}");
            assert!(code.as_str().bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{code}");
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
            assert!(code.title().ends_with('.'), "{code}");
        }
    }

    #[test]
    fn a_newer_code_is_read_as_unknown() {
        let text = r#"{"type":"x","title":"t","status":418,"code":"teapot","detail":"d"}"#;
        assert_eq!(serde_json::from_str::<Problem>(text).unwrap().code, Code::Unknown);
    }
}
