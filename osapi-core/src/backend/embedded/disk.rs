//! The file: reads of what is committed, and commits. Everything here blocks for as long as the disk takes.

use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase};

use super::batch::{Applied, Op, Refusal, Writer, covered, missing};
use super::layout::{self, BUCKETS, KEYS, LOG, Usage};
use super::limits::Limits;
use crate::backend::{Bucket, Cursor, Entry, Key, Prefix, Revision, StoreError};

/// The open file.
#[derive(Debug)]
pub(super) struct Disk {
    database: RwLock<Option<Database>>,
    limits: Limits,
}

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    /// The store was closed.
    #[error("store is closed")]
    Closed,
    /// The file, or the disk beneath it.
    #[error(transparent)]
    Redb(#[from] redb::Error),
    /// redb panicked.
    #[error("reading the store panicked")]
    Panicked,
}

/// A commit that did not come to an end.
#[derive(Debug)]
pub(super) enum CommitError {
    /// Nothing of it was written.
    Unwritten(DiskError),
    /// It failed on its way to the disk; what was not refused may have been written.
    Unknown(DiskError, Vec<Result<Applied, Refusal>>),
}

/// How much one read takes at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Records looked at.
    pub(super) records: usize,
    /// Bytes of values, after which no further record is taken.
    pub(super) bytes: usize,
}

/// A part of the log.
#[derive(Debug)]
pub(super) struct Part {
    /// What was found, in order.
    pub(super) entries: Vec<Entry>,
    /// The cursor up to which the log was looked at.
    pub(super) upto: u64,
}

impl Disk {
    /// An open database that has the tables of a store.
    pub(super) fn new(database: Database, limits: Limits) -> Self {
        Self { database: RwLock::new(Some(database)), limits }
    }

    /// The bounds it was opened with.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Closes the file. What still reads it fails from then on.
    pub(super) fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(database);
    }

    /// The last cursor of a bucket.
    pub(super) fn head(&self, bucket: Bucket) -> Result<u64, DiskError> {
        let table = self.begin_read()?.open_table(BUCKETS).map_err(redb::Error::from)?;
        let row = table.get(layout::number(bucket)).map_err(redb::Error::from)?;
        Ok(row.map(|row| Usage::of(row.value())).unwrap_or_default().head)
    }

    /// One record.
    pub(super) fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Entry>, DiskError> {
        let transaction = self.begin_read()?;
        read_one(&transaction, bucket, key).map_err(DiskError::Redb)
    }

    /// Where the records under `prefix` lie that were written after `from` and not after `upto`, in order.
    pub(super) fn cursors(
        &self,
        bucket: Bucket,
        prefix: &Prefix,
        from: u64,
        upto: u64,
    ) -> Result<Vec<u64>, DiskError> {
        let keys = self.begin_read()?.open_table(KEYS).map_err(redb::Error::from)?;
        let found = covered(&keys, bucket, prefix, usize::MAX)?;
        let mut cursors: Vec<_> =
            found.into_iter().map(|(_, at)| at).filter(|at| *at > from && *at <= upto).collect();
        cursors.sort_unstable();
        Ok(cursors)
    }

    /// The records at the first of these cursors, as many as the budget allows and at least one; those that are gone are skipped.
    pub(super) fn at(
        &self,
        bucket: Bucket,
        cursors: &[u64],
        budget: Budget,
    ) -> Result<Part, DiskError> {
        let log = self.begin_read()?.open_table(LOG).map_err(redb::Error::from)?;
        let mut taken = Taken::new(budget);
        let mut upto = 0;
        for at in cursors {
            if taken.is_full() {
                break;
            }
            let row = log.get((layout::number(bucket), *at)).map_err(redb::Error::from)?;
            taken.look(*at, row.as_ref().map(|row| row.value()), &Prefix::ALL)?;
            upto = *at;
        }
        Ok(Part { entries: taken.entries, upto })
    }

    /// The records under `prefix` written after `from` and not after `upto`, in order, as many as the budget allows.
    pub(super) fn log(
        &self,
        bucket: Bucket,
        prefix: &Prefix,
        from: u64,
        upto: u64,
        budget: Budget,
    ) -> Result<Part, DiskError> {
        let log = self.begin_read()?.open_table(LOG).map_err(redb::Error::from)?;
        let number = layout::number(bucket);
        let mut taken = Taken::new(budget);
        let mut reached = from;
        let rows = log.range((number, from + 1)..=(number, upto)).map_err(redb::Error::from)?;
        for row in rows {
            if taken.is_full() {
                return Ok(Part { entries: taken.entries, upto: reached });
            }
            let (at, row) = row.map_err(redb::Error::from)?;
            reached = at.value().1;
            taken.look(reached, Some(row.value()), prefix)?;
        }
        Ok(Part { entries: taken.entries, upto })
    }

    /// Does these writes in one synced transaction. Without any that changes something nothing is synced.
    pub(super) fn commit(&self, ops: &[Op]) -> Result<Vec<Result<Applied, Refusal>>, CommitError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(CommitError::Unwritten(DiskError::Closed))?;
        let unwritten = |error| CommitError::Unwritten(DiskError::Redb(error));
        let mut transaction = database.begin_write().map_err(|e| unwritten(e.into()))?;
        transaction.set_durability(Durability::Immediate).map_err(|e| unwritten(e.into()))?;
        let results = apply_all(&transaction, &self.limits, ops).map_err(unwritten)?;
        if results.iter().all(Result::is_err) {
            transaction.abort().map_err(|e| unwritten(e.into()))?;
            return Ok(results);
        }
        match transaction.commit() {
            Ok(()) => Ok(results),
            Err(error) => Err(CommitError::Unknown(DiskError::Redb(error.into()), results)),
        }
    }

    fn begin_read(&self) -> Result<ReadTransaction, DiskError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(DiskError::Closed)?;
        Ok(database.begin_read().map_err(redb::Error::from)?)
    }
}

