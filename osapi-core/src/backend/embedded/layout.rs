//! What the file looks like: four tables, and the numbers that stand for buckets in them.
//!
//! A value lies in the log, under its cursor, so that writes append and a watch reads in sequence; the table of keys, which is
//! small and stays in memory, says at which cursor a key's value lies. An overwritten or removed record leaves the log.

use std::str::FromStr;

use redb::TableDefinition;

use crate::backend::{Bucket, Key, Prefix};

/// Bucket and cursor to key and value; only the last write of a key is kept.
pub(super) const LOG: TableDefinition<'_, (u8, u64), (&str, &[u8])> = TableDefinition::new("log");
/// Bucket and key to cursor.
pub(super) const KEYS: TableDefinition<'_, (u8, &str), u64> = TableDefinition::new("keys");
/// Bucket to its last cursor, and how many records and bytes it holds.
pub(super) const BUCKETS: TableDefinition<'_, u8, (u64, u64, u64)> =
    TableDefinition::new("buckets");
/// What the file is.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Key in [`META`] of what kind of file this is.
pub(super) const META_KIND: &str = "kind";
/// The kind of file that a store is.
pub(super) const KIND: &[u8] = b"osapi store";
/// Key in [`META`] of the format's version, four bytes, little-endian.
pub(super) const META_FORMAT: &str = "format";
/// The format that this build writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;
/// Key in [`META`] of the store's identifier, as text.
pub(super) const META_ID: &str = "id";

/// The number of a bucket in the file. It never changes and is never given to another.
pub(super) const fn number(bucket: Bucket) -> u8 {
    match bucket {
        Bucket::Jobs => 1,
        Bucket::Envelopes => 2,
        Bucket::Hosts => 3,
        Bucket::Reservations => 4,
        Bucket::Cancels => 5,
        Bucket::Claims => 6,
        Bucket::Rollouts => 7,
        Bucket::Reports => 8,
        Bucket::Output => 9,
        Bucket::Removed => 10,
        Bucket::Keyrings => 11,
        Bucket::Audit => 12,
        Bucket::Agents => 13,
        Bucket::Drains => 14,
        Bucket::Revoked => 15,
    }
}

/// What a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Its last cursor.
    pub(super) head: u64,
    /// Its records.
    pub(super) records: u64,
    /// Bytes of their keys and values.
    pub(super) bytes: u64,
}

impl Usage {
    /// As it lies in [`BUCKETS`].
    pub(super) fn row(self) -> (u64, u64, u64) {
        (self.head, self.records, self.bytes)
    }

    /// From [`BUCKETS`].
    pub(super) fn of((head, records, bytes): (u64, u64, u64)) -> Self {
        Self { head, records, bytes }
    }
}

/// A key as it was stored.
pub(super) fn key(text: &str) -> Result<Key, redb::Error> {
    Key::from_str(text).map_err(|error| redb::Error::Corrupted(error.to_string()))
}

/// The ranges of key texts that `prefix` covers: itself, and what goes on with a dot. `/` follows `.` in ASCII, and `-` stands
/// before both, so one range would not do.
pub(super) fn covered(prefix: &Prefix) -> Vec<(String, Option<String>)> {
    let text = prefix.as_str();
    if text.is_empty() {
        return vec![(String::new(), None)];
    }
    vec![
        (text.to_owned(), Some(format!("{text}\0"))),
        (format!("{text}."), Some(format!("{text}/"))),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bucket_has_a_number_of_its_own() {
        let numbers: BTreeSet<u8> = Bucket::ALL.into_iter().map(number).collect();
        assert_eq!(numbers.len(), Bucket::ALL.len());
    }

    #[test]
    fn the_ranges_hold_what_the_prefix_covers() {
        let prefix = Prefix::of(&[&"a", &"b"]);
        let ranges = covered(&prefix);
        for text in ["a", "a.b", "a.b.c", "a.b-c", "a.bc", "a.b0", "a.b_", "a.b.c.d", "b", "a.a"] {
            let inside = ranges.iter().any(|(from, to)| {
                text >= from.as_str() && to.as_deref().is_none_or(|to| text < to)
            });
            assert_eq!(inside, prefix.covers(&text.parse().unwrap()), "{text}");
        }
    }
}
