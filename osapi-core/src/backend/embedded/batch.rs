//! What a write does to the tables: decided and done inside one transaction, which makes compare and set safe.

use std::collections::BTreeMap;

use bytes::Bytes;
use redb::{ReadableTable, Table, WriteTransaction};

use super::layout::{self, BUCKETS, KEYS, LOG, Usage};
use super::limits::{Cap, Limits};
use crate::backend::{Bucket, Key, Prefix, Revision, StoreError};

/// A write.
#[derive(Debug)]
pub(super) struct Op {
    /// Where.
    pub(super) bucket: Bucket,
    /// What.
    pub(super) kind: OpKind,
}

/// What a write does.
#[derive(Debug)]
pub(super) enum OpKind {
    /// Writes a key that is absent.
    Create(Key, Bytes),
    /// Writes a key.
    Put(Key, Bytes),
    /// Writes a key whose last write was this one.
    Update(Key, Bytes, Revision),
    /// Removes the records under a prefix, at most so many, so that no commit grows without bound.
    Purge(Prefix, usize),
}

/// What a write did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// The bucket's last cursor after it.
    pub(super) head: u64,
    /// What it removed, each with the cursor that the removal was given.
    pub(super) removed: Vec<(u64, Key)>,
}

/// Why a write was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The key is present.
    Exists,
    /// The last write was another.
    Conflict,
    /// The bucket's cap is reached.
    Full(Bucket),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Exists => Self::Exists,
            Refusal::Conflict => Self::Conflict,
            Refusal::Full(bucket) => Self::Full(bucket),
        }
    }
}

/// Outer: the file could be read and written. Inner: the write was done.
pub(super) type Tried<T> = Result<Result<T, Refusal>, redb::Error>;

/// The tables of one write transaction.
pub(super) struct Writer<'txn> {
    log: Table<'txn, (u8, u64), (&'static str, &'static [u8])>,
    keys: Table<'txn, (u8, &'static str), u64>,
    buckets: Table<'txn, u8, (u64, u64, u64)>,
    usage: BTreeMap<Bucket, Usage>,
    limits: &'txn Limits,
}

impl<'txn> Writer<'txn> {
    /// Opens the tables.
    pub(super) fn new(
        transaction: &'txn WriteTransaction,
        limits: &'txn Limits,
    ) -> Result<Self, redb::Error> {
        Ok(Self {
            log: transaction.open_table(LOG)?,
            keys: transaction.open_table(KEYS)?,
            buckets: transaction.open_table(BUCKETS)?,
            usage: BTreeMap::new(),
            limits,
        })
    }

    /// Does one write.
    pub(super) fn apply(&mut self, op: &Op) -> Tried<Applied> {
        match &op.kind {
            OpKind::Create(key, value) => match self.cursor(op.bucket, key)? {
                Some(_) => Ok(Err(Refusal::Exists)),
                None => self.write(op.bucket, key, value, None),
            },
            OpKind::Put(key, value) => {
                let old = self.cursor(op.bucket, key)?;
                self.write(op.bucket, key, value, old)
            }
            OpKind::Update(key, value, revision) => match self.cursor(op.bucket, key)? {
                Some(old) if old == revision.0 => self.write(op.bucket, key, value, Some(old)),
                _ => Ok(Err(Refusal::Conflict)),
            },
            OpKind::Purge(prefix, most) => self.purge(op.bucket, prefix, *most).map(Ok),
        }
    }

    /// Writes the counters; the last thing before the commit.
    pub(super) fn finish(mut self) -> Result<(), redb::Error> {
        for (bucket, usage) in &self.usage {
            self.buckets.insert(layout::number(*bucket), usage.row())?;
        }
        Ok(())
    }

    fn cursor(&self, bucket: Bucket, key: &Key) -> Result<Option<u64>, redb::Error> {
        Ok(self.keys.get((layout::number(bucket), key.as_str()))?.map(|at| at.value()))
    }

    fn usage(&mut self, bucket: Bucket) -> Result<Usage, redb::Error> {
        if let Some(usage) = self.usage.get(&bucket) {
            return Ok(*usage);
        }
        let row = self.buckets.get(layout::number(bucket))?;
        Ok(row.map(|row| Usage::of(row.value())).unwrap_or_default())
    }

    fn write(
        &mut self,
        bucket: Bucket,
        key: &Key,
        value: &[u8],
        old: Option<u64>,
    ) -> Tried<Applied> {
        let number = layout::number(bucket);
        let before = self.usage(bucket)?;
        let mut after = Usage {
            head: before.head + 1,
            records: before.records + 1,
            bytes: before.bytes + size(key.as_str(), value),
        };
        if let Some(old) = old {
            let lain = self.log.get((number, old))?.ok_or_else(missing)?;
            take(&mut after, lain.value());
        }
        if self.limits.caps.get(&bucket).is_some_and(|cap| exceeds(before, after, *cap)) {
            return Ok(Err(Refusal::Full(bucket)));
        }
        if let Some(old) = old {
            self.log.remove((number, old))?;
        }
        self.log.insert((number, after.head), (key.as_str(), value))?;
        self.keys.insert((number, key.as_str()), after.head)?;
        self.usage.insert(bucket, after);
        Ok(Ok(Applied { head: after.head, removed: Vec::new() }))
    }

    fn purge(
        &mut self,
        bucket: Bucket,
        prefix: &Prefix,
        most: usize,
    ) -> Result<Applied, redb::Error> {
        let number = layout::number(bucket);
        let mut usage = self.usage(bucket)?;
        let mut removed = Vec::new();
        for (key, at) in covered(&self.keys, bucket, prefix, most)? {
            self.keys.remove((number, key.as_str()))?;
            let lain = self.log.remove((number, at))?.ok_or_else(missing)?;
            take(&mut usage, lain.value());
            usage.head += 1;
            removed.push((usage.head, key));
        }
        self.usage.insert(bucket, usage);
        Ok(Applied { head: usage.head, removed })
    }
}

/// The keys under `prefix` and where they lie, at most `most`.
pub(super) fn covered(
    keys: &impl ReadableTable<(u8, &'static str), u64>,
    bucket: Bucket,
    prefix: &Prefix,
    most: usize,
) -> Result<Vec<(Key, u64)>, redb::Error> {
    let number = layout::number(bucket);
    let mut found = Vec::new();
    for (from, to) in layout::covered(prefix) {
        let end = match &to {
            Some(to) => (number, to.as_str()),
            None => (number + 1, ""),
        };
        for row in keys.range((number, from.as_str())..end)? {
            if found.len() == most {
                return Ok(found);
            }
            let (key, at) = row?;
            found.push((layout::key(key.value().1)?, at.value()));
        }
    }
    Ok(found)
}

/// Bytes that a record counts for.
fn size(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

/// Counts a record out.
fn take(usage: &mut Usage, (key, value): (&str, &[u8])) {
    usage.records = usage.records.saturating_sub(1);
    usage.bytes = usage.bytes.saturating_sub(size(key, value));
}

/// Whether a write grows a bucket beyond its cap. One that does not grow it is allowed also above a cap that was lowered.
fn exceeds(before: Usage, after: Usage, cap: Cap) -> bool {
    (after.records > cap.records && after.records > before.records)
        || (after.bytes > cap.bytes && after.bytes > before.bytes)
}

/// A key whose value is not where it should lie.
pub(super) fn missing() -> redb::Error {
    redb::Error::Corrupted("a key without its record".to_owned())
}