fn apply_all(
    transaction: &redb::WriteTransaction,
    limits: &Limits,
    ops: &[Op],
) -> Result<Vec<Result<Applied, Refusal>>, redb::Error> {
    let mut writer = Writer::new(transaction, limits)?;
    let results = ops.iter().map(|op| writer.apply(op)).collect::<Result<_, _>>()?;
    writer.finish()?;
    Ok(results)
}

fn read_one(
    transaction: &ReadTransaction,
    bucket: Bucket,
    key: &Key,
) -> Result<Option<Entry>, redb::Error> {
    let number = layout::number(bucket);
    let keys = transaction.open_table(KEYS)?;
    let Some(at) = keys.get((number, key.as_str()))?.map(|at| at.value()) else {
        return Ok(None);
    };
    let row = transaction.open_table(LOG)?.get((number, at))?.ok_or_else(missing)?;
    Ok(Some(entry(key.clone(), at, row.value().1)))
}

fn entry(key: Key, at: u64, value: &[u8]) -> Entry {
    let value = Bytes::copy_from_slice(value);
    Entry { key, value, revision: Revision(at), cursor: Cursor(at) }
}

/// What a read has taken so far.
struct Taken {
    entries: Vec<Entry>,
    left: Budget,
}

impl Taken {
    fn new(budget: Budget) -> Self {
        Self { entries: Vec::new(), left: budget }
    }

    fn is_full(&self) -> bool {
        self.left.records == 0 || self.left.bytes == 0
    }

    /// Looks at one row of the log; rows outside `prefix`, and rows that are gone, count but are not taken.
    fn look(
        &mut self,
        at: u64,
        row: Option<(&str, &[u8])>,
        prefix: &Prefix,
    ) -> Result<(), redb::Error> {
        self.left.records -= 1;
        let Some((key, value)) = row else { return Ok(()) };
        let key = layout::key(key)?;
        if prefix.covers(&key) {
            self.left.bytes = self.left.bytes.saturating_sub(value.len());
            self.entries.push(entry(key, at, value));
        }
        Ok(())
    }
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        if error.is_damage() {
            Self::Damaged(Box::new(error))
        } else {
            Self::Unavailable(Box::new(error))
        }
    }
}

impl DiskError {
    /// Whether what is stored cannot be read; else the file cannot be reached.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Closed => false,
            Self::Panicked => true,
            Self::Redb(error) => matches!(
                error,
                redb::Error::Corrupted(_)
                    | redb::Error::TableTypeMismatch { .. }
                    | redb::Error::TableIsMultimap(_)
                    | redb::Error::TableDoesNotExist(_)
            ),
        }
    }
}
