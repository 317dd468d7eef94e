//! A journal in a redb file of its own, mode 0600.
//!
//! The file is made under another name and linked into place once its header is synced: a journal that is there is complete, and a
//! damaged one is never taken for a new one, because an agent that forgot what it started would start it again.

mod codec;
mod open;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Binding, Change, Header, Journal, JournalError, Record};
use crate::auth::envelope::Signed;
use crate::backend::Source;
use crate::id::JobId;
use crate::job::Report;

pub use open::OpenError;

/// The header, under [`HEADER_KEY`].
const HEADER: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("header");
const HEADER_KEY: &str = "header";
/// One record per job, under its id.
const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
/// The signed reports, apart from the records, so that a start reads none of them.
const REPORTS: TableDefinition<'static, &str, &str> = TableDefinition::new("reports");

/// A journal in a file. Another process cannot open it at the same time.
#[derive(Debug, Clone)]
pub struct FileJournal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Database,
    header: Mutex<Header>,
    given_up: AtomicBool,
}

impl FileJournal {
    /// Opens the journal at `path`, or makes one if nothing is there. Reads the file: call it where blocking is allowed.
    ///
    /// # Errors
    /// When the file is another agent's, damaged, newer, in use, or cannot be read or made. What is there is never replaced.
    pub fn open(path: &Path, binding: &Binding) -> Result<Self, OpenError> {
        let (db, header) = open::open_or_create(path, binding)?;
        let (header, given_up) = (Mutex::new(header), AtomicBool::new(false));
        let inner = Inner { db, header, given_up };
        // A record that cannot be read is found now, not once something has been built on the others.
        inner.entries().map_err(|err| open::unreadable(path, err))?;
        Ok(Self(Arc::new(inner)))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, JournalError> + Send + 'static,
        failed: fn(Source) -> JournalError,
    ) -> Result<T, JournalError> {
        let inner = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(result) => result,
            Err(panicked) => Err(failed(Box::new(panicked))),
        }
    }
}

impl Inner {
    fn header(&self) -> std::sync::MutexGuard<'_, Header> {
        // The guarded value is only ever replaced as a whole.
        self.header.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        let rows = self.rows().map_err(|err| JournalError::Read(Box::new(err)))?;
        rows.iter().map(|(key, value)| codec::record(key, value)).collect()
    }

    fn rows(&self) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
        let table = self.db.begin_read()?.open_table(RECORDS)?;
        let mut rows = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            rows.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(rows)
    }

    fn report(&self, job: JobId) -> Result<Option<Signed<Report>>, redb::Error> {
        let table = self.db.begin_read()?.open_table(REPORTS)?;
        let text = table.get(job.to_string().as_str())?;
        Ok(text.map(|text| Signed::from_text(text.value().to_owned())))
    }

    fn commit(&self, changes: &[Change]) -> Result<(), redb::Error> {
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        // The transaction excludes every other one, so the header cannot change before it is stored below.
        let mut header = self.header().clone();
        {
            let mut records = write.open_table(RECORDS)?;
            let mut reports = write.open_table(REPORTS)?;
            let mut is_header_changed = false;
            for change in changes {
                is_header_changed |= header.apply(change);
                apply(change, &mut records, &mut reports)?;
            }
            if is_header_changed {
                write.open_table(HEADER)?.insert(HEADER_KEY, codec::encode(&header).as_slice())?;
            }
        }
        write.commit()?;
        *self.header() = header;
        Ok(())
    }
}

fn apply(
    change: &Change,
    records: &mut redb::Table<'_, &str, &[u8]>,
    reports: &mut redb::Table<'_, &str, &str>,
) -> Result<(), redb::Error> {
    match change {
        Change::Put(job, record) => {
            records.insert(job.to_string().as_str(), codec::encode(record).as_slice())?;
        }
        Change::Report(job, report) => {
            reports.insert(job.to_string().as_str(), report.as_str())?;
        }
        Change::Forget(job) => {
            let job = job.to_string();
            records.remove(job.as_str())?;
            reports.remove(job.as_str())?;
        }
        Change::Ring(_) | Change::HighestIat(_) | Change::ForgotUntil(_) | Change::Seen(_) => {}
    }
    Ok(())
}

#[async_trait]
impl Journal for FileJournal {
    fn header(&self) -> Header {
        self.0.header().clone()
    }

    async fn entries(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        self.blocking(Inner::entries, JournalError::Read).await
    }

    async fn report(&self, job: JobId) -> Result<Option<Signed<Report>>, JournalError> {
        let read =
            move |inner: &Inner| inner.report(job).map_err(|err| JournalError::Read(Box::new(err)));
        self.blocking(read, JournalError::Read).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), JournalError> {
        // After a failed write or fsync the file may or may not hold the changes: nothing is built on top of that.
        if self.0.given_up.load(Ordering::Acquire) {
            return Err(JournalError::GivenUp);
        }
        let write = move |inner: &Inner| {
            inner.commit(&changes).map_err(|err| JournalError::Write(Box::new(err)))
        };
        let written = self.blocking(write, JournalError::Write).await;
        if written.is_err() {
            self.0.given_up.store(true, Ordering::Release);
        }
        written
    }
}
