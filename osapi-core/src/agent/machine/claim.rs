//! The claim exchange. What several hosts could start, or what may have waited for too long, starts only once the store says that it is
//! this agent's: `accepted` is journaled with a nonce, and the claim is asked for with it until a controller answers.
//!
//! A report exists only under the agent's own claim, and any request may have been granted: so a job that is not to start any more goes
//! on asking, and is reported or closed by what the answer is.

use std::sync::Arc;
use std::time::Duration;

use super::writes::After;
use super::{Machine, Notice, Output, Phase, Wake, pause_after};
use crate::auth::envelope::Signed;
use crate::clock::Timestamp;
use crate::id::{JobId, Nonce};
use crate::job::Outcome;
use crate::job::limits::SKEW_MAX;
use crate::job::record::VERSION;
use crate::message::{ClaimRequest, FromAgent, ReceiptKind, Refusal};

/// Until when a closed job is remembered: for as long as its order may still be sent, whatever the clocks say.
pub(super) fn closed_until(not_after: Timestamp) -> Timestamp {
    not_after + 2 * SKEW_MAX
}

impl Machine {
    /// A queued job that needs a claim has come to a slot.
    pub(super) fn claim(&mut self, job: JobId) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let Phase::Queued(task) = &known.phase else { return };
        let task = Arc::clone(task);
        if let Err(failure) = (self.config.admit)(&task.operation, &task.submitter) {
            // As when its order comes: whoever refuses must not take the claim from those that do not.
            return match known.may_decline {
                true => self.decline(job, Refusal::Policy),
                false => self.conclude_unstarted(job, Outcome::Rejected(failure)),
            };
        }
        if !self.session.is_up() {
            // The slot is for those that can use it meanwhile.
            return self.parked.push_back(job);
        }
        known.phase = Phase::Claiming { task, tries: 0 };
        self.busy += 1;
        self.ask_for_claim(job);
    }

    /// A job that needs a claim is not to start any more, wherever it waits: it asks, or goes on asking, without a slot.
    pub(super) fn claim_instead(&mut self, job: JobId, outcome: Outcome) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let (had_slot, is_first) = (known.is_claiming_a_start(), known.instead.is_none());
        let is_cancelled = *known.instead.get_or_insert(outcome) == Outcome::Cancelled;
        self.deadlines.remove(&(known.not_after, job));
        let was_queued = match &known.phase {
            Phase::Queued(task) => {
                known.phase = Phase::Claiming { task: Arc::clone(task), tries: 0 };
                true
            }
            _ => false,
        };
        if had_slot {
            self.free_slot(job);
        }
        // Clocks and policy tell the same after a crash; a cancel that came has to be remembered.
        if is_cancelled && (is_first || was_queued) {
            self.put(job);
        }
        if was_queued {
            self.ask_for_claim(job);
        }
    }

    /// Asks, and again later unless it was answered.
    pub(super) fn ask_for_claim(&mut self, job: JobId) {
        // Without keys no answer can be verified; without a journal nothing would follow from it.
        if !self.session.is_up() || !self.session.is_welcome() || self.writes.is_broken() {
            return;
        }
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let (Phase::Claiming { tries, .. }, Some(nonce)) = (&mut known.phase, known.nonce) else {
            return;
        };
        let pause = pause_after(*tries);
        *tries = tries.saturating_add(1);
        known.may_decline = false;
        self.timers.set(Wake::Claim(job), self.now.boottime + pause);
        let (fleet, identity) = (self.header.binding.fleet, self.identity.clone());
        let request = ClaimRequest { v: VERSION, fleet, identity, job, nonce };
        let signed = Signed::sign(&request, &self.config.key)
            .expect("a claim request has no part that can be large");
        self.send(FromAgent::Claim(signed));
    }

    pub(super) fn claim_answered(&mut self, job: JobId, nonce: Nonce, is_mine: bool) {
        let known = self.jobs.get(&job).filter(|known| known.nonce == Some(nonce));
        let Some(known) = known else {
            let why = "it is about another request for the claim";
            return self.notice(Notice::AnswerIgnored(Some(job), why));
        };
        match (&known.phase, is_mine) {
            (Phase::Claiming { task, .. }, true) => {
                let task = Arc::clone(task);
                let starting = Phase::Starting { task, was_queued: true };
                self.granted(job, starting);
            }
            (Phase::Claiming { .. } | Phase::Queued(_), false) => {
                self.close(job, Refusal::Claimed);
            }
            // A repetition, or too late to be of use: what is needed again is asked for again.
            _ => {}
        }
    }

    fn granted(&mut self, job: JobId, starting: Phase) {
        self.timers.clear(Wake::Claim(job));
        let Some(known) = self.jobs.get_mut(&job) else { return };
        self.deadlines.remove(&(known.not_after, job));
        if let Some(outcome) = known.instead.take() {
            return self.conclude(job, outcome, None, Duration::ZERO, Output::empty());
        }
        known.phase = starting;
        self.put(job);
        self.writes.then(After::Starting(job));
    }

    /// It is left to the other candidates, whose turn comes by this.
    fn decline(&mut self, job: JobId, why: Refusal) {
        self.close(job, why);
        self.receipt(job, ReceiptKind::Refused(why));
    }

    /// It never starts here, and somebody else says what became of it.
    fn close(&mut self, job: JobId, why: Refusal) {
        self.timers.clear(Wake::Claim(job));
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let had_slot = known.is_claiming_a_start();
        known.phase = Phase::Closed(why);
        self.deadlines.remove(&(known.not_after, job));
        self.kept.insert((closed_until(known.not_after), job));
        self.open.remove(&job);
        if had_slot {
            self.free_slot(job);
        }
        // Should a crash come first, it is asked and answered once more.
        self.put_lazily(job);
    }

    /// No answer can come, or nothing is to start any more: the slots are for others. A request that is under way may be granted all the
    /// same, and is then repeated when the job comes to a slot again.
    pub(super) fn hand_back_claims(&mut self) {
        let claims_a_start = |job: &&JobId| self.jobs[*job].is_claiming_a_start();
        let jobs: Vec<_> = self.open.iter().filter(claims_a_start).copied().collect();
        for job in jobs.into_iter().rev() {
            let Some(known) = self.jobs.get_mut(&job) else { continue };
            let Phase::Claiming { task, .. } = &known.phase else { continue };
            known.phase = Phase::Queued(Arc::clone(task));
            self.timers.clear(Wake::Claim(job));
            self.queue.push_front(job);
            self.free_slot(job);
        }
    }

    /// Answers can come again.
    pub(super) fn resume_claims(&mut self) {
        while let Some(job) = self.parked.pop_back() {
            self.queue.push_front(job);
        }
        let is_claiming = |job: &&JobId| matches!(self.jobs[*job].phase, Phase::Claiming { .. });
        let jobs: Vec<_> = self.open.iter().filter(is_claiming).copied().collect();
        for job in jobs {
            if let Some(Phase::Claiming { tries, .. }) =
                self.jobs.get_mut(&job).map(|j| &mut j.phase)
            {
                *tries = 0;
            }
            self.ask_for_claim(job);
        }
    }

    /// Jobs that do not start any more and whose claim is not answered yet.
    pub(super) fn ending_claims(&self) -> usize {
        let is_ending = |job: &&JobId| {
            let known = &self.jobs[*job];
            matches!(known.phase, Phase::Claiming { .. }) && known.instead.is_some()
        };
        self.open.iter().filter(is_ending).count()
    }
}
