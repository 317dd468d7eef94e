//! Calls of JetStream: what is asked, what is answered, and what an answer means for a record.

use async_nats::{HeaderMap, HeaderValue, Message, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::connection::{Line, NoAnswer};
use crate::backend::{Bucket, StoreError};

/// A write is refused unless the last message of its subject has this sequence; 0 means that there is none.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// Numbers of errors, see the NATS documentation of JetStream's API.
pub(super) mod code {
    pub(in crate::backend::nats) const NO_SUITABLE_PEERS: u64 = 10005;
    pub(in crate::backend::nats) const TEMPORARILY_UNAVAILABLE: u64 = 10008;
    pub(in crate::backend::nats) const INSUFFICIENT_RESOURCES: u64 = 10023;
    pub(in crate::backend::nats) const NO_MESSAGE: u64 = 10037;
    pub(in crate::backend::nats) const NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;
    pub(in crate::backend::nats) const INSUFFICIENT_STORAGE: u64 = 10047;
    pub(in crate::backend::nats) const TOO_LARGE: u64 = 10054;
    pub(in crate::backend::nats) const OTHER_CONFIGURATION: u64 = 10058;
    pub(in crate::backend::nats) const NO_STREAM: u64 = 10059;
    pub(in crate::backend::nats) const WRONG_LAST_SEQUENCE: [u64; 2] = [10071, 10164];
    pub(in crate::backend::nats) const REPLICAS_WITHOUT_CLUSTER: u64 = 10074;
    pub(in crate::backend::nats) const NOT_ENABLED: u64 = 10076;
    pub(in crate::backend::nats) const STORE_FAILED: u64 = 10077;
    pub(in crate::backend::nats) const STREAM_OFFLINE: u64 = 10118;
    pub(in crate::backend::nats) const WRITE_UNDER_WAY: u64 = 10163;
}

/// Why a call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Nothing was sent.
    #[error("NATS cannot be reached: {0}")]
    Down(String),
    /// Nobody was there to do it.
    #[error("no server answers for it")]
    Nobody,
    /// It was sent; whether it was done is not known.
    #[error("NATS did not answer: {0}")]
    Lost(String),
    /// It was not done.
    #[error("JetStream refuses: {} ({})", .0.description, .0.err_code)]
    Refused(Refusal),
    /// The answer is none.
    #[error("JetStream's answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
}

/// JetStream's word on a call that it does not carry out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

/// The part of an answer that is there if the call was refused.
#[derive(Deserialize)]
struct Refused {
    error: Option<Refusal>,
}

/// What a record may be written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing.
    Absent,
    /// The record with this sequence.
    Sequence(u64),
    /// Anything.
    Any,
}

/// That a record was written.
#[derive(Debug, Deserialize)]
pub(super) struct Written {
    pub(super) seq: u64,
}

impl Line {
    /// Calls JetStream.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        subject: String,
        request: &serde_json::Value,
    ) -> Result<T, CallError> {
        read(&self.ask(subject, HeaderMap::new(), request.to_string().into()).await?)
    }

    /// Writes a record.
    pub(super) async fn write(
        &self,
        subject: String,
        over: Over,
        value: Bytes,
    ) -> Result<Written, CallError> {
        let mut headers = HeaderMap::new();
        match over {
            Over::Absent => headers.insert(EXPECTED, HeaderValue::from(0_u64)),
            Over::Sequence(sequence) => headers.insert(EXPECTED, HeaderValue::from(sequence)),
            Over::Any => {}
        }
        read(&self.ask(subject, headers, value).await?)
    }

    /// Asks for an answer as it is.
    pub(super) async fn ask(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Message, CallError> {
        let message = self.request(subject, headers, payload).await?;
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(CallError::Nobody);
        }
        Ok(message)
    }
}

fn read<T: DeserializeOwned>(message: &Message) -> Result<T, CallError> {
    let refused: Refused =
        serde_json::from_slice(&message.payload).map_err(CallError::Unreadable)?;
    match refused.error {
        Some(refusal) => Err(CallError::Refused(refusal)),
        None => serde_json::from_slice(&message.payload).map_err(CallError::Unreadable),
    }
}

