//! The store.

use std::fmt;
use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::api::{CallError, Over, code};
use super::connection::{ANSWER, Line, Nats};
use super::durability::Reader;
use super::keeper::Keeper;
use super::names::{self, jetstream};
use super::watch::Watcher;
use crate::backend::{
    Bucket, Cursor, Durability, Entry, Key, Link, Prefix, Revision, Source, Store, StoreError,
    Watch,
};
use crate::id::StoreId;

/// Pause before a write is tried again beside which another was under way.
const WRITE_AGAIN: Duration = Duration::from_millis(10);

/// Durable records on JetStream: one stream per bucket, one message per record. Dropping the store ends its watches.
///
/// It does not tell removals: a full scan finds them.
pub struct NatsStore {
    nats: Nats,
    id: StoreId,
    link: watch::Receiver<Link>,
    durability: watch::Receiver<Durability>,
    ending: CancellationToken,
    _end_on_drop: DropGuard,
}

/// What the leader of a stream says of it.
#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) config: serde_json::Value,
    pub(super) created: String,
    pub(super) state: StreamState,
}

/// Where a stream stands.
#[derive(Debug, Deserialize)]
pub(super) struct StreamState {
    pub(super) last_seq: u64,
}

/// A message as its stream's leader tells it.
#[derive(Deserialize)]
struct Stored {
    seq: u64,
    #[serde(default)]
    data: String,
}

/// The answer that holds it.
#[derive(Deserialize)]
struct Found {
    message: Stored,
}

#[derive(Deserialize)]
struct Purged {
    purged: u64,
}

