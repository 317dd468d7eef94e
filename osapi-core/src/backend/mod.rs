//! What durable records and ephemeral messages rest on: a [`Store`] and a [`Bus`]. This page is their written contract; the
//! conformance suite checks it, and every implementation passes that suite.
//!
//! Only controllers touch the store. Agents use the bus and their own journal.

pub mod bucket;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(any(test, feature = "conformance"))]
pub mod faulty;
#[cfg(any(test, feature = "conformance"))]
pub mod held;
pub mod key;
#[cfg(feature = "nats")]
pub mod nats;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::id::StoreId;
use crate::message::{Pattern, Subject};

pub use crate::api::types::{Denials, Durability};
pub use bucket::Bucket;
pub use key::{InvalidKey, Key, Prefix};

/// A place in the order of writes of one bucket. Ordered within the bucket and otherwise opaque.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Cursor(pub u64);

/// What [`Store::update`] compares. Equal only if nothing was written in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(pub u64);

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its value.
    pub value: Bytes,
    /// Its revision.
    pub revision: Revision,
    /// Where it stands in its bucket.
    pub cursor: Cursor,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A record was written. It may be told again.
    Put(Entry),
    /// A record was removed, and where the watch stands after that, so that a view that waits for a head gets there even when
    /// the last record was removed before it was told. Removals before the watch was opened are not told.
    Deleted(Key, Cursor),
    /// Everything that was there when the watch was opened has been told, and where the watch stands. Told once.
    CaughtUp(Cursor),
    /// Where the watch stands, when what was last written there is gone and its removal is not told.
    Reached(Cursor),
}

/// Whether a backend can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It can.
    Up,
    /// It cannot, and this is why.
    Down(String),
}

/// What there is to say of denials where there is no broker.
#[must_use]
pub fn never_denied() -> watch::Receiver<Denials> {
    watch::Sender::default().subscribe()
}

/// What callers of a store branch on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// [`Store::create`]: the key is present.
    #[error("record exists")]
    Exists,
    /// [`Store::update`]: the revision is not the present one.
    #[error("record was changed by another")]
    Conflict,
    /// It may have been written, or not: read it back.
    #[error("whether the record was written is unknown")]
    Unknown(#[source] Source),
    /// The bucket takes no more.
    #[error("bucket {0} is full")]
    Full(Bucket),
    /// The value is larger than the bucket takes.
    #[error("record of {size} bytes is larger than the {max} that bucket {bucket} takes")]
    TooLarge {
        /// The bucket.
        bucket: Bucket,
        /// Bytes of the value.
        size: usize,
        /// Most that it takes.
        max: usize,
    },
    /// A write that a write-once bucket refuses.
    #[error("bucket {0} is write-once")]
    WriteOnce(Bucket),
    /// Nothing was written; it may work later.
    #[error("store cannot be reached")]
    Unavailable(#[source] Source),
    /// What is stored cannot be read.
    #[error("store is damaged")]
    Damaged(#[source] Source),
    /// A watch was opened beyond the end, or on a bucket that was made anew: scan it all again.
    #[error("cursor is not of this bucket")]
    Rescan,
}

/// The precise cause beneath a [`StoreError`].
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// A running watch. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<Result<Change, StoreError>>,
}

impl Watch {
    /// A watch that is fed through a channel.
    #[must_use]
    pub fn new(changes: mpsc::Receiver<Result<Change, StoreError>>) -> Self {
        Self { changes }
    }

    /// The next change; `None` when the store has ended. After an error nothing more comes.
    ///
    /// # Cancel safety
    /// No change is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Change, StoreError>> {
        self.changes.recv().await
    }
}

/// Durable records in buckets. Every write that returned `Ok` survives a crash.
///
/// Within a bucket all watchers see writes in one order, that of the cursors.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Which store this is. It changes when the store is made anew.
    fn id(&self) -> StoreId;

    /// Whether it can be reached.
    fn link(&self) -> watch::Receiver<Link>;

    /// Whether a write that returned `Ok` survives a power cut, as far as that is known, and as it changes.
    fn durability(&self) -> watch::Receiver<Durability>;

    /// The record, perhaps not its latest state.
    async fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// The record as it is now: every write that had returned is seen.
    async fn get_latest(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// Writes a record that is not there. Fails with [`StoreError::Exists`] if it is.
    async fn create(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Cursor, StoreError>;

    /// Writes a record, there or not. Refused by write-once buckets.
    async fn put(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Revision, StoreError>;

    /// Writes a record if `revision` is still its revision. Refused by write-once buckets.
    async fn update(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        revision: Revision,
    ) -> Result<Revision, StoreError>;

    /// Removes every record under `prefix` without a trace and tells how many there were. How retention and DELETE free space; also
    /// on write-once buckets.
    async fn purge(&self, bucket: Bucket, prefix: &Prefix) -> Result<u64, StoreError>;

    /// Every record under `prefix` written after `from` (all of them without it), in order, then [`Change::CaughtUp`], then what comes.
    /// It may repeat, and may skip values that were overwritten.
    async fn watch(
        &self,
        bucket: Bucket,
        prefix: &Prefix,
        from: Option<Cursor>,
    ) -> Result<Watch, StoreError>;

    /// The cursor of the bucket's last write; a view that stands there has seen every write that had returned. It never goes back,
    /// and a removal may move it.
    async fn head(&self, bucket: Bucket) -> Result<Cursor, StoreError>;
}

/// A message that was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The bus cannot be reached.
    #[error("bus cannot be reached")]
    Unavailable(#[source] Source),
    /// The message is too large for the bus.
    #[error("message of {size} bytes is larger than the {max} that the bus takes")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Most that it takes.
        max: usize,
    },
}

/// A message that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Where it was published.
    pub subject: Subject,
    /// Its bytes.
    pub payload: Bytes,
}

/// A running subscription. Dropping it ends it. What arrives while its queue is full is lost.
#[derive(Debug)]
pub struct Subscription {
    deliveries: mpsc::Receiver<Delivery>,
}

impl Subscription {
    /// A subscription that is fed through a channel.
    #[must_use]
    pub fn new(deliveries: mpsc::Receiver<Delivery>) -> Self {
        Self { deliveries }
    }

    /// The next message; `None` when the bus has ended.
    ///
    /// # Cancel safety
    /// No message is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    /// A message that has arrived already; `None` if there is none.
    pub fn try_next(&mut self) -> Option<Delivery> {
        self.deliveries.try_recv().ok()
    }
}

/// Ephemeral messages. The bus may lose, repeat, delay and reorder them.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Whether it can be reached.
    fn link(&self) -> watch::Receiver<Link>;

    /// Hands a message over. `Ok` says nothing about its arrival.
    async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError>;

    /// Listens to `pattern`. `Ok` means that what is published from now on arrives.
    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription, BusError>;

    /// Listens to `pattern` as one of the members of `group`: each message goes to one of them.
    async fn subscribe_in(&self, pattern: &Pattern, group: &str) -> Result<Subscription, BusError>;
}
