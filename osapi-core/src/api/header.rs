//! Header fields that the contract gives a meaning to.

/// Makes a creating request safe to repeat (draft-ietf-httpapi-idempotency-key-header): 1 to 255 visible ASCII characters.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// `respond-async` asks for a 202 at once (RFC 7240 §4.1).
pub const PREFER: &str = "prefer";
/// The value of [`PREFER`] that is understood.
pub const RESPOND_ASYNC: &str = "respond-async";
/// The identifier of the request, made by the server, in every answer.
pub const REQUEST_ID: &str = "x-request-id";
/// Carries the trace of a caller (W3C Trace Context); it is kept with the request.
pub const TRACEPARENT: &str = "traceparent";
/// Longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;
/// Media type of problem documents (RFC 9457 §3).
pub const PROBLEM_JSON: &str = "application/problem+json";
