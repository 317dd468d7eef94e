//! The kept bytes of a stream after its end, in memory or on disk, also after a restart.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use super::layout::Extent;
use super::{file_name, note};
use crate::blocking::blocking;
use crate::id::{Digest, JobId};
use crate::job::Parts;
use crate::job::report::Stream;

/// Reads files in pieces of this many bytes, to keep memory flat.
const PIECE: u64 = 64 * 1024;

/// The kept bytes of one stream, to be read in ranges. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Kept(Source);

#[derive(Debug, Clone)]
enum Source {
    Memory(Bytes),
    File { file: Arc<File>, path: PathBuf, extent: Extent },
}

impl Kept {
    pub(super) fn in_memory(bytes: Bytes) -> Self {
        Self(Source::Memory(bytes))
    }

    pub(super) fn on_disk(file: File, path: PathBuf, extent: Extent) -> Self {
        Self(Source::File { file: Arc::new(file), path, extent })
    }

    /// Opens what an earlier process left in `dir`, and checks that it is `kept` bytes with this hash.
    ///
    /// What was larger than [`super::MEMORY_MAX`] is on disk, and what an execution wrote that took its time.
    ///
    /// # Errors
    /// `NotFound` if there is none, `InvalidData` if it is something else, and whatever reading gives.
    pub async fn open(
        dir: &Path,
        job: JobId,
        stream: Stream,
        kept: u64,
        sha256: Digest,
    ) -> io::Result<Self> {
        let path = dir.join(file_name(job, stream));
        blocking(move || {
            let file = File::open(&path)?;
            let (extent, _) = note::read(&file)?;
            let found = Self::on_disk(file, path, extent);
            if extent.is_sound() && extent.kept == kept && found.hash()?.0 == sha256 {
                return Ok(found);
            }
            Err(io::Error::new(io::ErrorKind::InvalidData, "the spooled output is damaged"))
        })
        .await
    }

    /// Opens what a crash left in `dir`. What was written before the machine was started again is damaged. Blocks.
    pub(super) fn open_interrupted(path: PathBuf) -> io::Result<(Self, Extent)> {
        let file = File::open(&path)?;
        let (extent, is_of_this_boot) = note::read(&file)?;
        if extent.is_sound() && is_of_this_boot {
            return Ok((Self::on_disk(file, path, extent), extent));
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the spooled output is of another time"))
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::File { extent, .. } => extent.kept,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether they outlive this process. What does not is at most [`super::MEMORY_MAX`] bytes and belongs into the report.
    #[must_use]
    pub fn is_on_disk(&self) -> bool {
        matches!(self.0, Source::File { .. })
    }

    /// At most `len` bytes from `offset` on: fewer only at the end.
    ///
    /// # Errors
    /// Whatever reading the file gives; `UnexpectedEof` if it was cut.
    pub async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let start = offset.min(self.len());
        let range = start..start.saturating_add(len as u64).min(self.len());
        match &self.0 {
            Source::Memory(bytes) => Ok(bytes.slice(range.start as usize..range.end as usize)),
            Source::File { file, extent, .. } => {
                let (file, extent) = (Arc::clone(file), *extent);
                blocking(move || read_range(&file, extent, range)).await
            }
        }
    }

    /// Removes the file, if there is one. Other clones can still read it.
    ///
    /// # Errors
    /// Whatever removing it gives, unless it is gone already.
    pub async fn remove(self) -> io::Result<()> {
        match self.0 {
            Source::Memory(_) => Ok(()),
            Source::File { path, .. } => blocking(move || super::remove_file(&path)).await,
        }
    }

    /// SHA-256 of all of them, and of the parts of what may travel in chunks, read in pieces. Blocks on a file.
    pub(super) fn hash(&self) -> io::Result<(Digest, Option<Parts>)> {
        let (file, extent) = match &self.0 {
            Source::Memory(bytes) => return Ok((Digest::of(bytes), None)),
            Source::File { file, extent, .. } => (file, *extent),
        };
        let (mut whole, mut part) = (Sha256::new(), Sha256::new());
        let mut parts = Parts { size: Parts::size_for(extent.kept), sha256: Vec::new() };
        let mut at = 0;
        while at < extent.kept {
            let part_end = (at - at % parts.size + parts.size).min(extent.kept);
            let end = (at + PIECE).min(part_end);
            let piece = read_range(file, extent, at..end)?;
            whole.update(&piece);
            part.update(&piece);
            if end == part_end {
                parts.sha256.push(Digest::from_bytes(part.finalize_reset().into()));
            }
            at = end;
        }
        Ok((Digest::from_bytes(whole.finalize().into()), Some(parts)))
    }
}

fn read_range(file: &File, extent: Extent, range: Range<u64>) -> io::Result<Bytes> {
    let mut bytes = BytesMut::zeroed((range.end - range.start) as usize);
    let mut at = 0;
    for stored in extent.locate(range) {
        let end = at + (stored.end - stored.start) as usize;
        file.read_exact_at(&mut bytes[at..end], note::LEN + stored.start)?;
        at = end;
    }
    Ok(bytes.freeze())
}
