//! A journal in a redb file of its own, mode 0600.
//!
//! The file is made under another name and linked into place once its header is synced: a journal that is there is complete, and a
//! damaged one is never taken for a new one, because an agent that forgot what it started would start it again.
//!
//! A write or sync that failed leaves the file in a state that nobody knows: it is closed, and what it really holds is read anew before
//! anything is written again.

mod codec;
mod mark;
mod open;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Binding, Change, Header, Journal, JournalError, Record};
use crate::auth::envelope::Signed;
use crate::backend::Source;
use crate::id::JobId;
use crate::job::Report;
use mark::Mark;

pub use open::OpenError;

/// The header, under [`HEADER_KEY`].
const HEADER: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("header");
const HEADER_KEY: &str = "header";
/// The number of commits, in big endian, beside the header.
const COMMITS_KEY: &str = "commits";
/// One record per job, under its id.
const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
/// The signed reports, apart from the records, so that a start reads none of them.
const REPORTS: TableDefinition<'static, &str, &str> = TableDefinition::new("reports");

/// A journal in a file. Another process cannot open it at the same time.
#[derive(Debug, Clone)]
pub struct FileJournal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    binding: Binding,
    opener: Box<dyn Opener>,
    /// None after a failed write, until it could be opened again.
    db: RwLock<Option<Database>>,
    state: Mutex<State>,
    mark: Mark,
    given_up: AtomicBool,
}

/// How the file is opened: a test can put another disk under it.
trait Opener: fmt::Debug + Send + Sync {
    fn open(&self, path: &Path) -> Result<Database, DatabaseError>;
}

/// What was last synced, as far as it is known.
#[derive(Debug, Clone)]
struct State {
    header: Header,
    commits: u64,
}

impl FileJournal {
    /// Opens the journal at `path`, or makes one if nothing is there. Reads the file: call it where blocking is allowed.
    ///
    /// # Errors
    /// When the file is another agent's, damaged, newer, in use, or cannot be read or made. What is there is never replaced.
    pub fn open(path: &Path, binding: &Binding) -> Result<Self, OpenError> {
        Self::open_on(Box::new(open::Disk), path, binding)
    }

    fn open_on(opener: Box<dyn Opener>, path: &Path, binding: &Binding) -> Result<Self, OpenError> {
        open::create_if_missing(path, binding)?;
        let (db, state) = open::open(&*opener, path, binding)?;
        let mark = open::check_mark(path, &state)?;
        let inner = Inner {
            path: path.to_owned(),
            binding: binding.clone(),
            opener,
            db: RwLock::new(Some(db)),
            state: Mutex::new(state),
            mark,
            given_up: AtomicBool::new(false),
        };
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
    fn state(&self) -> MutexGuard<'_, State> {
        // The guarded value is only ever replaced as a whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works with the open file.
    fn with_db<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
        failed: fn(Source) -> JournalError,
    ) -> Result<T, JournalError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let db = db.as_ref().ok_or(JournalError::GivenUp)?;
        work(db).map_err(|err| failed(Box::new(err)))
    }

    fn entries(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        let rows = self.with_db(rows, JournalError::Read)?;
        rows.iter().map(|(key, value)| codec::record(key, value)).collect()
    }

    fn report(&self, job: JobId) -> Result<Option<Signed<Report>>, JournalError> {
        let read = |db: &Database| {
            let table = db.begin_read()?.open_table(REPORTS)?;
            let text = table.get(job.to_string().as_str())?;
            Ok(text.map(|text| Signed::from_text(text.value().to_owned())))
        };
        self.with_db(read, JournalError::Read)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), JournalError> {
        // Commits come one after the other, so that nobody changes it meanwhile.
        let mut state = self.state().clone();
        self.with_db(|db| write(db, &mut state, changes), JournalError::Write)?;
        let commits = state.commits;
        *self.state() = state;
        // It was kept, whatever becomes of the note: one that is behind only notices less.
        if let Err(err) = self.mark.write(commits) {
            tracing::warn!(path = %self.path.display(), error = %err, "the note of what was synced is behind");
        }
        Ok(())
    }

    /// What the file really holds, read through a new descriptor.
    fn reopen(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        let known = self.state().clone();
        {
            let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
            // Closed first: one process at a time may have it open, and this is none any more.
            *db = None;
            // What a failed sync did not write may still be shown by the cache.
            open::forget_cached(&self.path).map_err(reopen_error)?;
            let (opened, found) =
                open::open(&*self.opener, &self.path, &self.binding).map_err(reopen_error)?;
            open::check_successor(&self.path, &known, &found).map_err(reopen_error)?;
            *db = Some(opened);
            *self.state() = found;
        }
        let entries = self.entries()?;
        self.given_up.store(false, Ordering::Release);
        Ok(entries)
    }
}

fn reopen_error(err: OpenError) -> JournalError {
    JournalError::Reopen(Box::new(err))
}

fn rows(db: &Database) -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
    let table = db.begin_read()?.open_table(RECORDS)?;
    let mut rows = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        rows.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok(rows)
}

/// Writes the changes in one transaction, and what follows from them for `state`.
fn write(db: &Database, state: &mut State, changes: &[Change]) -> Result<(), redb::Error> {
    let mut write = db.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    {
        let mut records = write.open_table(RECORDS)?;
        let mut reports = write.open_table(REPORTS)?;
        let mut header = write.open_table(HEADER)?;
        let mut is_header_changed = false;
        for change in changes {
            is_header_changed |= state.header.apply(change);
            apply(change, &mut records, &mut reports)?;
        }
        if is_header_changed {
            header.insert(HEADER_KEY, codec::encode(&state.header).as_slice())?;
        }
        state.commits += 1;
        header.insert(COMMITS_KEY, state.commits.to_be_bytes().as_slice())?;
    }
    write.commit()?;
    Ok(())
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
        self.0.state().header.clone()
    }

    async fn entries(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        self.blocking(Inner::entries, JournalError::Read).await
    }

    async fn report(&self, job: JobId) -> Result<Option<Signed<Report>>, JournalError> {
        self.blocking(move |inner| inner.report(job), JournalError::Read).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), JournalError> {
        // After a failed write or fsync the file may or may not hold the changes: nothing is built on top of that.
        if self.0.given_up.load(Ordering::Acquire) {
            return Err(JournalError::GivenUp);
        }
        let written = self.blocking(move |inner| inner.commit(&changes), JournalError::Write).await;
        if written.is_err() {
            self.0.given_up.store(true, Ordering::Release);
        }
        written
    }

    async fn reopen(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        self.blocking(Inner::reopen, JournalError::Reopen).await
    }
}
