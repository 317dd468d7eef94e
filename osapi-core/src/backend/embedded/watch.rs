//! A running watch: reads the file from its cursor, in parts, and waits for the bucket's head when it stands at the end.
//!
//! It pulls, so a slow watcher costs a few records of memory and loses nothing; and it holds no read transaction while it waits, so
//! it keeps no page of the file from being used again.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::disk::{Budget, Disk, DiskError, Part};
use super::feed::{Feeds, Forgotten};
use crate::backend::{Bucket, Change, Cursor, Entry, Key, Prefix, StoreError};

/// One read before the watch has caught up: on the blocking pool, as the file may have to be read.
const SCAN: Budget = Budget { records: 1024, bytes: 1 << 20 };
/// One read of what was just committed: in place, as it is still in memory.
const TAIL: Budget = Budget { records: 64, bytes: 256 << 10 };
/// Bytes of values that may wait for a slow watcher, beside the part that is being sent.
const WAITING_BYTES: usize = 4 << 20;

/// What a watch needs.
pub(super) struct Watcher {
    /// The file.
    pub(super) disk: Arc<Disk>,
    /// The heads and removals.
    pub(super) feeds: Arc<Feeds>,
    /// What is watched.
    pub(super) bucket: Bucket,
    /// What is told of it.
    pub(super) prefix: Prefix,
    /// Up to where all was told.
    pub(super) position: u64,
    /// Where the changes go.
    pub(super) changes: mpsc::Sender<Result<Change, StoreError>>,
    /// When the store ends.
    pub(super) ending: CancellationToken,
}

/// Why a watch is over.
enum Over {
    /// Nobody listens, or the store has ended.
    Unneeded,
    /// The watcher must be told.
    Failed(StoreError),
}

/// How many changes may wait in the channel of a watch.
pub(super) fn capacity(bucket: Bucket) -> usize {
    (WAITING_BYTES / bucket.max_record()).clamp(4, 256)
}

impl Watcher {
    /// Tells what is there up to `opened`, then what comes.
    pub(super) async fn run(mut self, opened: u64, mut heads: watch::Receiver<u64>) {
        let over = match self.catch_up(opened).await {
            Ok(()) => self.follow(&mut heads).await,
            Err(over) => over,
        };
        if let Over::Failed(error) = over
            && let Err(Over::Failed(error)) = self.send(Err(error)).await
        {
            tracing::warn!(error = %error, bucket = %self.bucket, "a watch ended");
        }
    }

    async fn catch_up(&mut self, opened: u64) -> Result<(), Over> {
        if self.position < opened {
            if self.prefix == Prefix::ALL {
                self.scan_log(opened).await?;
            } else {
                self.scan_keys(opened).await?;
            }
        }
        self.position = opened;
        self.send(Ok(Change::CaughtUp(Cursor(opened)))).await
    }

    async fn scan_log(&mut self, opened: u64) -> Result<(), Over> {
        while self.position < opened {
            let (bucket, from) = (self.bucket, self.position);
            let part =
                self.read(move |disk| disk.log(bucket, &Prefix::ALL, from, opened, SCAN)).await?;
            self.position = part.upto;
            self.send_all(part.entries.into_iter().map(Change::Put)).await?;
        }
        Ok(())
    }

    /// Some records of a large bucket: found by their keys, so that the rest of it is not read.
    async fn scan_keys(&mut self, opened: u64) -> Result<(), Over> {
        let (bucket, from, prefix) = (self.bucket, self.position, self.prefix.clone());
        let mut cursors =
            self.read(move |disk| disk.cursors(bucket, &prefix, from, opened)).await?;
        while !cursors.is_empty() {
            let (part, rest) = self
                .read(move |disk| {
                    let part = disk.at(bucket, &cursors, SCAN)?;
                    let rest = cursors.split_off(cursors.partition_point(|at| *at <= part.upto));
                    Ok((part, rest))
                })
                .await?;
            cursors = rest;
            self.send_all(part.entries.into_iter().map(Change::Put)).await?;
        }
        Ok(())
    }

    /// Tells what comes, until the watch is over.
    async fn follow(&mut self, heads: &mut watch::Receiver<u64>) -> Over {
        loop {
            let head = *heads.borrow_and_update();
            while self.position < head {
                if let Err(over) = self.step(head).await {
                    return over;
                }
                // A part that holds nothing of the prefix awaits nothing: the other tasks shall have their turn.
                if self.position < head {
                    tokio::task::yield_now().await;
                }
            }
            // All three only wait: nothing is lost when another is ready first.
            tokio::select! {
                changed = heads.changed() => if changed.is_err() { return Over::Unneeded },
                () = self.ending.cancelled() => return Over::Unneeded,
                () = self.changes.closed() => return Over::Unneeded,
            }
        }
    }

    /// One part of what is new: writes from the file and removals from memory, in the order of their cursors.
    async fn step(&mut self, head: u64) -> Result<(), Over> {
        let part = self.disk.log(self.bucket, &self.prefix, self.position, head, TAIL)?;
        let feed = self.feeds.of_bucket(self.bucket);
        let removed = feed.removed(&self.prefix, self.position, part.upto)?;
        self.position = part.upto;
        self.send_all(in_order(part, removed)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Disk) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, Over> {
        let disk = Arc::clone(&self.disk);
        match tokio::task::spawn_blocking(move || read(&disk)).await {
            Ok(read) => Ok(read?),
            Err(error) if error.is_panic() => Err(DiskError::Panicked.into()),
            Err(_) => Err(Over::Unneeded),
        }
    }

    async fn send_all(&self, changes: impl Iterator<Item = Change>) -> Result<(), Over> {
        for change in changes {
            self.send(Ok(change)).await?;
        }
        Ok(())
    }

    async fn send(&self, change: Result<Change, StoreError>) -> Result<(), Over> {
        // A change that is dropped here is one that an ending store no longer tells.
        tokio::select! {
            sent = self.changes.send(change) => sent.map_err(|_| Over::Unneeded),
            () = self.ending.cancelled() => Err(Over::Unneeded),
        }
    }
}

/// Both in one order, that of the cursors; they share none.
fn in_order(part: Part, removed: Vec<(u64, Key)>) -> impl Iterator<Item = Change> {
    let mut puts = part.entries.into_iter().peekable();
    let mut removed = removed.into_iter().peekable();
    std::iter::from_fn(move || {
        let put_first = match (puts.peek(), removed.peek()) {
            (Some(Entry { cursor, .. }), Some((gone, _))) => cursor.0 < *gone,
            (put, _) => put.is_some(),
        };
        if put_first {
            puts.next().map(Change::Put)
        } else {
            removed.next().map(|(cursor, key)| Change::Deleted(key, Cursor(cursor)))
        }
    })
}

impl From<DiskError> for Over {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Closed => Self::Unneeded,
            error => Self::Failed(error.into()),
        }
    }
}

impl From<Forgotten> for Over {
    fn from(Forgotten: Forgotten) -> Self {
        Self::Failed(StoreError::Rescan)
    }
}
