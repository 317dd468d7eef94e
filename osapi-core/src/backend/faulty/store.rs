//! A store that answers late, not at all, or with what was.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::dice::Dice;
use super::watch::{Relay, WATCH_QUEUE};
use crate::backend::{
    Bucket, Cursor, Durability, Entry, Key, Link, Prefix, Revision, Store, StoreError, Watch,
};
use crate::id::StoreId;

/// Records whose earlier state is kept; then all are forgotten.
const EARLIER: usize = 4096;

/// How often a [`FaultyStore`] does what, each a share between 0 and 1 of the calls that it concerns.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StoreFaults {
    /// Writes that are done and answered with [`StoreError::Unknown`]. What the store refuses is still told as refused.
    pub unknown: f64,
    /// Writes that are not done and answered with [`StoreError::Unknown`] all the same.
    pub unknown_unwritten: f64,
    /// Creates that are done and answered with [`StoreError::Exists`], as by a client that repeats a create whose answer was lost.
    pub own_exists: f64,
    /// Calls of every kind that are not done and answered with [`StoreError::Unavailable`].
    pub unavailable: f64,
    /// Calls of `get` that answer what was there before the last write that went through this wrapper.
    pub stale: f64,
    /// Changes after which a watch tells the last writes again, as after a lost connection.
    pub repeat: f64,
    /// Changes after which a watch ends with [`StoreError::Unavailable`].
    pub cut: f64,
}

/// A store that misbehaves within its contract, the same way for the same seed and order of calls.
///
/// Each call of a protocol that tries again gets through in the end as long as the rates are below 1.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    dice: Dice,
    faults: Arc<Mutex<StoreFaults>>,
    earlier: Mutex<HashMap<(Bucket, Key), Option<Entry>>>,
    relays: TaskTracker,
    ending: CancellationToken,
    _end_on_drop: DropGuard,
}

/// Why a call failed that need not have.
#[derive(Debug, thiserror::Error)]
#[error("a fault was injected")]
pub(super) struct Injected;

impl FaultyStore {
    /// A store over `inner` that misbehaves as often as `faults` says.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, seed: u64, faults: StoreFaults) -> Self {
        let ending = CancellationToken::new();
        Self {
            inner,
            dice: Dice::new(seed),
            faults: Arc::new(Mutex::new(faults)),
            earlier: Mutex::default(),
            relays: TaskTracker::new(),
            _end_on_drop: ending.clone().drop_guard(),
            ending,
        }
    }

    /// Changes how often it does what from now on, in running watches too: to heal it, or to cut it off.
    pub fn set(&self, faults: StoreFaults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    fn faults(&self) -> StoreFaults {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reach(&self) -> Result<(), StoreError> {
        if self.dice.chance(self.faults().unavailable) {
            Err(StoreError::Unavailable(Box::new(Injected)))
        } else {
            Ok(())
        }
    }

    /// Does a write, or not, and says so, or not.
    async fn write<T>(
        &self,
        write: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.reach()?;
        let faults = self.faults();
        if self.dice.chance(faults.unknown_unwritten) {
            return Err(StoreError::Unknown(Box::new(Injected)));
        }
        let answer = write.await?;
        if self.dice.chance(faults.unknown) {
            return Err(StoreError::Unknown(Box::new(Injected)));
        }
        Ok(answer)
    }

    /// Keeps the state of a record from before a write, for stale reads.
    async fn remember(&self, bucket: Bucket, key: &Key) -> Result<(), StoreError> {
        if self.faults().stale == 0.0 {
            return Ok(());
        }
        let before = self.inner.get_latest(bucket, key).await?;
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        if earlier.len() >= EARLIER {
            earlier.clear();
        }
        earlier.insert((bucket, key.clone()), before);
        Ok(())
    }

    fn stale(&self, bucket: Bucket, key: &Key) -> Option<Option<Entry>> {
        if !self.dice.chance(self.faults().stale) {
            return None;
        }
        let earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.get(&(bucket, key.clone())).cloned()
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn id(&self) -> StoreId {
        self.inner.id()
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.inner.link()
    }

    fn durability(&self) -> watch::Receiver<Durability> {
        self.inner.durability()
    }

    async fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.reach()?;
        match self.stale(bucket, key) {
            Some(earlier) => Ok(earlier),
            None => self.inner.get(bucket, key).await,
        }
    }

    async fn get_latest(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.reach()?;
        self.inner.get_latest(bucket, key).await
    }

    async fn create(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Cursor, StoreError> {
        self.remember(bucket, key).await?;
        let cursor = self.write(self.inner.create(bucket, key, value)).await?;
        if self.dice.chance(self.faults().own_exists) {
            Err(StoreError::Exists)
        } else {
            Ok(cursor)
        }
    }

    async fn put(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Revision, StoreError> {
        self.remember(bucket, key).await?;
        self.write(self.inner.put(bucket, key, value)).await
    }

    async fn update(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        revision: Revision,
    ) -> Result<Revision, StoreError> {
        self.remember(bucket, key).await?;
        self.write(self.inner.update(bucket, key, value, revision)).await
    }

    async fn purge(&self, bucket: Bucket, prefix: &Prefix) -> Result<u64, StoreError> {
        self.write(self.inner.purge(bucket, prefix)).await
    }

    async fn watch(
        &self,
        bucket: Bucket,
        prefix: &Prefix,
        from: Option<Cursor>,
    ) -> Result<Watch, StoreError> {
        self.reach()?;
        let watch = self.inner.watch(bucket, prefix, from).await?;
        let (changes, receiver) = mpsc::channel(WATCH_QUEUE);
        // Dice of its own, so that how tasks take turns changes nothing.
        let dice = Dice::new(self.dice.roll());
        let relay = Relay::new(dice, Arc::clone(&self.faults), changes);
        // The relay ends with the watch, its reader or this store, whichever is first.
        drop(self.relays.spawn(self.ending.clone().run_until_cancelled_owned(relay.run(watch))));
        Ok(Watch::new(receiver))
    }

    async fn head(&self, bucket: Bucket) -> Result<Cursor, StoreError> {
        self.reach()?;
        self.inner.head(bucket).await
    }
}
