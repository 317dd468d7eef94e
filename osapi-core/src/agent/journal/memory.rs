//! A journal in memory: for tests, where it outlives the agent that writes it, as a file outlives a process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Binding, Change, Header, Journal, JournalError, Record};
use crate::auth::envelope::Signed;
use crate::id::JobId;
use crate::job::Report;

/// A journal in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryJournal(Arc<Mutex<State>>);

#[derive(Debug, Clone)]
struct State {
    header: Header,
    records: BTreeMap<JobId, Record>,
    reports: BTreeMap<JobId, Signed<Report>>,
    commits: u64,
    fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Next,
    GivenUp,
}

impl MemoryJournal {
    /// An empty journal of its own identity.
    #[must_use]
    pub fn new(binding: Binding) -> Self {
        Self(Arc::new(Mutex::new(State {
            header: Header::new(binding),
            records: BTreeMap::new(),
            reports: BTreeMap::new(),
            commits: 0,
            fault: None,
        })))
    }

    /// Another journal that holds the same, like a disk that was copied.
    #[cfg(test)]
    #[must_use]
    pub(in crate::agent) fn copied(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Makes the next commit, and every one after it, fail and keep nothing.
    pub fn fail(&self) {
        self.state().fault = Some(Fault::Next);
    }

    /// Takes writes again, as a file that is opened again after its disk was repaired.
    pub fn repair(&self) {
        self.state().fault = None;
    }

    /// How many commits were kept.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.state().commits
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, change: Change) {
        if self.header.apply(&change) {
            return;
        }
        match change {
            Change::Put(job, record) => {
                self.records.insert(job, record);
            }
            Change::Report(job, report) => {
                self.reports.insert(job, report);
            }
            Change::Forget(job) => {
                self.records.remove(&job);
                self.reports.remove(&job);
            }
            Change::Ring(_) | Change::HighestIat(_) | Change::ForgotUntil(_) | Change::Seen(_) => {}
        }
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn header(&self) -> Header {
        self.state().header.clone()
    }

    async fn entries(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        let state = self.state();
        Ok(state.records.iter().map(|(job, record)| (*job, record.clone())).collect())
    }

    async fn report(&self, job: JobId) -> Result<Option<Signed<Report>>, JournalError> {
        Ok(self.state().reports.get(&job).cloned())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), JournalError> {
        let mut state = self.state();
        match state.fault {
            Some(Fault::GivenUp) => return Err(JournalError::GivenUp),
            Some(Fault::Next) => {
                state.fault = Some(Fault::GivenUp);
                return Err(JournalError::Write("told to fail".into()));
            }
            None => {}
        }
        changes.into_iter().for_each(|change| state.apply(change));
        state.commits += 1;
        Ok(())
    }
}
