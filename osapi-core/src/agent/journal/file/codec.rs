//! Records as bytes: JSON with a version, so that a later build's record is named instead of misread.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::{JournalError, Record};
use crate::id::JobId;
use crate::job::record::VERSION;

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u64,
    #[serde(flatten)]
    value: T,
}

#[derive(Deserialize)]
struct Version {
    v: u64,
}

/// The bytes of a header or a record.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(&Versioned { v: VERSION.into(), value })
        .expect("records have text keys and no other way to fail")
}

/// The header or record in `bytes`; `name` is for the error.
pub(super) fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, JournalError> {
    let damaged = |source| JournalError::Damaged { record: name.to_owned(), source };
    let Version { v: version } = serde_json::from_slice(bytes).map_err(damaged)?;
    if version > VERSION.into() {
        return Err(JournalError::Newer { record: name.to_owned(), version, known: VERSION });
    }
    serde_json::from_slice(bytes).map(|versioned: Versioned<T>| versioned.value).map_err(damaged)
}

/// A job's record and its key.
pub(super) fn record(key: &str, bytes: &[u8]) -> Result<(JobId, Record), JournalError> {
    let job = key.parse().map_err(|err: crate::id::InvalidId| JournalError::Damaged {
        record: key.to_owned(),
        source: serde::de::Error::custom(err),
    })?;
    Ok((job, decode(key, bytes)?))
}
