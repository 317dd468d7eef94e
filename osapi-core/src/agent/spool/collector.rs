//! One stream while it is collected. Blocks on its file: callers see to it that this hurts nobody.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use bytes::Bytes;

use super::layout::{Extent, Layout};
use super::{Kept, MEMORY_MAX, Output, note};
use crate::id::Digest;
use crate::job::{Parts, StreamReport};

/// One stream: what was written to it, and where the kept part is.
#[derive(Debug)]
pub(super) struct Collector {
    path: PathBuf,
    layout: Layout,
    total: u64,
    storage: Storage,
    /// Whether what comes has to outlive the process.
    outlives: bool,
    /// What was certain when storing failed; nothing is stored since.
    failed: Option<Extent>,
    incomplete: bool,
}

#[derive(Debug)]
enum Storage {
    Memory(Vec<u8>),
    File(File),
    Finished,
}

impl Collector {
    pub(super) fn new(path: PathBuf, limit: usize) -> Self {
        let (layout, storage) = (Layout::new(limit), Storage::Memory(Vec::new()));
        Self { path, layout, total: 0, storage, outlives: false, failed: None, incomplete: false }
    }

    pub(super) fn keep_at_most(&mut self, limit: u64) {
        if self.total == 0 && limit < self.layout.limit() {
            // Less than what is one already.
            self.layout = Layout::new(limit as usize);
        }
    }

    /// Whether writing `len` more bytes touches the disk.
    pub(super) fn needs_disk(&self, len: usize) -> bool {
        let needed = (self.total + len as u64).min(self.layout.limit());
        let on_disk = matches!(self.storage, Storage::File(_));
        let belongs_there = on_disk || needed > MEMORY_MAX as u64 || self.outlives && needed > 0;
        self.failed.is_none() && belongs_there
    }

    /// Puts on disk what there is, and what comes.
    pub(super) fn outlive(&mut self) {
        self.outlives = true;
        self.write(&[]);
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.storage, Storage::Memory(_))
    }

    pub(super) fn incomplete(&mut self) {
        self.incomplete = true;
    }

    /// Counts `bytes` and stores what is to be kept of them.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none()
            && let Err(err) = self.store(bytes)
        {
            tracing::warn!(path = %self.path.display(), error = %err, "output is lost from here on");
            self.failed = Some(self.layout.extent_after_failure(self.total, bytes.len()));
            self.incomplete = true;
        }
        self.total += bytes.len() as u64;
    }

    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.needs_disk(bytes.len())
            && let Storage::Memory(begun) = &self.storage
        {
            let file = create(&self.path)?;
            // Memory is laid out as the file.
            file.write_all_at(begun, note::LEN)?;
            note::write(&file, self.layout.extent(self.total))?;
            self.storage = Storage::File(file);
        }
        let (before, during) =
            (self.layout.extent(self.total), self.layout.extent_during(self.total, bytes.len()));
        if let Storage::File(file) = &self.storage
            && during != before
        {
            note::write(file, during)?;
        }
        for place in self.layout.place(self.total, bytes.len()) {
            let part = &bytes[place.source];
            match &mut self.storage {
                Storage::Memory(memory) => write_at(memory, part, place.offset as usize),
                Storage::File(file) => file.write_all_at(part, note::LEN + place.offset)?,
                Storage::Finished => {}
            }
        }
        match &self.storage {
            Storage::File(file) => {
                note::write(file, self.layout.extent(self.total + bytes.len() as u64))
            }
            Storage::Memory(_) | Storage::Finished => Ok(()),
        }
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self) -> Output {
        let mut extent = self.failed.unwrap_or_else(|| self.layout.extent(self.total));
        extent.total = self.total;
        match std::mem::replace(&mut self.storage, Storage::Finished) {
            Storage::Memory(memory) => {
                let mut ordered = Vec::with_capacity(memory.len());
                for stored in extent.locate(0..extent.kept) {
                    ordered.extend_from_slice(&memory[stored.start as usize..stored.end as usize]);
                }
                self.output(extent, Kept::in_memory(ordered.into()))
            }
            Storage::File(file) => {
                // What a failed write left there goes.
                let noted = file.set_len(note::LEN + extent.kept);
                if let Err(err) = noted.and_then(|()| note::write(&file, extent)) {
                    let path = self.path.display();
                    tracing::warn!(%path, error = %err, "output will not outlive this process");
                }
                let kept = Kept::on_disk(file, self.path.clone(), extent);
                self.output(extent, kept)
            }
            Storage::Finished => self.nothing(),
        }
    }

    fn output(&mut self, extent: Extent, kept: Kept) -> Output {
        match kept.hash() {
            Ok((sha256, parts)) => Output { report: self.report(extent, sha256, parts), kept },
            Err(err) => {
                tracing::warn!(path = %self.path.display(), error = %err, "output cannot be read back");
                self.nothing()
            }
        }
    }

    fn nothing(&mut self) -> Output {
        self.incomplete |= self.total > 0;
        let extent = Extent { total: self.total, kept: 0, head: 0, ring: 0 };
        let report = self.report(extent, Digest::of(b""), None);
        Output { report, kept: Kept::in_memory(Bytes::new()) }
    }

    fn report(&self, extent: Extent, sha256: Digest, parts: Option<Parts>) -> StreamReport {
        let (Extent { total, kept, head, .. }, incomplete) = (extent, self.incomplete);
        StreamReport { total, kept, head, sha256, inline: None, incomplete, parts }
    }
}

/// A new file that only its owner can read, in place of whatever had its name.
fn create(path: &std::path::Path) -> io::Result<File> {
    super::remove_file(path)?;
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn write_at(memory: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset + bytes.len();
    if memory.len() < end {
        memory.resize(end, 0);
    }
    memory[offset..end].copy_from_slice(bytes);
}
