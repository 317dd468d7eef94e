//! What one endpoint is: method, path, who may, parameters, body, answer, problems and a summary, in one place.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::params::{Param, Params};
use super::problem::Code;
use crate::auth::permission::Permission;

/// An HTTP method (RFC 9110 §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or acts.
    Post,
    /// Removes.
    Delete,
}

impl Method {
    /// The method's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may call an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Open,
    /// Whoever holds this permission.
    Permission(Permission),
    /// Whoever holds the permission of the job's own operation, which is known once the job is read. Who holds the permission of no
    /// operation at all is denied before that.
    Operation,
    /// Whoever holds this permission; for one's own job, that of the job's operation is enough. Who holds neither this nor the permission
    /// of any operation is denied before the job is read.
    OwnOr(Permission),
}

/// What an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// One JSON document.
    Json,
    /// Bytes as they are, in ranges (RFC 9110 §14).
    Bytes,
    /// Metrics in the text format of OpenMetrics.
    OpenMetrics,
}

impl Media {
    /// The media type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Bytes => "application/octet-stream",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The declaration of an endpoint, without its types.
#[derive(Debug, Clone)]
pub struct Info {
    /// Its name, unique: `command_exec`. The operation id of the OpenAPI document.
    pub id: &'static str,
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// What it does, in one sentence without a full stop.
    pub summary: &'static str,
    /// Whether it makes a job, so that it takes an idempotency key and may answer 202.
    pub creates_job: bool,
    /// What the answer carries.
    pub media: Media,
    /// The problems of its own, beside those that any endpoint may answer.
    pub problems: &'static [Code],
}

/// An endpoint with its types.
pub trait Endpoint: Send + Sync + 'static {
    /// Parameters in the path.
    type Path: Params;
    /// Parameters in the query.
    type Query: Params;
    /// The body of the request; `()` if it takes none.
    type Body: ApiType;
    /// The body of the answer; `()` if it is not JSON.
    type Answer: ApiType;
    /// The declaration.
    const INFO: Info;
}

/// The path of `E` with `params` filled in and percent-encoded (RFC 3986 §2.3: all but unreserved characters).
#[must_use]
pub fn path_of<E: Endpoint>(params: &E::Path) -> String {
    let mut path = E::INFO.path.to_owned();
    for (name, value) in params.to_pairs() {
        path = path.replace(&format!("{{{name}}}"), &encode(&value));
    }
    path
}

fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    encoded
}

/// A type that travels in a body.
#[cfg(not(feature = "openapi"))]
pub trait ApiType: Serialize + DeserializeOwned + Send + 'static {}
#[cfg(not(feature = "openapi"))]
impl<T: Serialize + DeserializeOwned + Send + 'static> ApiType for T {}

/// A type that travels in a body.
#[cfg(feature = "openapi")]
pub trait ApiType: Serialize + DeserializeOwned + Send + schemars::JsonSchema + 'static {}
#[cfg(feature = "openapi")]
impl<T: Serialize + DeserializeOwned + Send + schemars::JsonSchema + 'static> ApiType for T {}

/// An endpoint in the table.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The declaration.
    pub info: Info,
    /// Parameters in the path.
    pub path: &'static [Param],
    /// Parameters in the query.
    pub query: &'static [Param],
    /// The schema of the request body; `None` if it takes none.
    #[cfg(feature = "openapi")]
    pub body: Option<Schema>,
    /// The schema of the answer; `None` if it is not JSON, or has no body.
    #[cfg(feature = "openapi")]
    pub answer: Option<Schema>,
}

/// Makes the schema of one type.
#[cfg(feature = "openapi")]
pub type Schema = fn(&mut schemars::SchemaGenerator) -> schemars::Schema;

impl Entry {
    /// The entry of `E`.
    #[must_use]
    pub fn of<E: Endpoint>() -> Self {
        Self {
            info: E::INFO,
            path: E::Path::PARAMS,
            query: E::Query::PARAMS,
            #[cfg(feature = "openapi")]
            body: (std::mem::size_of::<E::Body>() > 0)
                .then_some(|generator| generator.subschema_for::<E::Body>()),
            #[cfg(feature = "openapi")]
            answer: (std::mem::size_of::<E::Answer>() > 0)
                .then_some(|generator| generator.subschema_for::<E::Answer>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::endpoints::{JobOutput, JobsList};
    use crate::api::params::OutputPath;
    use crate::clock::Timestamp;
    use crate::id::JobId;
    use crate::job::report::Stream;

    #[test]
    fn parameters_fill_their_places() {
        let id = JobId::new(Timestamp::from_unix_millis(0));
        let path = OutputPath { id, host: "web-01".parse().unwrap(), stream: Stream::Stderr };
        assert_eq!(path_of::<JobOutput>(&path), format!("/v1/jobs/{id}/output/web-01/stderr"));
        assert_eq!(path_of::<JobsList>(&()), JobsList::INFO.path);
    }

    #[test]
    fn what_is_reserved_is_encoded() {
        assert_eq!(encode("a-._~Z9"), "a-._~Z9");
        assert_eq!(encode("a/b c:{é"), "a%2Fb%20c%3A%7B%C3%A9");
    }
}
