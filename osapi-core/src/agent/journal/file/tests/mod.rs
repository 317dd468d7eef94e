//! Disks that fail, tear and alter what is on them: nothing that was synced is forgotten, and nothing is made up.

mod damage;
mod disk;
mod faults;

use std::path::{Path, PathBuf};

use super::{FileJournal, OpenError};
use crate::agent::journal::{Binding, Change, Journal, Record, Stage};
use crate::auth::envelope::Signed;
use crate::clock::Timestamp;
use crate::id::{Digest, FleetId, JobId, PublicKey};
use disk::Disk;

fn binding() -> Binding {
    Binding {
        fleet: FleetId::from_bytes([1; 16]),
        name: "web-1".parse().unwrap(),
        key: PublicKey::from_bytes([2; 32]),
        machine: "m-1".into(),
    }
}

fn job(n: usize) -> JobId {
    format!("018f0000-0000-7000-8000-{n:012}").parse().unwrap()
}

fn starting(n: usize) -> Vec<Change> {
    let not_after = Timestamp::from_unix_millis(1_700_000_030_000);
    let body = Some(Digest::of(&n.to_be_bytes()));
    let record = Record { body, not_after, nonce: None, stage: Stage::Starting };
    let report = Signed::from_text(format!("v4.public.{n}.{}", "x".repeat(n % 7 * 2000)));
    vec![Change::Put(job(n), record), Change::Report(job(n), report)]
}

/// A journal file in a directory of its own.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("journal.redb")
    }

    fn open(&self) -> Result<FileJournal, OpenError> {
        FileJournal::open(&self.path(), &binding())
    }

    fn open_on(&self, disk: &Disk) -> Result<FileJournal, OpenError> {
        FileJournal::open_on(Box::new(disk.clone()), &self.path(), &binding())
    }

    /// What a process finds that starts now, while another may have the file open.
    fn copied(&self) -> Self {
        let copy = Self::new();
        for name in ["journal.redb", "journal.redb.synced"] {
            std::fs::copy(self.dir.path().join(name), copy.dir.path().join(name)).unwrap();
        }
        copy
    }
}

async fn jobs(journal: &dyn Journal) -> Vec<JobId> {
    let entries = journal.entries().await.unwrap();
    for (job, _) in &entries {
        assert!(journal.report(*job).await.unwrap().is_some(), "half a commit");
    }
    entries.into_iter().map(|(job, _)| job).collect()
}

fn up_to(n: usize) -> Vec<JobId> {
    (0..n).map(job).collect()
}

fn file_at(path: &Path) -> std::fs::File {
    std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
}
