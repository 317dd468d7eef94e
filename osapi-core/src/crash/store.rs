//! A store that crashes before or after a write.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::point::{Place, Side};
use super::trap::pass;
use crate::backend::{
    Bucket, Cursor, Durability, Entry, Key, Link, Prefix, Revision, Store, StoreError, Watch,
};
use crate::id::{JobId, StoreId};

pub(super) struct CrashingStore {
    inner: Arc<dyn Store>,
}

impl CrashingStore {
    pub(super) fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }
}

/// What a write of this bucket is; none of those that nothing is written to yet.
fn place(bucket: Bucket) -> Option<Place> {
    Some(match bucket {
        Bucket::Jobs => Place::WriteJob,
        Bucket::Envelopes => Place::WriteOrder,
        Bucket::Hosts => Place::WriteHosts,
        Bucket::Reservations => Place::WriteReservation,
        Bucket::Cancels => Place::WriteCancel,
        Bucket::Claims => Place::WriteClaim,
        Bucket::Reports => Place::WriteReports,
        Bucket::Output => Place::WriteOutput,
        Bucket::Removed => Place::WriteRemoval,
        Bucket::Keyrings => Place::WriteRing,
        Bucket::Agents => Place::WriteAgent,
        Bucket::Rollouts | Bucket::Audit | Bucket::Drains | Bucket::Revoked => return None,
    })
}

/// Does a write between its two points.
async fn between<T>(bucket: Bucket, key: &Key, write: impl Future<Output = T>) -> T {
    let job: Option<JobId> = key.tokens().next().and_then(|token| token.parse().ok());
    let at = |side| place(bucket).into_iter().for_each(|place| pass(place, side, job));
    at(Side::Before);
    let written = write.await;
    at(Side::After);
    written
}

#[async_trait]
impl Store for CrashingStore {
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
        self.inner.get(bucket, key).await
    }

    async fn get_latest(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.inner.get_latest(bucket, key).await
    }

    async fn create(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Cursor, StoreError> {
        between(bucket, key, self.inner.create(bucket, key, value)).await
    }

    async fn put(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Revision, StoreError> {
        between(bucket, key, self.inner.put(bucket, key, value)).await
    }

    async fn update(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        revision: Revision,
    ) -> Result<Revision, StoreError> {
        between(bucket, key, self.inner.update(bucket, key, value, revision)).await
    }

    async fn purge(&self, bucket: Bucket, prefix: &Prefix) -> Result<u64, StoreError> {
        pass(Place::Purge, Side::Before, None);
        let purged = self.inner.purge(bucket, prefix).await;
        pass(Place::Purge, Side::After, None);
        purged
    }

    async fn watch(
        &self,
        bucket: Bucket,
        prefix: &Prefix,
        from: Option<Cursor>,
    ) -> Result<Watch, StoreError> {
        self.inner.watch(bucket, prefix, from).await
    }

    async fn head(&self, bucket: Bucket) -> Result<Cursor, StoreError> {
        self.inner.head(bucket).await
    }
}
