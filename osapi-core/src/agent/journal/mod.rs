//! What an agent remembers of the jobs that it has seen: a small set of records, changed in atomic, synced commits.
//!
//! [`FileJournal`] keeps it in a file, [`MemoryJournal`] in memory. The order in which the [machine](super::machine) writes is what makes sure
//! that nothing starts twice; a journal only has to keep what it said that it kept.

#[cfg(test)]
mod conformance;
pub mod file;
pub mod memory;
mod record;

use async_trait::async_trait;

use crate::auth::envelope::Signed;
use crate::backend::Source;
use crate::clock::Timestamp;
use crate::id::JobId;
use crate::job::Report;
use crate::message::Seen;

pub use file::{FileJournal, OpenError};
pub use memory::MemoryJournal;
pub use record::{Binding, Chunked, Ended, Header, Record, Stage};

/// One change of a journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Replaces what is known of a job.
    Put(JobId, Record),
    /// Keeps the signed report of a job, exactly as it is sent.
    Report(JobId, Signed<Report>),
    /// Forgets a job and its report.
    Forget(JobId),
    /// The highest key ring serial that was seen.
    Ring(u64),
    /// The highest `iat` of an order that was judged.
    HighestIat(Timestamp),
    /// The latest start deadline of what was forgotten.
    ForgotUntil(Timestamp),
    /// How far the store is known to have come.
    Seen(Box<Seen>),
}

/// Why a journal did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It could not be written; whether the changes were kept is unknown. After this it refuses every commit until it is opened again.
    #[error("journal cannot be written")]
    Write(#[source] Source),
    /// An earlier write failed; nothing is written any more until it is opened again.
    #[error("journal was given up after a failed write")]
    GivenUp,
    /// It could not be opened again after a failed write.
    #[error("journal cannot be opened again")]
    Reopen(#[source] Source),
    /// It could not be read.
    #[error("journal cannot be read")]
    Read(#[source] Source),
    /// A record is not what this build writes.
    #[error("journal is damaged at record '{record}'")]
    Damaged {
        /// The record.
        record: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A record was written by a later build.
    #[error(
        "journal record '{record}' has version {version}: this build knows versions up to {known}"
    )]
    Newer {
        /// The record.
        record: String,
        /// Its version.
        version: u64,
        /// The latest version that this build reads.
        known: u8,
    },
}

/// An agent's memory. Every commit that returned `Ok` survives a crash.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Whose journal it is and what is not about a single job, as it is now.
    fn header(&self) -> Header;

    /// Every job that is known, oldest identifier first.
    ///
    /// # Errors
    /// When it cannot be read, or holds a record that this build does not know.
    async fn entries(&self) -> Result<Vec<(JobId, Record)>, JournalError>;

    /// The signed report of a job, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn report(&self, job: JobId) -> Result<Option<Signed<Report>>, JournalError>;

    /// Applies every change, in order, or none, and syncs. Commits are applied in the order in which they were called.
    ///
    /// # Errors
    /// When it may not have been kept. From then on every commit fails, until [`reopen`](Self::reopen) succeeds.
    async fn commit(&self, changes: Vec<Change>) -> Result<(), JournalError>;

    /// Opens it anew after a failed commit, and tells what it really holds: what was kept before, with that commit or without it. Commits
    /// that wait must have been answered.
    ///
    /// # Errors
    /// When it still cannot be used. It may be tried again.
    async fn reopen(&self) -> Result<Vec<(JobId, Record)>, JournalError>;
}
