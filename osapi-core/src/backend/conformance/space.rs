//! Keys of one check, and waiting with a limit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::backend::{Bucket, Change, Cursor, Entry, Key, Prefix, Store, StoreError, Watch};
use crate::id::Nonce;

/// A bucket whose records are written once.
pub(super) const ONCE: Bucket = Bucket::Claims;
/// A bucket whose records change.
pub(super) const MUTABLE: Bucket = Bucket::Drains;

/// Long enough for any backend that works at all.
const LIMIT: Duration = Duration::from_secs(30);

/// A store, and the keys of one check in it.
pub(super) struct Space {
    /// The store.
    pub(super) store: Arc<dyn Store>,
    root: String,
}

impl Space {
    /// Keys that nobody has used.
    pub(super) fn new(store: &Arc<dyn Store>, check: &str) -> Self {
        tracing::debug!(check, "checking a store");
        Self { store: Arc::clone(store), root: format!("{check}.{}", Nonce::random()) }
    }

    /// A key of this check.
    pub(super) fn key(&self, rest: &str) -> Key {
        format!("{}.{rest}", self.root).parse().expect("the checks use valid keys")
    }

    /// A prefix of this check.
    pub(super) fn under(&self, rest: &str) -> Prefix {
        let (check, nonce) = self.root.split_once('.').expect("the root has two tokens");
        Prefix::of(&[&check, &nonce, &rest])
    }

    /// All keys of this check.
    pub(super) fn all(&self) -> Prefix {
        let (check, nonce) = self.root.split_once('.').expect("the root has two tokens");
        Prefix::of(&[&check, &nonce])
    }

    /// Creates a record.
    pub(super) async fn create(&self, bucket: Bucket, key: &str, value: &str) -> Cursor {
        let value = Bytes::from(value.to_owned());
        let created = self.store.create(bucket, &self.key(key), value).await;
        created.expect("a record that is absent is created")
    }

    /// Reads a record from the leader.
    pub(super) async fn latest(&self, bucket: Bucket, key: &str) -> Option<Entry> {
        self.store.get_latest(bucket, &self.key(key)).await.expect("the store can be read")
    }

    /// Removes records and tells how many.
    pub(super) async fn purge(&self, bucket: Bucket, prefix: &Prefix) -> u64 {
        self.store.purge(bucket, prefix).await.expect("records are removed")
    }

    /// Watches a prefix.
    pub(super) async fn watch(
        &self,
        bucket: Bucket,
        prefix: &Prefix,
        from: Option<Cursor>,
    ) -> Told {
        let watch = self.store.watch(bucket, prefix, from).await.expect("a watch is opened");
        Told { watch, seen: from, caught_up: false }
    }
}

/// Waits, but not for ever.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not come within {LIMIT:?}"),
    }
}

/// A watch, and what every watch promises.
pub(super) struct Told {
    watch: Watch,
    /// Where it stands.
    pub(super) seen: Option<Cursor>,
    /// Whether it has told all that was there.
    pub(super) caught_up: bool,
}

impl Told {
    /// The next change that is not a repetition.
    pub(super) async fn next(&mut self) -> Change {
        loop {
            let change = within("a change", self.watch.next()).await;
            let change = change.expect("the watch goes on").expect("the watch goes on");
            match &change {
                Change::Put(entry) if self.seen.is_some_and(|seen| entry.cursor <= seen) => {
                    continue;
                }
                Change::Put(entry) => self.seen = Some(entry.cursor),
                Change::Deleted(_, cursor) | Change::Reached(cursor) => {
                    self.seen = self.seen.max(Some(*cursor));
                }
                Change::CaughtUp(cursor) => {
                    assert!(!self.caught_up, "that it has caught up is told once");
                    assert!(self.seen <= Some(*cursor), "it has caught up with all that it told");
                    self.caught_up = true;
                    self.seen = Some(*cursor);
                }
            }
            return change;
        }
    }

    /// The next change, which is a write.
    pub(super) async fn put(&mut self) -> Entry {
        loop {
            match self.next().await {
                Change::Put(entry) => return entry,
                Change::Reached(_) => {}
                other => panic!("a write was to be told, not {other:?}"),
            }
        }
    }

    /// What is told up to that the watch has caught up.
    pub(super) async fn until_caught_up(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            match self.next().await {
                Change::Put(entry) => entries.push(entry),
                Change::CaughtUp(_) => return entries,
                Change::Reached(_) => {}
                Change::Deleted(key, _) => panic!("removal of {key} from before the watch"),
            }
        }
    }

    /// The end of a watch that cannot go on.
    pub(super) async fn error(&mut self) -> StoreError {
        let last = within("an error", self.watch.next()).await;
        last.expect("an error comes before the end").expect_err("the watch cannot go on")
    }
}

/// The texts of some records.
pub(super) fn values(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).collect()
}
