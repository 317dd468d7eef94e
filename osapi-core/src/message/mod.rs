//! What agents and controllers say to each other. Pure types; every message travels in a [`Frame`] with its version.
//!
//! Hellos, receipts and welcomes are hints: they shape the view, or refuse, and nothing more. What decides is signed.

pub mod order;
pub mod subject;
pub mod word;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::job::record::VERSION;

pub use order::{
    Answer, AnswerKind, CancelOrder, ClaimRequest, HostSet, Order, Position, Registration,
};
pub use subject::{Pattern, Subject};
pub use word::{
    FromAgent, Hello, Ping, Readiness, Receipt, ReceiptKind, Refusal, Refused, RegistrationRefusal,
    Seen, ToAgent, Welcome,
};

/// Largest message, in bytes: what a NATS server accepts by default with its headers (`max_payload`, 1 MiB), less some slack.
pub const MESSAGE_MAX: usize = 1024 * 1024 - 4096;

/// A message with its version. Unknown fields are tolerated, so that older peers understand newer ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frame<T> {
    /// Version of the message.
    pub v: u8,
    /// The message.
    pub msg: T,
}

/// Why bytes are no message.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    /// Larger than [`MESSAGE_MAX`].
    #[error("message has {0} bytes: at most {MESSAGE_MAX} are allowed")]
    TooLarge(usize),
    /// Not the JSON of that message.
    #[error("message cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// From a peer that speaks another version.
    #[error("message has version {0}: this build speaks {VERSION}")]
    Version(u8),
}

/// The bytes of a message.
#[must_use]
pub fn encode<T: Serialize>(msg: &T) -> Vec<u8> {
    serde_json::to_vec(&Frame { v: VERSION, msg })
        .expect("messages have text keys and no other way to fail")
}

/// The message in `bytes`.
///
/// # Errors
/// When the bytes are too many, are no such message, or have another version.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidMessage> {
    if bytes.len() > MESSAGE_MAX {
        return Err(InvalidMessage::TooLarge(bytes.len()));
    }
    let frame: Frame<T> = serde_json::from_slice(bytes).map_err(InvalidMessage::Malformed)?;
    if frame.v != VERSION {
        return Err(InvalidMessage::Version(frame.v));
    }
    Ok(frame.msg)
}
