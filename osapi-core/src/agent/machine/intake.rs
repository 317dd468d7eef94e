//! Orders and cancels: in this order, known or not, authentic or not, and only then judged.

use std::sync::Arc;

use super::check::{self, Judgement};
use super::writes::After;
use super::{Action, Drain, Job, Machine, Notice, Phase};
use crate::agent::journal::Change;
use crate::auth::envelope::Signed;
use crate::auth::keys::KeyUse;
use crate::auth::merkle::Membership;
use crate::executor::{StopReason, Task};
use crate::id::{Digest, JobId, Nonce};
use crate::job::limits::{QUEUE_FOR_MAX, SKEW_MAX};
use crate::job::record::VERSION;
use crate::job::{ClaimRule, Outcome};
use crate::message::{CancelOrder, Order, ReceiptKind, Refusal};

impl Machine {
    pub(super) fn dispatched(&mut self, signed: &Signed<Order>, membership: &Membership) {
        let body = signed.digest();
        if let Some(job) = self.bodies.get(&body) {
            // It was verified when it was journaled: whatever time, keys and policy say by now.
            return self.repeat_last_word(*job);
        }
        let Some(ring) = self.session.ring() else {
            return self.refuse(check::claimed_job(signed), Refusal::NotReady);
        };
        let fleet = self.header.binding.fleet;
        match check::authentic(signed, membership, ring, fleet, &self.identity) {
            Ok(order) => self.authentic_order(order, body),
            Err(refusal) => self.refuse(check::claimed_job(signed), refusal),
        }
    }

    fn authentic_order(&mut self, order: Order, body: Digest) {
        if let Some(server) = self.clocks().server {
            // No further than a clock may be off: whoever signs with one that is ahead stops nobody else.
            self.highest_iat = self.highest_iat.max(order.iat.min(server + SKEW_MAX));
        }
        let job = order.job;
        match self.jobs.get(&job).map(|known| known.body) {
            // Only a cancel of it is known: barred, and reported so.
            Some(None) => return self.repeat_last_word(job),
            Some(Some(_)) => {
                self.notice(Notice::OtherBody(job));
                return self.refuse(Some(job), Refusal::OtherBody);
            }
            None => {}
        }
        if order.not_after <= self.header.forgot_until {
            return self.refuse(Some(job), Refusal::NoMemory);
        }
        if self.writes.is_broken() {
            return self.refuse(Some(job), Refusal::Journal);
        }
        self.judge(order, body);
    }

    fn judge(&mut self, order: Order, body: Digest) {
        let (job, clocks) = (order.job, self.clocks());
        let is_draining = self.drain != Drain::No;
        let admit = &self.config.admit;
        let highest_iat = self.highest_iat.max(order.iat);
        match check::judge(&order, clocks, highest_iat, is_draining, admit) {
            Judgement::Refuse(refusal) => self.refuse(Some(job), refusal),
            Judgement::Close(outcome, refusal) => match order.claim {
                ClaimRule::None => {
                    self.learn(order, body);
                    self.conclude_unstarted(job, outcome);
                }
                // The report needs the claim, which only the host itself can take.
                ClaimRule::Host if outcome != Outcome::Expired => {
                    self.accept(order, body, Some(outcome));
                }
                // Another host may take it, or the store says by itself that it is too late.
                ClaimRule::Host | ClaimRule::Job => self.refuse(Some(job), refusal),
            },
            Judgement::Take if order.claim == ClaimRule::None && self.has_free_slot() => {
                self.learn(order, body);
                self.prepare(job);
            }
            Judgement::Take if self.deadlines.len() + self.accepting < self.room() => {
                self.accept(order, body, None);
            }
            Judgement::Take => self.receipt(job, ReceiptKind::Busy),
        }
    }

    /// How many accepted jobs may wait: in the queue, and for slots that are free.
    fn room(&self) -> usize {
        let free = if self.has_free_slot() { self.config.slots - self.busy } else { 0 };
        self.config.queue + free
    }

    fn accept(&mut self, order: Order, body: Digest, instead: Option<Outcome>) {
        let job = order.job;
        self.learn(order, body);
        if let Some(known) = self.jobs.get_mut(&job) {
            known.instead = instead;
        }
        self.accepting += 1;
        self.put(job);
        self.writes.then(After::Accepted(job));
    }

    /// Takes a judged order into memory; the caller says how it goes on.
    fn learn(&mut self, order: Order, body: Digest) {
        if order.iat > self.header.highest_iat {
            self.change(Change::HighestIat(order.iat));
        }
        self.bodies.insert(body, order.job);
        let nonce = (order.claim != ClaimRule::None).then(Nonce::random);
        let may_decline = order.claim == ClaimRule::Job;
        let Order { operation, submitter, .. } = order;
        let phase = Phase::Accepting(Arc::new(Task { job: order.job, operation, submitter }));
        let (body, not_after, instead) = (Some(body), order.not_after, None);
        let job = Job { body, not_after, nonce, instead, may_decline, phase };
        self.jobs.insert(order.job, job);
        self.open.insert(order.job);
    }

    fn repeat_last_word(&mut self, job: JobId) {
        let Some(known) = self.jobs.get(&job) else { return };
        match (&known.phase, known.word()) {
            (_, Some(word)) => self.receipt(job, word),
            (Phase::Ended(_), None) => self.send_report(job),
            // It is being journaled; the word follows.
            (_, None) => {}
        }
    }

    pub(super) fn cancelled(&mut self, signed: &Signed<CancelOrder>) {
        let Some(ring) = self.session.ring() else {
            return self.notice(Notice::CancelIgnored(None, "no keys yet"));
        };
        let Ok(cancel) = ring.verify(signed, KeyUse::Job) else {
            return self.notice(Notice::CancelIgnored(None, "no valid job key signed it"));
        };
        let job = cancel.job;
        if cancel.fleet != self.header.binding.fleet || cancel.v != VERSION {
            let why = "it is for another fleet, or of another version";
            return self.notice(Notice::CancelIgnored(Some(job), why));
        }
        let Some(known) = self.jobs.get_mut(&job) else {
            return self.bar(&cancel);
        };
        match &known.phase {
            Phase::Accepting(_) | Phase::Starting { .. } => {
                known.instead.get_or_insert(Outcome::Cancelled);
            }
            Phase::Queued(_) | Phase::Claiming { .. } => {
                self.conclude_unstarted(job, Outcome::Cancelled);
            }
            Phase::Launched | Phase::Running { .. } => {
                self.do_it(Action::Stop(job, StopReason::Cancel));
            }
            // How it ended, or that nobody can know, stands already.
            Phase::Leftovers { .. }
            | Phase::Settling { .. }
            | Phase::Ended(_)
            | Phase::Closed(_) => {
                self.repeat_last_word(job);
            }
        }
    }

    /// A job that was never seen is closed before its order comes.
    fn bar(&mut self, cancel: &CancelOrder) {
        let job = cancel.job;
        if cancel.not_after <= self.header.forgot_until {
            return self.refuse(Some(job), Refusal::NoMemory);
        }
        // It would have to be remembered for so long, and forgetting it would refuse every job until then.
        if cancel.not_after > self.clocks().latest() + QUEUE_FOR_MAX + 2 * SKEW_MAX {
            return self.notice(Notice::CancelIgnored(Some(job), "its deadline is too far away"));
        }
        if self.writes.is_broken() {
            return self.notice(Notice::CancelIgnored(Some(job), "the journal cannot be written"));
        }
        self.conclude_barred(job, cancel.not_after);
    }
}