/// What came is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("a record without {0}")]
struct Without(&'static str);

impl NatsStore {
    pub(super) async fn new(nats: Nats, id: StoreId, reader: Option<Reader>) -> Self {
        let ending = nats.watching();
        let (up, link) = watch::channel(Link::Up);
        let (read, durability) = watch::channel(Durability::Unknown);
        let keeper = Keeper { line: nats.line().clone(), id, reader, link: up, durability: read };
        keeper.read().await;
        drop(nats.tasks().spawn(ending.clone().run_until_cancelled_owned(keeper.run())));
        Self { nats, id, link, durability, _end_on_drop: ending.clone().drop_guard(), ending }
    }

    /// The connection, if the store can be used.
    fn line(&self) -> Result<&Line, StoreError> {
        match &*self.link.borrow() {
            Link::Up => Ok(self.nats.line()),
            Link::Down(why) => Err(StoreError::Unavailable(why.clone().into())),
        }
    }

    fn stream(&self, bucket: Bucket) -> String {
        names::stream(&self.nats.line().namespace, bucket)
    }

    fn subject(&self, bucket: Bucket, key: &Key) -> String {
        names::record(&self.nats.line().namespace, bucket, key)
    }

    async fn write(
        &self,
        bucket: Bucket,
        key: &Key,
        over: Over,
        value: Bytes,
    ) -> Result<u64, StoreError> {
        let size = value.len();
        if size > bucket.max_record() {
            return Err(StoreError::TooLarge { bucket, size, max: bucket.max_record() });
        }
        let subject = self.subject(bucket, key);
        let give_up = tokio::time::Instant::now() + ANSWER;
        loop {
            match self.line()?.write(subject.clone(), over, value.clone()).await {
                Ok(written) => return Ok(written.seq),
                // In a cluster the server does not yet know what this write stands beside.
                Err(error)
                    if error.code() == Some(code::WRITE_UNDER_WAY)
                        && tokio::time::Instant::now() < give_up =>
                {
                    tokio::time::sleep(WRITE_AGAIN).await;
                }
                Err(error) => return Err(error.of_write(bucket, over, size)),
            }
        }
    }
}

#[async_trait]
impl Store for NatsStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// It was read when the store was opened, and is read after each loss of the connection and every few minutes.
    fn durability(&self) -> watch::Receiver<Durability> {
        self.durability.clone()
    }

    async fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError> {
        let subject = jetstream::get(&self.stream(bucket), &self.subject(bucket, key));
        let asked = self.line()?.ask(subject, HeaderMap::new(), Bytes::new()).await;
        let message = asked.map_err(CallError::of_read)?;
        match message.status {
            None => Ok(Some(direct(key, message)?)),
            Some(StatusCode::NOT_FOUND) => Ok(None),
            Some(status) => Err(StoreError::Unavailable(format!("status {status}").into())),
        }
    }

    async fn get_latest(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError> {
        let subject = jetstream::get_latest(&self.stream(bucket));
        let request = json!({ "last_by_subj": self.subject(bucket, key) });
        match self.line()?.call::<Found>(subject, &request).await {
            Ok(found) => {
                let value = STANDARD.decode(&found.message.data).map_err(damaged)?;
                Ok(Some(entry(key.clone(), value.into(), found.message.seq)))
            }
            Err(error) if error.code() == Some(code::NO_MESSAGE) => Ok(None),
            Err(error) => Err(error.of_read()),
        }
    }

    async fn create(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Cursor, StoreError> {
        self.write(bucket, key, Over::Absent, value).await.map(Cursor)
    }

    async fn put(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Revision, StoreError> {
        check_mutable(bucket)?;
        self.write(bucket, key, Over::Any, value).await.map(Revision)
    }

    async fn update(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        revision: Revision,
    ) -> Result<Revision, StoreError> {
        check_mutable(bucket)?;
        self.write(bucket, key, Over::Sequence(revision.0), value).await.map(Revision)
    }

    async fn purge(&self, bucket: Bucket, prefix: &Prefix) -> Result<u64, StoreError> {
        let mut removed = 0;
        for filter in names::records_under(&self.nats.line().namespace, bucket, prefix) {
            let request = json!({ "filter": filter });
            let subject = jetstream::purge(&self.stream(bucket));
            match self.line()?.call::<Purged>(subject, &request).await {
                Ok(part) => removed += part.purged,
                Err(CallError::Lost(why)) => return Err(StoreError::Unknown(why.into())),
                // Some of it is gone already, so "nothing was written" would be wrong.
                Err(error) if removed > 0 => return Err(StoreError::Unknown(error.into())),
                Err(error) => return Err(error.of_read()),
            }
        }
        Ok(removed)
    }

    async fn watch(
        &self,
        bucket: Bucket,
        prefix: &Prefix,
        from: Option<Cursor>,
    ) -> Result<Watch, StoreError> {
        let (changes, receiver) = mpsc::channel(capacity(bucket));
        let (line, ending) = (self.line()?.clone(), self.ending.clone());
        let watcher = Watcher::open(line, bucket, prefix, from, changes, ending).await?;
        drop(self.nats.watches().spawn(watcher.run()));
        Ok(Watch::new(receiver))
    }

    async fn head(&self, bucket: Bucket) -> Result<Cursor, StoreError> {
        let info = stream_info(self.line()?, bucket).await.map_err(CallError::of_read)?;
        Ok(Cursor(info.state.last_seq))
    }
}

/// What the leader of a bucket's stream says of it.
pub(super) async fn stream_info(line: &Line, bucket: Bucket) -> Result<StreamInfo, CallError> {
    let stream = names::stream(&line.namespace, bucket);
    line.call(jetstream::stream_info(&stream), &json!({})).await
}

/// A record of a stream.
pub(super) fn entry(key: Key, value: Bytes, sequence: u64) -> Entry {
    Entry { key, value, revision: Revision(sequence), cursor: Cursor(sequence) }
}

fn direct(key: &Key, message: Message) -> Result<Entry, StoreError> {
    let headers = message.headers.as_ref();
    let sequence = headers.and_then(|headers| headers.get("Nats-Sequence"));
    let sequence = sequence.and_then(|sequence| sequence.as_str().parse().ok());
    let sequence = sequence.ok_or_else(|| damaged(Without("a sequence")))?;
    Ok(entry(key.clone(), message.payload, sequence))
}

/// How many changes may wait in the channel of a watch, beside what its consumer has sent.
fn capacity(bucket: Bucket) -> usize {
    const BYTES: usize = 4 << 20;
    (BYTES / bucket.max_record()).clamp(4, 256)
}

fn check_mutable(bucket: Bucket) -> Result<(), StoreError> {
    if bucket.is_write_once() { Err(StoreError::WriteOnce(bucket)) } else { Ok(()) }
}

fn damaged(source: impl Into<Source>) -> StoreError {
    StoreError::Damaged(source.into())
}

impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore").field("id", &self.id).finish_non_exhaustive()
    }
}
