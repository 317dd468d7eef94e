//! The records that a controller writes and reads: their forms, their keys, and the one way to encode them.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::auth::envelope::Signed;
use crate::backend::{Bucket, Entry, Key, Store, StoreError};
use crate::clock::Timestamp;
use crate::id::{AgentName, Digest, InstanceId, JobId, Nonce, PublicKey};
use crate::job::report::Stream;
use crate::job::{Host, JobRecord, Report, limits};
use crate::message::{CancelOrder, Order, Registration};

/// What an idempotency key stands for. Bucket `reservations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reservation {
    pub(super) v: u8,
    pub(super) job: JobId,
    /// Settles who created it when an answer was lost.
    pub(super) nonce: Nonce,
    /// Hash of the request, so that the key never stands for two.
    pub(super) body: Digest,
    pub(super) created_at: Timestamp,
    pub(super) not_after: Timestamp,
}

/// Who is registered under a name, and which keys were removed from it. Bucket `agents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AgentRecord {
    pub(super) v: u8,
    /// The registration as the agent signed it; absent if the last agent of the name was removed.
    pub(super) registration: Option<Signed<Registration>>,
    /// When it was stored, or removed.
    pub(super) registered_at: Timestamp,
    /// These keys are never let in again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) removed: Vec<RemovedKey>,
}

/// The tombstone of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RemovedKey {
    pub(super) key: PublicKey,
    pub(super) at: Timestamp,
    pub(super) by: String,
}

impl AgentRecord {
    pub(super) fn has_removed(&self, key: &PublicKey) -> bool {
        self.removed.iter().any(|removed| removed.key == *key)
    }
}

/// A cancel. Bucket `cancels`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CancelRecord {
    pub(super) v: u8,
    pub(super) cancel: Signed<CancelOrder>,
    pub(super) at: Timestamp,
}

/// Reports of many hosts of one job. Bucket `reports`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ReportBatch {
    pub(super) v: u8,
    pub(super) reports: Vec<Signed<Report>>,
    /// When the controller that wrote them received them.
    pub(super) received_at: Timestamp,
}

/// A part of a job's host list. Bucket `hosts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct HostsPart {
    pub(super) v: u8,
    pub(super) hosts: Vec<Host>,
}

/// A job that was deleted, or whose retention is past. Bucket `removed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RemovedRecord {
    pub(super) v: u8,
    pub(super) at: Timestamp,
    /// Who deleted it; absent if its retention was past.
    pub(super) by: Option<String>,
}

/// The bytes of a record.
pub(super) fn encode<T: Serialize>(record: &T) -> Bytes {
    serde_json::to_vec(record).expect("records have text keys and no other way to fail").into()
}

/// The record in an entry.
pub(super) fn decode<T: DeserializeOwned>(entry: &Entry) -> Result<T, StoreError> {
    serde_json::from_slice(&entry.value).map_err(|err| StoreError::Damaged(Box::new(err)))
}

/// The text of a signed document that is a record by itself.
pub(super) fn signed<D>(entry: &Entry) -> Result<Signed<D>, StoreError>
where
    D: crate::auth::envelope::Document,
{
    let text =
        std::str::from_utf8(&entry.value).map_err(|err| StoreError::Damaged(Box::new(err)))?;
    Ok(Signed::from_text(text.to_owned()))
}

pub(super) fn reservation_key(subject: &str, key: &str) -> Key {
    Key::of(&[&Digest::of(format!("{subject}\0{key}").as_bytes())])
}

pub(super) fn envelope_key(job: JobId, envelope: Digest) -> Key {
    Key::of(&[&job, &envelope])
}

pub(super) fn hosts_key(job: JobId, part: Digest) -> Key {
    Key::of(&[&job, &part])
}

/// The claim on the execution of one host, or on a job as a whole.
pub(super) fn claim_key(job: JobId, host: Option<&AgentName>) -> Key {
    match host {
        Some(host) => Key::of(&[&job, host]),
        None => Key::of(&[&job]),
    }
}

pub(super) fn reports_key(job: JobId, writer: InstanceId, n: u64) -> Key {
    Key::of(&[&job, &writer, &n])
}

pub(super) fn output_key(job: JobId, host: &AgentName, stream: Stream, offset: u64) -> Key {
    Key::of(&[&job, host, &stream_token(stream), &offset])
}

pub(super) fn stream_token(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "out",
        Stream::Stderr => "err",
    }
}

/// The first token of a key, which is the job in most buckets.
pub(super) fn job_of(key: &Key) -> Option<JobId> {
    key.tokens().next()?.parse().ok()
}

/// A host list in parts that fit the store, each with its hash.
pub(super) fn host_parts(hosts: &[Host]) -> Vec<(Digest, Bytes)> {
    // A row has at most 63 bytes of name, 53 of key, 32 of journal, and its field names: below 256.
    const ROW_MAX: usize = 256;
    hosts
        .chunks(limits::HOSTS_PART_MAX / ROW_MAX)
        .map(|part| {
            let bytes = encode(&HostsPart { v: crate::job::record::VERSION, hosts: part.to_vec() });
            (Digest::of(&bytes), bytes)
        })
        .collect()
}

/// The record of a job.
pub(super) async fn load_job(
    store: &dyn Store,
    job: JobId,
) -> Result<Option<JobRecord>, StoreError> {
    let Some(entry) = read(store, Bucket::Jobs, &Key::of(&[&job])).await? else { return Ok(None) };
    let record: JobRecord = decode(&entry)?;
    match record.job == job {
        true => Ok(Some(record)),
        false => Err(StoreError::Damaged("the job record is another job's".into())),
    }
}

/// A signed order that was read back, or why it cannot be.
pub(super) async fn load_order(
    store: &dyn Store,
    job: JobId,
    envelope: Digest,
) -> Result<Signed<Order>, StoreError> {
    let missing = || StoreError::Damaged("the signed order is missing".into());
    let key = envelope_key(job, envelope);
    let entry = read(store, Bucket::Envelopes, &key).await?.ok_or_else(missing)?;
    let order: Signed<Order> = signed(&entry)?;
    if order.digest() == envelope {
        Ok(order)
    } else {
        Err(StoreError::Damaged("the signed order was altered".into()))
    }
}

/// The host list of a job, read back and checked against its hashes.
pub(super) async fn load_hosts(
    store: &dyn Store,
    job: JobId,
    parts: &[Digest],
) -> Result<Vec<Host>, StoreError> {
    let mut hosts = Vec::new();
    for part in parts {
        let entry = read(store, Bucket::Hosts, &hosts_key(job, *part)).await?;
        let entry = entry
            .ok_or_else(|| StoreError::Damaged("a part of the host list is missing".into()))?;
        if Digest::of(&entry.value) != *part {
            return Err(StoreError::Damaged("a part of the host list was altered".into()));
        }
        hosts.extend(decode::<HostsPart>(&entry)?.hosts);
    }
    Ok(hosts)
}

/// A record that is known to have been written: stale reads are tried again at the leader.
pub(super) async fn read(
    store: &dyn Store,
    bucket: Bucket,
    key: &Key,
) -> Result<Option<Entry>, StoreError> {
    match store.get(bucket, key).await? {
        Some(entry) => Ok(Some(entry)),
        None => store.get_latest(bucket, key).await,
    }
}
