//! A disk that fails on cue, and then loses what it pleases of what was written since the last sync.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Database, DatabaseError, StorageBackend};

use super::super::{Opener, open};
use super::file_at;

/// The disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    /// How often it was asked for something after it had failed, through the same descriptor.
    asked_again: u32,
    opened: u32,
}

/// How it fails.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// There is no more room.
    Write,
    /// The sync fails, and of the writes before it those are lost whose bit in the seed is set.
    Sync { lost: u64 },
}

impl Disk {
    pub(super) fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    pub(super) fn repair(&self) {
        self.state().fault = None;
    }

    pub(super) fn opened(&self) -> u32 {
        self.state().opened
    }

    pub(super) fn asked_again(&self) -> u32 {
        self.state().asked_again
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Opener for Disk {
    fn open(&self, path: &Path) -> Result<Database, DatabaseError> {
        self.state().opened += 1;
        let descriptor = Descriptor {
            disk: self.clone(),
            file: file_at(path),
            unsynced: Mutex::default(),
            has_failed: Mutex::new(false),
        };
        open::builder().create_with_backend(descriptor)
    }
}

/// What was there before a write.
#[derive(Debug)]
struct Undo {
    offset: u64,
    before: Vec<u8>,
}

#[derive(Debug)]
struct Descriptor {
    disk: Disk,
    file: File,
    unsynced: Mutex<Vec<Undo>>,
    has_failed: Mutex<bool>,
}

impl Descriptor {
    fn fails(&self) -> io::Error {
        *self.has_failed.lock().unwrap() = true;
        io::Error::from(io::ErrorKind::StorageFull)
    }

    fn note(&self) {
        self.disk.state().asked_again += u32::from(*self.has_failed.lock().unwrap());
    }

    /// The later of two writes to one place is lost first.
    fn lose(&self, lost: u64) -> io::Result<()> {
        let writes = std::mem::take(&mut *self.unsynced.lock().unwrap());
        for (n, Undo { offset, before }) in writes.into_iter().enumerate().rev() {
            if lost >> (n % 64) & 1 == 1 {
                self.file.write_all_at(&before, offset)?;
            }
        }
        Ok(())
    }
}

impl StorageBackend for Descriptor {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note();
        let fault = self.disk.state().fault;
        if let Some(Fault::Sync { lost }) = fault {
            self.lose(lost)?;
            return Err(self.fails());
        }
        self.unsynced.lock().unwrap().clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note();
        if let Some(Fault::Write) = self.disk.state().fault {
            return Err(self.fails());
        }
        let mut before = vec![0; data.len()];
        let there = self.file.metadata()?.len().saturating_sub(offset);
        let there = usize::try_from(there).unwrap().min(before.len());
        self.file.read_exact_at(&mut before[..there], offset)?;
        self.unsynced.lock().unwrap().push(Undo { offset, before });
        self.file.write_all_at(data, offset)
    }
}
