//! How an execution ended: one signed report, journaled with its exact bytes before anybody is told.

use std::time::Duration;

use super::writes::After;
use super::{Action, Delivery, Finished, Job, Machine, Notice, Output, Phase, Wake};
use crate::agent::journal::{Change, Chunked, Ended};
use crate::auth::envelope::{SignError, Signed};
use crate::auth::keys::SigningKey;
use crate::clock::Timestamp;
use crate::executor::Handle;
use crate::id::JobId;
use crate::job::limits::RESEND_MAX;
use crate::job::record::VERSION;
use crate::job::report::Stream;
use crate::job::{Failure, Outcome, Report};
use crate::message::ReceiptKind;

/// How often it is tried to end what a crash left behind before the execution is given up as lost.
const LEFTOVER_TRIES: u32 = 3;

impl Machine {
    pub(super) fn started(&mut self, job: JobId, handle: Handle) {
        let at = self.now.wall;
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let Phase::Launched = known.phase else { return };
        known.phase = Phase::Running { handle, at };
        self.put_lazily(job);
        self.receipt(job, ReceiptKind::Started { at });
    }

    pub(super) fn ended(&mut self, job: JobId, finished: Finished) {
        let started_at = match self.jobs.get(&job).map(|known| &known.phase) {
            Some(Phase::Launched) => None,
            Some(Phase::Running { at, .. }) => Some(*at),
            _ => return,
        };
        let Finished { outcome, duration, output } = finished;
        self.free_slot(job);
        self.conclude(job, outcome, started_at, duration, output);
    }

    pub(super) fn broke(&mut self, job: JobId) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        known.phase = match &known.phase {
            Phase::Launched => Phase::Leftovers { handle: bare_handle(job), at: None, tries: 0 },
            Phase::Running { handle, at } => {
                Phase::Leftovers { handle: handle.clone(), at: Some(*at), tries: 0 }
            }
            _ => return,
        };
        self.free_slot(job);
        self.end_leftovers(job);
    }

    pub(super) fn end_leftovers(&mut self, job: JobId) {
        if let Some(Phase::Leftovers { handle, .. }) = self.jobs.get(&job).map(|known| &known.phase)
        {
            self.do_it(Action::EndLeftovers(handle.clone()));
        }
    }

    pub(super) fn leftovers_ended(
        &mut self,
        job: JobId,
        result: Result<(), String>,
        output: Output,
    ) {
        let phase = self.jobs.get_mut(&job).map(|known| &mut known.phase);
        let Some(Phase::Leftovers { at, tries, .. }) = phase else { return };
        let started_at = *at;
        if let Err(why) = result {
            *tries += 1;
            if *tries < LEFTOVER_TRIES {
                self.timers.set(Wake::Leftovers(job), self.now.boottime + RESEND_MAX);
                return;
            }
            self.notice(Notice::LeftoversRemain(job, why));
        }
        self.notice(Notice::Lost(job));
        self.conclude(job, Outcome::Lost, started_at, Duration::ZERO, output);
    }

    pub(super) fn free_slot(&mut self, job: JobId) {
        self.busy -= 1;
        self.timers.clear(Wake::Timeout(job));
    }

    /// The outcome of a job that never started, wherever it was.
    pub(super) fn conclude_unstarted(&mut self, job: JobId, outcome: Outcome) {
        let Some(known) = self.jobs.get(&job) else { return };
        match &known.phase {
            Phase::Accepting(_) | Phase::Queued(_) | Phase::Claiming { .. }
                if known.nonce.is_some() =>
            {
                return self.claim_instead(job, outcome);
            }
            Phase::Accepting(_) => {}
            Phase::Queued(_) => {
                self.deadlines.remove(&(known.not_after, job));
            }
            Phase::Starting { .. } => self.free_slot(job),
            _ => return,
        }
        self.conclude(job, outcome, None, Duration::ZERO, Output::empty());
    }

    pub(super) fn conclude(
        &mut self,
        job: JobId,
        outcome: Outcome,
        started_at: Option<Timestamp>,
        duration: Duration,
        output: Output,
    ) {
        let settling = self.report(job, outcome, started_at, duration, output);
        if let Some(known) = self.jobs.get_mut(&job) {
            known.phase = settling;
            self.put(job);
            self.writes.then(After::Outcome(job));
        }
    }

    /// A job of which only a cancel is known: it is closed, and an order that comes later finds that out.
    pub(super) fn conclude_barred(&mut self, job: JobId, not_after: Timestamp) {
        let phase = self.report(job, Outcome::Cancelled, None, Duration::ZERO, Output::empty());
        let (body, nonce, instead, may_decline) = (None, None, None, false);
        self.jobs.insert(job, Job { body, not_after, nonce, instead, may_decline, phase });
        self.open.insert(job);
        self.put(job);
        self.writes.then(After::Outcome(job));
    }

    /// Writes and signs the report, and has it journaled.
    fn report(
        &mut self,
        job: JobId,
        outcome: Outcome,
        started_at: Option<Timestamp>,
        duration: Duration,
        output: Output,
    ) -> Phase {
        // What an execution wrote may have taken a while to put away after its end.
        let ended_at = match started_at {
            Some(start) if outcome != Outcome::Lost => start + duration,
            Some(_) | None => self.now.wall,
        };
        let report = Report {
            v: VERSION,
            fleet: self.header.binding.fleet,
            job,
            identity: self.identity.clone(),
            outcome,
            started_at,
            ended_at,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            stdout: output.stdout,
            stderr: output.stderr,
        };
        let (signed, chunked) = seal(report, &self.config.key);
        let ended = Ended { report: signed.digest(), started_at, chunked, keep_until: None };
        // Kept until it is synced: a journal that fails meanwhile has to be told again.
        self.change(Change::Report(job, signed.clone()));
        Phase::Settling { ended, report: signed }
    }

    /// The outcome is synced.
    pub(super) fn outcome_kept(&mut self, job: JobId) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let Phase::Settling { ended, .. } = &known.phase else { return };
        let delivery = Delivery::new(ended.clone());
        let is_output_needed = !delivery.ended.chunked.is_empty();
        known.phase = Phase::Ended(delivery);
        if !is_output_needed {
            self.open.remove(&job);
            self.do_it(Action::DiscardOutput(job));
        }
        self.deliver(job);
    }
}

/// The handle of an execution that has not told its own.
pub(super) fn bare_handle(job: JobId) -> Handle {
    Handle { job, detail: serde_json::Value::Null }
}

/// Signs the report, with as much in it as fits, and tells which streams have to travel beside it.
fn seal(mut report: Report, key: &SigningKey) -> (Signed<Report>, Vec<Chunked>) {
    let signed = sign(&report, key).or_else(|_| {
        report.stdout.inline = None;
        report.stderr.inline = None;
        sign(&report, key)
    });
    let signed = signed.or_else(|_| {
        // Only what an executor returns or complains of can be so large.
        let message = "the operation returned more than fits into a report";
        report.outcome = Outcome::Failed(Failure::new("result_too_large", message));
        sign(&report, key)
    });
    let signed = signed.expect("a report without output and result fits into its bound");
    let streams = [(Stream::Stdout, &report.stdout), (Stream::Stderr, &report.stderr)];
    let chunked = streams
        .into_iter()
        .filter(|(_, of)| of.inline.is_none() && of.kept > 0)
        .map(|(stream, of)| Chunked { stream, kept: of.kept, sha256: of.sha256 })
        .collect();
    (signed, chunked)
}

fn sign(report: &Report, key: &SigningKey) -> Result<Signed<Report>, SignError> {
    Signed::sign(report, key)
}
