//! What bounds an embedded store.

use std::collections::BTreeMap;

use crate::backend::Bucket;

/// Bounds of an embedded store, in memory and on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory for pages of the file. Default 64 MiB.
    pub cache_bytes: usize,
    /// Bytes of writes that may wait for their commit; further callers wait for room. Default 16 MiB, at least 2 MiB.
    pub queue_bytes: u32,
    /// Most writes of one commit. Default 1,024.
    pub batch_writes: usize,
    /// Bytes of values after which a commit takes no further write. Default 4 MiB.
    pub batch_bytes: usize,
    /// What a bucket may hold; the others are bounded by the disk only. Default none.
    pub caps: BTreeMap<Bucket, Cap>,
}

/// What one bucket may hold. A write beyond it is refused with [`StoreError::Full`](crate::backend::StoreError::Full).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// Most records.
    pub records: u64,
    /// Most bytes of keys and values.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            queue_bytes: 16 << 20,
            batch_writes: 1024,
            batch_bytes: 4 << 20,
            caps: BTreeMap::new(),
        }
    }
}

impl Limits {
    /// The same limits, with a cap on one bucket.
    #[must_use]
    pub fn with_cap(mut self, bucket: Bucket, cap: Cap) -> Self {
        self.caps.insert(bucket, cap);
        self
    }
}
