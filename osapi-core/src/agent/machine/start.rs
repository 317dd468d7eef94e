//! From the queue to the executor: a slot, `starting` in the journal, deadline, cancel and policy once more, and only then the start.

use std::sync::Arc;
use std::time::Duration;

use super::writes::After;
use super::{Action, Drain, Machine, Phase, Wake};
use crate::executor::StopReason;
use crate::id::JobId;
use crate::job::Outcome;
use crate::message::ReceiptKind;

impl Machine {
    /// Whether a job may take a slot now.
    pub(super) fn has_free_slot(&self) -> bool {
        self.busy < self.config.slots
            && self.drain == Drain::No
            && self.session.is_welcome()
            && !self.writes.is_broken()
    }

    /// Gives a job that is new or queued a slot, and journals that it may have been started from here on; first its claim, where it
    /// needs one.
    pub(super) fn prepare(&mut self, job: JobId) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        if known.nonce.is_some() {
            return self.claim(job);
        }
        let (task, was_queued) = match &known.phase {
            Phase::Accepting(task) => (Arc::clone(task), false),
            Phase::Queued(task) => (Arc::clone(task), true),
            _ => return,
        };
        known.phase = Phase::Starting { task, was_queued };
        self.deadlines.remove(&(known.not_after, job));
        self.busy += 1;
        self.put(job);
        self.writes.then(After::Starting(job));
    }

    /// `accepted` is synced.
    pub(super) fn accepted(&mut self, job: JobId) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let Phase::Accepting(task) = &known.phase else { return };
        known.phase = Phase::Queued(Arc::clone(task));
        self.accepting -= 1;
        self.deadlines.insert((known.not_after, job));
        self.queue.push_back(job);
        let (instead, needs_claim) = (known.instead.clone(), known.nonce.is_some());
        if instead.is_none() || needs_claim {
            self.receipt(job, ReceiptKind::Accepted);
        }
        if let Some(outcome) = instead {
            self.conclude_unstarted(job, outcome);
        }
    }

    /// What waited beyond its deadline never starts.
    pub(super) fn expire_queued(&mut self) {
        let clocks = self.clocks();
        while let Some((not_after, job)) = self.deadlines.first().copied()
            && clocks.passed(not_after)
        {
            self.conclude_unstarted(job, Outcome::Expired);
        }
    }

    pub(super) fn fill_slots(&mut self) {
        while self.has_free_slot()
            && let Some(job) = self.queue.pop_front()
        {
            self.prepare(job);
        }
    }

    /// `starting` is synced: deadline, cancel and policy once more, for the sync may have taken any time.
    pub(super) fn may_start(&mut self, job: JobId) {
        let clocks = self.clocks();
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let Phase::Starting { task, .. } = &known.phase else { return };
        if let Some(outcome) = known.instead.clone() {
            return self.conclude_unstarted(job, outcome);
        }
        if clocks.passed(known.not_after) {
            return self.conclude_unstarted(job, Outcome::Expired);
        }
        if let Err(failure) = (self.config.admit)(&task.operation, &task.submitter) {
            return self.conclude_unstarted(job, Outcome::Rejected(failure));
        }
        let task = Arc::unwrap_or_clone(Arc::clone(task));
        let start_by = self.now.boottime + known.not_after.since(clocks.latest());
        let timeout = Duration::from_secs(task.operation.timeout_s().into());
        known.phase = Phase::Launched;
        self.timers.set(Wake::Timeout(job), self.now.boottime + timeout);
        self.do_it(Action::Start { task, start_by });
    }

    pub(super) fn time_out(&mut self, job: JobId) {
        self.do_it(Action::Stop(job, StopReason::Timeout));
    }
}
