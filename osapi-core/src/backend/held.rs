//! A store that a test holds where it wants: what cannot be brought about by timing.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use super::{
    Bucket, Cursor, Durability, Entry, Key, Link, Prefix, Revision, Store, StoreError, Watch,
};
use crate::id::StoreId;

/// Where a store can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
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
pub struct HeldStore {
    inner: Arc<dyn Store>,
    gates: Gates,
    relays: TaskTracker,
}

#[derive(Debug, Clone, Default)]
struct Gates {
    held: watch::Sender<HashSet<Point>>,
    /// The held points at which something has come to wait.
    reached: watch::Sender<HashSet<Point>>,
}

impl HeldStore {
    /// A store over `inner` that holds nothing yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, gates: Gates::default(), relays: TaskTracker::new() }
    }

    /// From now on, whatever comes to one of `points` waits there.
    pub fn hold(&self, points: &[Point]) {
        self.gates.reached.send_modify(|reached| reached.retain(|point| !points.contains(point)));
        self.gates.held.send_modify(|held| held.extend(points));
    }

    /// Holds nothing any more.
    pub fn release(&self) {
        self.gates.held.send_replace(HashSet::new());
    }

    /// Waits until something waits at `point`, since it was held.
    ///
    /// # Cancel safety
    /// It may be dropped and called again.
    pub async fn reached(&self, point: Point) {
        let mut reached = self.gates.reached.subscribe();
        // The sender is alive as long as `self`, so that waiting cannot fail.
        drop(reached.wait_for(|reached| reached.contains(&point)).await);
    }

    async fn pass(&self, point: Point) {
        self.gates.pass(point).await;
    }
}

impl Gates {
    async fn pass(&self, point: Point) {
        let mut held = self.held.subscribe();
        if held.borrow().contains(&point) {
            self.reached.send_modify(|reached| {
                reached.insert(point);
            });
        }
        // The sender is alive as long as `self`, so that waiting cannot fail.
        drop(held.wait_for(|held| !held.contains(&point)).await);
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
    fn durability(&self) -> watch::Receiver<Durability> {
        self.inner.durability()
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
        let gates = self.gates.clone();
        self.relays.spawn(async move {
            while let Some(change) = watch.next().await {
                gates.pass(Point::Change(bucket)).await;
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
