//! A journal that failed: nothing is taken and nothing starts until it was opened again and has everything that it lacked.
//!
//! What it holds after a failed commit is read from the file, not assumed. What a job is in memory, it becomes there; a job that was not
//! taken because it could not be journaled is forgotten there too, as if its order had never come.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::session::Ring;
use super::writes::{After, Health};
use super::{Action, CommitId, Machine, Notice, Phase, Wake, pause_after};
use crate::agent::journal::{Change, Record};
use crate::id::JobId;
use crate::message::Refusal;

impl Machine {
    pub(super) fn journal_broke(&mut self, id: CommitId, why: String) {
        match *self.writes.health() {
            Health::Works => self.notice(Notice::JournalFailed(why)),
            Health::Recovering { id: recovering, tries } if recovering == id => {
                return self.retry_later(tries + 1);
            }
            Health::Broken { .. } | Health::Recovering { .. } => return,
        }
        self.retry_later(0);
    }

    fn retry_later(&mut self, tries: u32) {
        let health = mem::replace(self.writes.health(), Health::Works);
        let ring = if let Health::Broken { ring, .. } = health { ring } else { None };
        *self.writes.health() = Health::Broken { tries, ring };
        self.timers.set(Wake::Journal, self.now.boottime + pause_after(tries));
    }

    /// The ring is used once its serial is kept, and no earlier.
    pub(super) fn keep_ring(&mut self, ring: Ring) {
        if let Health::Broken { ring: kept, .. } = self.writes.health() {
            *kept = Some(ring);
        }
    }

    /// A new job is as if it had never come; one from the queue goes back there, where it stays.
    pub(super) fn not_journaled(&mut self, job: JobId) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        match &known.phase {
            Phase::Starting { task, was_queued: true } => {
                let task = Arc::clone(task);
                known.phase = Phase::Queued(task);
                self.deadlines.insert((known.not_after, job));
                self.queue.push_front(job);
                self.busy -= 1;
                return;
            }
            Phase::Starting { was_queued: false, .. } => self.busy -= 1,
            Phase::Accepting(_) => self.accepting -= 1,
            _ => return,
        }
        self.drop_job(job);
        self.refuse(Some(job), Refusal::Journal);
    }

    /// What was handed over before is answered first: the file is not opened twice at a time.
    pub(super) fn reopen_journal(&mut self) {
        let Health::Broken { tries, .. } = *self.writes.health() else { return };
        if self.writes.is_under_way() {
            self.timers.set(Wake::Journal, self.now.boottime + pause_after(tries));
        } else {
            self.do_it(Action::ReopenJournal);
        }
    }

    pub(super) fn journal_reopened(&mut self, result: Result<Vec<(JobId, Record)>, String>) {
        let Health::Broken { tries, ring } = self.writes.health() else { return };
        let (tries, ring) = (*tries, ring.take());
        match result {
            Ok(entries) => {
                self.complete_journal(entries.into_iter().collect(), ring);
                let id = self.writes.next_id();
                *self.writes.health() = Health::Recovering { id, tries };
            }
            Err(_) => {
                if let Some(ring) = ring {
                    self.keep_ring(ring);
                }
                self.retry_later(tries.saturating_add(1));
            }
        }
    }

    /// Writes what the journal lacks. There is always something to write, so that it is seen to be possible.
    fn complete_journal(&mut self, kept: BTreeMap<JobId, Record>, ring: Option<Ring>) {
        let header = &self.header;
        let mut changes = vec![
            Change::Ring(header.ring),
            Change::HighestIat(header.highest_iat),
            Change::ForgotUntil(header.forgot_until),
        ];
        changes.extend(header.seen.clone().map(Change::Seen));
        let unknown = kept.keys().filter(|job| !self.jobs.contains_key(job));
        changes.extend(unknown.copied().map(Change::Forget));
        let mut after: Vec<_> = ring.map(After::Ring).into_iter().collect();
        for (job, known) in &self.jobs {
            match &known.phase {
                Phase::Settling { report, .. } => {
                    changes.push(Change::Report(*job, report.clone()));
                    after.push(After::Outcome(*job));
                }
                Phase::Starting { .. } => after.push(After::Starting(*job)),
                _ => {}
            }
            let record = known.record();
            if kept.get(job) != Some(&record) {
                changes.push(Change::Put(*job, record));
            }
        }
        changes.into_iter().for_each(|change| self.writes.change(change));
        after.into_iter().for_each(|after| self.writes.then(after));
    }

    pub(super) fn check_recovered(&mut self, id: CommitId) {
        if matches!(self.writes.health(), Health::Recovering { id: recovering, .. } if *recovering == id)
        {
            *self.writes.health() = Health::Works;
            self.notice(Notice::JournalRecovered);
            self.resume_claims();
        }
    }
}
