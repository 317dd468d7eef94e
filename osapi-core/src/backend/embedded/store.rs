//! The store.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use redb::StorageBackend;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::batch::{Op, OpKind};
use super::commit::{Committer, Written};
use super::disk::{Disk, DiskError};
use super::feed::Feeds;
use super::limits::Limits;
use super::open::{self, OpenError, Opened};
use super::watch::{Watcher, capacity};
use crate::backend::{
    Bucket, Cursor, Durability, Entry, Key, Link, Prefix, Revision, Store, StoreError, Watch,
};
use crate::id::StoreId;

/// Most records that one commit of a purge removes, so that other writes get between.
const PURGE_AT_ONCE: usize = 1024;

/// Durable records in one redb file, synced with every commit, for one process.
///
/// Single reads are done in place: they find their pages in memory, or read a few from the disk. Scans and commits run on tokio's
/// blocking pool. Dropping the store ends its watches; [`EmbeddedStore::close`] also waits for what is being written.
#[derive(Debug)]
pub struct EmbeddedStore {
    id: StoreId,
    disk: Arc<Disk>,
    feeds: Arc<Feeds>,
    committer: Arc<Committer>,
    tasks: TaskTracker,
    ending: CancellationToken,
    _end_on_drop: DropGuard,
}

/// What a store has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Synced commits.
    pub commits: u64,
    /// Writes in them.
    pub writes: u64,
}

impl EmbeddedStore {
    /// Opens the store in the file `path`, or makes one there, readable by its owner only. The directory must exist. An existing
    /// file is read whole to check it. Blocks; needs no runtime.
    ///
    /// # Errors
    /// See [`OpenError`]. A file that cannot be used is left as it is.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, OpenError> {
        open::open(path, &limits).and_then(|opened| Self::new(opened, limits, path))
    }

    /// An empty store that ends with the process. Of itself it says what one in a file says.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::in_memory_with(Limits::default())
    }

    /// An empty store that ends with the process, with these limits.
    #[must_use]
    pub fn in_memory_with(limits: Limits) -> Self {
        Self::on(redb::backends::InMemoryBackend::new(), limits)
            .expect("memory can be read and written")
    }

    /// A store on any redb backend.
    pub(in crate::backend::embedded) fn on(
        backend: impl StorageBackend,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        let path = Path::new("(memory)");
        open::on(path, backend, &limits).and_then(|opened| Self::new(opened, limits, path))
    }

    fn new(opened: Opened, limits: Limits, path: &Path) -> Result<Self, OpenError> {
        let disk = Arc::new(Disk::new(opened.database, limits));
        let feeds = Feeds::of(&disk).map_err(|error| OpenError::damaged(path, error))?;
        let feeds = Arc::new(feeds);
        let ending = CancellationToken::new();
        Ok(Self {
            id: opened.id,
            committer: Arc::new(Committer::new(Arc::clone(&disk), Arc::clone(&feeds))),
            disk,
            feeds,
            tasks: TaskTracker::new(),
            _end_on_drop: ending.clone().drop_guard(),
            ending,
        })
    }

    /// What it has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (commits, writes) = self.committer.counts();
        Stats { commits, writes }
    }

    /// How many writes wait for the next commit.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.committer.waiting()
    }

    /// How many tasks it runs.
    #[cfg(test)]
    pub(super) fn running(&self) -> usize {
        self.tasks.len()
    }

    /// Refuses further writes, commits those that wait, ends the watches and closes the file, so that it can be opened again.
    ///
    /// # Cancel safety
    /// May be called again when it was dropped.
    pub async fn close(&self) {
        self.committer.close();
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let disk = Arc::clone(&self.disk);
        if tokio::task::spawn_blocking(move || disk.close()).await.is_err() {
            tracing::error!("closing the store failed; it is checked when it is opened again");
        }
    }

    async fn write(&self, bucket: Bucket, kind: OpKind) -> Result<Written, StoreError> {
        self.committer.submit(Op { bucket, kind }, &self.tasks).await
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.committer.link()
    }

    fn durability(&self) -> watch::Receiver<Durability> {
        watch::Sender::new(Durability::Synced).subscribe()
    }

    async fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(self.disk.get(bucket, key)?)
    }

    async fn get_latest(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(self.disk.get(bucket, key)?)
    }

    async fn create(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Cursor, StoreError> {
        check_size(bucket, &value)?;
        let written = self.write(bucket, OpKind::Create(key.clone(), value)).await?;
        Ok(Cursor(written.cursor))
    }

    async fn put(&self, bucket: Bucket, key: &Key, value: Bytes) -> Result<Revision, StoreError> {
        check_mutable(bucket)?;
        check_size(bucket, &value)?;
        let written = self.write(bucket, OpKind::Put(key.clone(), value)).await?;
        Ok(Revision(written.cursor))
    }

    async fn update(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        revision: Revision,
    ) -> Result<Revision, StoreError> {
        check_mutable(bucket)?;
        check_size(bucket, &value)?;
        let written = self.write(bucket, OpKind::Update(key.clone(), value, revision)).await?;
        Ok(Revision(written.cursor))
    }

    async fn purge(&self, bucket: Bucket, prefix: &Prefix) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let purge = OpKind::Purge(prefix.clone(), PURGE_AT_ONCE);
            let part = match self.write(bucket, purge).await {
                Ok(written) => written.removed,
                // Some of it is gone already, so "nothing was written" would be wrong.
                Err(StoreError::Unavailable(source)) if removed > 0 => {
                    return Err(StoreError::Unknown(source));
                }
                Err(error) => return Err(error),
            };
            removed += part as u64;
            if part < PURGE_AT_ONCE {
                return Ok(removed);
            }
        }
    }

    async fn watch(
        &self,
        bucket: Bucket,
        prefix: &Prefix,
        from: Option<Cursor>,
    ) -> Result<Watch, StoreError> {
        if self.ending.is_cancelled() {
            return Err(DiskError::Closed.into());
        }
        let (opened, heads) = self.feeds.of_bucket(bucket).open();
        let position = from.map_or(0, |from| from.0);
        if position > opened {
            return Err(StoreError::Rescan);
        }
        let (changes, receiver) = mpsc::channel(capacity(bucket));
        let watcher = Watcher {
            disk: Arc::clone(&self.disk),
            feeds: Arc::clone(&self.feeds),
            bucket,
            prefix: prefix.clone(),
            position,
            changes,
            ending: self.ending.clone(),
        };
        // The tracker waits for it.
        drop(self.tasks.spawn(watcher.run(opened, heads)));
        Ok(Watch::new(receiver))
    }

    async fn head(&self, bucket: Bucket) -> Result<Cursor, StoreError> {
        Ok(Cursor(self.feeds.of_bucket(bucket).head()))
    }
}

fn check_mutable(bucket: Bucket) -> Result<(), StoreError> {
    if bucket.is_write_once() { Err(StoreError::WriteOnce(bucket)) } else { Ok(()) }
}

fn check_size(bucket: Bucket, value: &Bytes) -> Result<(), StoreError> {
    let (size, max) = (value.len(), bucket.max_record());
    if size > max { Err(StoreError::TooLarge { bucket, size, max }) } else { Ok(()) }
}
