//! The heads of the buckets and the removals of late: what running watches wait for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::disk::{Disk, DiskError};
use crate::backend::{Bucket, Key, Prefix};

/// Removals of one bucket that are kept for watches that lag. A watch that has missed more scans again.
const KEPT: usize = 16 * 1024;

/// The feeds of all buckets.
#[derive(Debug)]
pub(super) struct Feeds(Vec<(Bucket, Feed)>);

/// One bucket's head and late removals.
#[derive(Debug)]
pub(super) struct Feed {
    head: watch::Sender<u64>,
    removals: Mutex<Removals>,
}

#[derive(Debug, Default)]
struct Removals {
    /// In the order of their cursors.
    kept: VecDeque<(u64, Key)>,
    /// Removals up to this cursor are no longer kept.
    forgotten: u64,
}

/// Removals are asked for that are no longer kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forgotten;

impl Feeds {
    /// Feeds that go on where the file ends.
    pub(super) fn of(disk: &Disk) -> Result<Self, DiskError> {
        let feed = |bucket| Ok((bucket, Feed::new(disk.head(bucket)?)));
        Bucket::ALL.into_iter().map(feed).collect::<Result<_, _>>().map(Self)
    }

    /// The feed of one bucket.
    pub(super) fn of_bucket(&self, bucket: Bucket) -> &Feed {
        let found = self.0.iter().find(|(of, _)| *of == bucket);
        &found.expect("there is a feed for every bucket").1
    }
}

impl Feed {
    /// A bucket whose last cursor is `head`.
    pub(super) fn new(head: u64) -> Self {
        Self { head: watch::Sender::new(head), removals: Mutex::default() }
    }

    /// The last cursor that is committed.
    pub(super) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Tells what a commit did. Removals are kept only while somebody watches; a watch opens under the same lock, so none falls
    /// between.
    pub(super) fn publish(&self, head: u64, removed: Vec<(u64, Key)>) {
        let mut removals = self.lock();
        if let Some((last, _)) = removed.last()
            && self.head.receiver_count() == 0
        {
            removals.kept.clear();
            removals.forgotten = *last;
        } else {
            removals.kept.extend(removed);
            while removals.kept.len() > KEPT
                && let Some((cursor, _)) = removals.kept.pop_front()
            {
                removals.forgotten = cursor;
            }
        }
        self.head.send_replace(head);
    }

    /// Begins a watch: the head now, and where the later ones come.
    pub(super) fn open(&self) -> (u64, watch::Receiver<u64>) {
        let _opening = self.lock();
        let mut receiver = self.head.subscribe();
        let head = *receiver.borrow_and_update();
        (head, receiver)
    }

    /// The removals under `prefix` after `from` and not after `upto`, in order.
    pub(super) fn removed(
        &self,
        prefix: &Prefix,
        from: u64,
        upto: u64,
    ) -> Result<Vec<(u64, Key)>, Forgotten> {
        let removals = self.lock();
        if removals.forgotten > from {
            return Err(Forgotten);
        }
        let first = removals.kept.partition_point(|(cursor, _)| *cursor <= from);
        let end = removals.kept.partition_point(|(cursor, _)| *cursor <= upto);
        let wanted = removals.kept.range(first..end).filter(|(_, key)| prefix.covers(key));
        Ok(wanted.cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Removals> {
        self.removals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removals(cursors: impl IntoIterator<Item = u64>) -> Vec<(u64, Key)> {
        cursors.into_iter().map(|cursor| (cursor, Key::of(&[&"k", &cursor]))).collect()
    }

    #[test]
    fn removals_are_told_in_the_range_that_is_asked_for() {
        let feed = Feed::new(10);
        let (_, _watching) = feed.open();
        feed.publish(13, removals([11, 12, 13]));
        assert_eq!(feed.removed(&Prefix::ALL, 10, 12), Ok(removals([11, 12])));
        assert_eq!(feed.removed(&Prefix::of(&[&"k", &"13"]), 10, 13), Ok(removals([13])));
        assert_eq!(feed.removed(&Prefix::of(&[&"other"]), 10, 13), Ok(vec![]));
    }

    #[test]
    fn too_many_removals_are_an_error_and_not_a_gap() {
        let feed = Feed::new(0);
        let (_, _watching) = feed.open();
        let many = KEPT as u64 + 5;
        feed.publish(many, removals(1..=many));
        assert_eq!(feed.removed(&Prefix::ALL, 4, many), Err(Forgotten));
        assert_eq!(feed.removed(&Prefix::ALL, 5, many).unwrap().len(), KEPT);
    }

    #[test]
    fn without_a_watch_nothing_is_kept() {
        let feed = Feed::new(0);
        feed.publish(3, removals([1, 2, 3]));
        assert!(feed.lock().kept.is_empty());
        let (head, _watching) = feed.open();
        assert_eq!(head, 3);
        assert_eq!(feed.removed(&Prefix::ALL, 3, 3), Ok(vec![]));
    }
}
