//! How many commits were synced, noted beside the journal: one that has fewer was damaged or put back, and would start something twice.
//!
//! A commit that a crash has torn looks like one that was altered later; only that it had been synced tells them apart. The note itself is
//! not synced: it outlives the process, and after a power cut it may be behind, never ahead.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::id::JournalId;

/// The note.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    journal: JournalId,
    /// How many commits were synced when it was opened, as far as it is known.
    pub(super) found: u64,
}

impl Mark {
    /// Opens the note beside the journal at `path`, or makes one.
    pub(super) fn open(path: &Path, journal: JournalId) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(place(path))?;
        let mut text = Vec::new();
        (&mut file).take(256).read_to_end(&mut text)?;
        Ok(Self { file, journal, found: parse(&text, journal).unwrap_or(0) })
    }

    /// Notes that so many were synced.
    pub(super) fn write(&self, count: u64) -> io::Result<()> {
        // Always as long, so that one write replaces another.
        self.file.write_all_at(format!("{} {count:020}\n", self.journal).as_bytes(), 0)
    }
}

fn place(journal: &Path) -> OsString {
    let mut place = journal.as_os_str().to_owned();
    place.push(".synced");
    place
}

/// What the note says of this journal. It may be about one that was here before.
fn parse(text: &[u8], journal: JournalId) -> Option<u64> {
    let (of, count) = std::str::from_utf8(text).ok()?.trim_end().split_once(' ')?;
    if of != journal.to_string() {
        return None;
    }
    count.parse().ok()
}
