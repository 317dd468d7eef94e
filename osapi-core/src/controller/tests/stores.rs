//! A store that a test holds where it wants.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::backend::{
    Bucket, Cursor, Entry, Key, Link, Prefix, Revision, Store, StoreError, Watch,
};
use crate::id::StoreId;

/// Where a store can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Point {
    /// Before a record is created.
    Creating(Bucket),
    /// After a record was created, before that is answered.
    Created(Bucket),
    /// After a watch was opened, before that is answered.
    Watched(Bucket),
    /// Before a watch tells a change.
    Change(Bucket),
}

/// A store whose calls wait at the points that are held.
pub(super) struct HeldStore {
    inner: Arc<dyn Store>,
    held: watch::Sender<HashSet<Point>>,
    relays: TaskTracker,
}

impl HeldStore {
    pub(super) fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, held: watch::Sender::default(), relays: TaskTracker::new() }
    }

    pub(super) fn hold(&self, points: &[Point]) {
        self.held.send_modify(|held| held.extend(points));
    }

    /// Holds nothing any more.
    pub(super) fn release(&self) {
        self.held.send_replace(HashSet::new());
    }

    async fn pass(&self, point: Point) {
        pass(self.held.subscribe(), point).await;
    }
}

async fn pass(mut held: watch::Receiver<HashSet<Point>>, point: Point) {
    if held.wait_for(|held| !held.contains(&point)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Store for HeldStore {
    fn id(&self) -> StoreId {
        self.inner.id()
    }
    fn link(&self) -> watch::Receiver<Link> {
        self.inner.link()
    }
    async fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.inner.get(bucket, key).await
    }
    async fn get_latest(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.inner.get_latest(bucket, key).await
    }
    async fn create(
        &self,
        bucket: Bucket,
        key: &Key,
        value: bytes::Bytes,
    ) -> Result<Cursor, StoreError> {
        self.pass(Point::Creating(bucket)).await;
        let created = self.inner.create(bucket, key, value).await;
        self.pass(Point::Created(bucket)).await;
        created
    }
    async fn put(
        &self,
        bucket: Bucket,
        key: &Key,
        value: bytes::Bytes,
    ) -> Result<Revision, StoreError> {
        self.inner.put(bucket, key, value).await
    }
    async fn update(
        &self,
        bucket: Bucket,
        key: &Key,
        value: bytes::Bytes,
        revision: Revision,
    ) -> Result<Revision, StoreError> {
        self.inner.update(bucket, key, value, revision).await
    }
    async fn purge(&self, bucket: Bucket, prefix: &Prefix) -> Result<u64, StoreError> {
        self.inner.purge(bucket, prefix).await
    }
    async fn watch(
        &self,
        bucket: Bucket,
        prefix: &Prefix,
        from: Option<Cursor>,
    ) -> Result<Watch, StoreError> {
        let mut watch = self.inner.watch(bucket, prefix, from).await?;
        self.pass(Point::Watched(bucket)).await;
        let (tell, told) = mpsc::channel(16);
        let held = self.held.subscribe();
        self.relays.spawn(async move {
            while let Some(change) = watch.next().await {
                pass(held.clone(), Point::Change(bucket)).await;
                if tell.send(change).await.is_err() {
                    return;
                }
            }
        });
        Ok(Watch::new(told))
    }
    async fn head(&self, bucket: Bucket) -> Result<Cursor, StoreError> {
        self.inner.head(bucket).await
    }
}
