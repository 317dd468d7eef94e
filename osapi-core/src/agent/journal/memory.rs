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

/// Why a commit fails.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// There is a cause. What is to be written is kept all the same, or not.
    Cause { keeps: bool },
    /// There was one, and the journal was not opened again.
    GivenUp { is_cause_gone: bool },
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
    pub(in crate::agent) fn copied(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Makes the next commit, and every one after it, fail and keep nothing.
    pub fn fail(&self) {
        self.state().fault = Some(Fault::Cause { keeps: false });
    }

    /// The same, but the next commit is kept, as by a disk that writes and cannot say so.
    pub fn fail_and_keep(&self) {
        self.state().fault = Some(Fault::Cause { keeps: true });
    }

    /// Removes the cause: it can be opened again.
    pub fn repair(&self) {
        let mut state = self.state();
        state.fault = match state.fault {
            Some(Fault::GivenUp { .. }) => Some(Fault::GivenUp { is_cause_gone: true }),
            Some(Fault::Cause { .. }) | None => None,
        };
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
        let keeps = match state.fault {
            Some(Fault::GivenUp { .. }) => return Err(JournalError::GivenUp),
            Some(Fault::Cause { keeps }) => keeps,
            None => true,
        };
        if keeps {
            changes.into_iter().for_each(|change| state.apply(change));
            state.commits += 1;
        }
        if state.fault.is_some() {
            state.fault = Some(Fault::GivenUp { is_cause_gone: false });
            return Err(JournalError::Write("told to fail".into()));
        }
        Ok(())
    }

    async fn reopen(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        let is_cause_there = matches!(
            self.state().fault,
            Some(Fault::Cause { .. } | Fault::GivenUp { is_cause_gone: false })
        );
        if is_cause_there {
            return Err(JournalError::Reopen("told to fail".into()));
        }
        self.state().fault = None;
        self.entries().await
    }
}
