//! What goes to the journal: at most one commit per event, what follows from each once it is synced, and what nothing waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::session::Ring;
use super::{Action, CommitId, Machine, Wake};
use crate::agent::journal::Change;
use crate::id::JobId;

/// How long a change that nothing waits for may wait for another commit to go with. A crash in between costs the handle of a running
/// command, which is then found by its job.
const LAZY: Duration = Duration::from_millis(50);

/// What follows once a commit is synced.
#[derive(Debug)]
pub(super) enum After {
    /// The job waits for a slot.
    Accepted(JobId),
    /// The job may start, if deadline and cancel still allow it.
    Starting(JobId),
    /// The outcome of the job may be reported.
    Outcome(JobId),
    /// The ring may be used.
    Ring(Ring),
}

#[derive(Debug, Default)]
pub(super) struct Writes {
    last: u64,
    changes: Vec<Change>,
    after: Vec<After>,
    under_way: BTreeMap<CommitId, Vec<After>>,
    lazy: BTreeSet<JobId>,
    /// What is known of the store waits like the jobs in `lazy`.
    is_seen_lazy: bool,
    is_lazy_due: bool,
    health: Health,
}

/// Whether the journal can be written.
#[derive(Debug, Default)]
pub(super) enum Health {
    #[default]
    Works,
    /// A commit failed. Nothing is written, because nobody knows what the file holds.
    Broken {
        /// How often it was tried to open it again.
        tries: u32,
        /// A ring that may be used once its serial is kept.
        ring: Option<Ring>,
    },
    /// It was opened again, and this commit writes everything that it lacks.
    Recovering { id: CommitId, tries: u32 },
}

impl Writes {
    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn then(&mut self, after: After) {
        self.after.push(after);
    }

    pub(super) fn flush_lazy(&mut self) {
        self.is_lazy_due = true;
    }

    /// Whether something may be lacking in the journal.
    pub(super) fn is_broken(&self) -> bool {
        !matches!(self.health, Health::Works)
    }

    pub(super) fn health(&mut self) -> &mut Health {
        &mut self.health
    }

    /// Whether a commit was handed over and is not answered.
    pub(super) fn is_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// The next commit that is handed over.
    pub(super) fn next_id(&self) -> CommitId {
        CommitId(self.last + 1)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.changes.is_empty()
    }
}

impl Machine {
    /// Journals what is known of a job with the next commit, or soon.
    pub(super) fn put_lazily(&mut self, job: JobId) {
        self.wait_lazily();
        self.writes.lazy.insert(job);
    }

    /// Journals what is known of the store with the next commit, or soon.
    pub(super) fn put_seen_lazily(&mut self) {
        self.wait_lazily();
        self.writes.is_seen_lazy = true;
    }

    fn wait_lazily(&mut self) {
        if self.writes.lazy.is_empty() && !self.writes.is_seen_lazy {
            self.timers.set(Wake::Lazy, self.now.boottime + LAZY);
        }
    }

    /// Hands over everything that this event changes as one commit.
    pub(super) fn write(&mut self) {
        let is_due = std::mem::take(&mut self.writes.is_lazy_due);
        if is_due || !self.writes.changes.is_empty() {
            self.timers.clear(Wake::Lazy);
            for job in std::mem::take(&mut self.writes.lazy) {
                self.put(job);
            }
            if std::mem::take(&mut self.writes.is_seen_lazy)
                && let Some(seen) = self.header.seen.clone()
            {
                self.change(Change::Seen(seen));
            }
        }
        let changes = std::mem::take(&mut self.writes.changes);
        let after = std::mem::take(&mut self.writes.after);
        // After a failed write nothing is known of the file. What it lacks is written once it was opened again.
        let is_unknown = matches!(self.writes.health, Health::Broken { .. });
        if changes.is_empty() || is_unknown {
            return;
        }
        self.writes.last += 1;
        let id = CommitId(self.writes.last);
        self.writes.under_way.insert(id, after);
        self.do_it(Action::Commit { id, changes });
    }

    pub(super) fn committed(&mut self, id: CommitId) {
        for after in self.writes.under_way.remove(&id).unwrap_or_default() {
            match after {
                After::Accepted(job) => self.accepted(job),
                After::Starting(job) => self.may_start(job),
                After::Outcome(job) => self.outcome_kept(job),
                After::Ring(ring) => self.use_ring(ring),
            }
        }
        self.check_recovered(id);
    }

    pub(super) fn commit_failed(&mut self, id: CommitId, why: String) {
        self.journal_broke(id, why);
        for after in self.writes.under_way.remove(&id).unwrap_or_default() {
            match after {
                After::Accepted(job) | After::Starting(job) => self.not_journaled(job),
                After::Ring(ring) => self.keep_ring(ring),
                // Its report is told to the journal again.
                After::Outcome(_) => {}
            }
        }
    }

    /// Takes a job out of memory.
    pub(super) fn drop_job(&mut self, job: JobId) {
        self.open.remove(&job);
        self.writes.lazy.remove(&job);
        if let Some(body) = self.jobs.remove(&job).and_then(|known| known.body) {
            self.bodies.remove(&body);
        }
        for wake in [Wake::Timeout, Wake::Leftovers, Wake::Claim, Wake::Report, Wake::Upload] {
            self.timers.clear(wake(job));
        }
    }
}