impl From<NoAnswer> for CallError {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::Down(why) => Self::Down(why),
            NoAnswer::Lost(why) => Self::Lost(why),
        }
    }
}

impl CallError {
    /// The number of the refusal, if it is one.
    pub(super) fn code(&self) -> Option<u64> {
        match self {
            Self::Refused(refusal) => Some(refusal.err_code),
            _ => None,
        }
    }

    /// What it means for a reader.
    pub(super) fn of_read(self) -> StoreError {
        match self {
            Self::Unreadable(_) => StoreError::Damaged(self.into()),
            _ => StoreError::Unavailable(self.into()),
        }
    }

    /// What it means for a write that needed `over`.
    pub(super) fn of_write(self, bucket: Bucket, over: Over, size: usize) -> StoreError {
        match &self {
            Self::Down(_) | Self::Nobody => StoreError::Unavailable(self.into()),
            Self::Lost(_) | Self::Unreadable(_) => StoreError::Unknown(self.into()),
            Self::Refused(refusal) => match meaning(refusal) {
                Meaning::Present if over == Over::Absent => StoreError::Exists,
                Meaning::Present => StoreError::Conflict,
                Meaning::Full => StoreError::Full(bucket),
                Meaning::TooLarge => {
                    StoreError::TooLarge { bucket, size, max: bucket.max_record() }
                }
                Meaning::Unwritten => StoreError::Unavailable(self.into()),
                Meaning::Unclear => StoreError::Unknown(self.into()),
            },
        }
    }
}

/// What a refused write means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// The record is not what was expected.
    Present,
    Full,
    TooLarge,
    /// Nothing was written.
    Unwritten,
    /// The disk failed in the middle of it.
    Unclear,
}

fn meaning(refusal: &Refusal) -> Meaning {
    let says = |part: &str| refusal.description.contains(part);
    match refusal.err_code {
        one if code::WRONG_LAST_SEQUENCE.contains(&one) => Meaning::Present,
        code::STORE_FAILED if says("maximum messages per subject") => Meaning::Present,
        code::STORE_FAILED if says("maximum") || says("no space left") => Meaning::Full,
        code::STORE_FAILED => Meaning::Unclear,
        code::INSUFFICIENT_STORAGE | code::INSUFFICIENT_RESOURCES => Meaning::Full,
        code::TOO_LARGE => Meaning::TooLarge,
        _ => Meaning::Unwritten,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(err_code: u64, description: &str) -> Refusal {
        Refusal { err_code, description: description.into() }
    }

    #[test]
    fn refusals_mean_what_the_server_means() {
        for (err_code, description, expected) in [
            (10071, "wrong last sequence: 1", Meaning::Present),
            (10164, "wrong last sequence", Meaning::Present),
            (10077, "maximum messages per subject exceeded", Meaning::Present),
            (10077, "maximum bytes exceeded", Meaning::Full),
            (10077, "write /data: no space left on device", Meaning::Full),
            (10077, "write /data: input/output error", Meaning::Unclear),
            (10047, "insufficient storage resources available", Meaning::Full),
            (10054, "message size exceeds maximum allowed", Meaning::TooLarge),
            (10111, "rollup not permitted", Meaning::Unwritten),
        ] {
            assert_eq!(meaning(&refusal(err_code, description)), expected, "{description}");
        }
    }

    #[test]
    fn a_lost_answer_is_unknown_and_what_was_not_sent_is_not_written() {
        let of = |error: CallError, over| error.of_write(Bucket::Claims, over, 1);
        let lost = || CallError::Lost("timed out".into());
        assert!(matches!(of(lost(), Over::Absent), StoreError::Unknown(_)));
        assert!(matches!(of(CallError::Nobody, Over::Absent), StoreError::Unavailable(_)));
        assert!(matches!(of(CallError::Down("x".into()), Over::Any), StoreError::Unavailable(_)));
        let present = || CallError::Refused(refusal(10071, "wrong last sequence: 1"));
        assert!(matches!(of(present(), Over::Absent), StoreError::Exists));
        assert!(matches!(of(present(), Over::Sequence(4)), StoreError::Conflict));
        assert!(matches!(lost().of_read(), StoreError::Unavailable(_)));
    }
}
