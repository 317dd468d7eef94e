//! Getting an outcome to the store: its output, its report, again and again until a controller answers; and forgetting it later.

use super::{Action, Delivery, Machine, Notice, Phase, Wake, pause_after};
use crate::agent::journal::Change;
use crate::agent::upload::Chunk;
use crate::auth::envelope::Signed;
use crate::auth::keys::KeyUse;
use crate::id::{Digest, JobId};
use crate::job::limits::SKEW_MAX;
use crate::job::record::VERSION;
use crate::job::report::Stream;
use crate::message::order::{Answer, AnswerKind};
use crate::message::word::OutputSettled;

/// Jobs that are forgotten in one commit, so that none is large.
const FORGET_AT_ONCE: usize = 1000;

impl Machine {
    fn delivery(&mut self, job: JobId) -> Option<&mut Delivery> {
        match &mut self.jobs.get_mut(&job)?.phase {
            Phase::Ended(delivery) => Some(delivery),
            _ => None,
        }
    }

    /// Starts sending, or starts again after the link came up.
    pub(super) fn deliver(&mut self, job: JobId) {
        if !self.session.is_up() {
            return;
        }
        let now = self.now.boottime;
        let Some(delivery) = self.delivery(job) else { return };
        delivery.tries = 0;
        let is_due = delivery.is_released && delivery.ended.keep_until.is_none();
        if let Some(upload) = &mut delivery.upload {
            upload.link_up(now);
            self.drive_upload(job);
        }
        if is_due {
            self.send_report(job);
        }
    }

    /// Sends the report, and again later unless it was answered.
    pub(super) fn send_report(&mut self, job: JobId) {
        let (now, is_up) = (self.now.boottime, self.session.is_up());
        let Some(delivery) = self.delivery(job).filter(|_| is_up) else { return };
        let is_answered = delivery.ended.keep_until.is_some();
        let pause = pause_after(delivery.tries);
        delivery.tries = delivery.tries.saturating_add(1);
        if !is_answered {
            self.timers.set(Wake::Report(job), now + pause);
        }
        self.do_it(Action::SendReport(job));
    }

    /// Sends the parts of the output that are due; lets the report go when they are settled, or make no progress.
    pub(super) fn drive_upload(&mut self, job: JobId) {
        let now = self.now.boottime;
        let Some(delivery) = self.delivery(job) else { return };
        let Some(upload) = &mut delivery.upload else { return };
        let chunks = upload.send(now);
        let (is_done, due) = (upload.is_done(), upload.due(now));
        let is_released = is_done || upload.is_stalled(now);
        let is_news = is_released && !delivery.is_released;
        delivery.is_released |= is_released;
        for (chunk, of) in chunks {
            self.do_it(Action::SendChunk { job, chunk, of });
        }
        match due {
            Some(due) if !is_done => self.timers.set(Wake::Upload(job), due),
            _ => self.timers.clear(Wake::Upload(job)),
        }
        if is_done {
            self.end_upload(job);
        }
        if is_news {
            self.open.remove(&job);
            self.send_report(job);
        }
    }

    fn end_upload(&mut self, job: JobId) {
        let Some(delivery) = self.delivery(job) else { return };
        delivery.upload = None;
        delivery.ended.chunked.clear();
        self.timers.clear(Wake::Upload(job));
        self.put_lazily(job);
        self.do_it(Action::DiscardOutput(job));
    }

    pub(super) fn output_settled(&mut self, settled: &OutputSettled) {
        if settled.identity == self.identity {
            let OutputSettled { job, stream, offset, sha256, .. } = settled;
            self.settle(*job, *stream, *offset, Some(*sha256));
        }
    }

    pub(super) fn chunk_lost(&mut self, job: JobId, chunk: Chunk) {
        self.notice(Notice::OutputLost(job));
        self.settle(job, chunk.stream, chunk.offset, None);
    }

    fn settle(&mut self, job: JobId, stream: Stream, offset: u64, sha256: Option<Digest>) {
        let now = self.now.boottime;
        let upload = self.delivery(job).and_then(|delivery| delivery.upload.as_mut());
        if upload.is_some_and(|upload| upload.settle(stream, offset, sha256, now)) {
            self.drive_upload(job);
        }
    }

    pub(super) fn answered(&mut self, signed: &Signed<Answer>) {
        let ring = self.session.ring();
        let Some(answer) = ring.and_then(|ring| ring.verify(signed, KeyUse::Job).ok()) else {
            return self.notice(Notice::AnswerIgnored(None, "no valid job key signed it"));
        };
        let Answer { v, fleet, identity, job, kind, at } = answer;
        if v != VERSION || fleet != self.header.binding.fleet || identity != self.identity {
            let why = "it is for another agent, or of another version";
            return self.notice(Notice::AnswerIgnored(Some(job), why));
        }
        if let Some(position) = at {
            self.note_position(signed, position);
        }
        match kind {
            AnswerKind::Stored(report) => self.report_answered(job, report, None),
            AnswerKind::Conflict(report) => {
                self.report_answered(job, report, Some(Notice::Conflict(job)));
            }
            AnswerKind::Gone(report) => {
                self.report_answered(job, report, Some(Notice::Gone(job)));
            }
            AnswerKind::Yours(nonce) => self.claim_answered(job, nonce, true),
            AnswerKind::Void(nonce) => self.claim_answered(job, nonce, false),
        }
    }

    /// The report is stored, or (`bad_news`) never will be: stop sending it, keep it while somebody may ask.
    fn report_answered(&mut self, job: JobId, report: Digest, bad_news: Option<Notice>) {
        let retained_until = self.clocks().latest() + self.session.retention();
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let forget_after = known.not_after + 2 * SKEW_MAX;
        let Phase::Ended(delivery) = &mut known.phase else { return };
        if delivery.ended.report != report {
            let why = "it is about another report of the job";
            return self.notice(Notice::AnswerIgnored(Some(job), why));
        }
        if delivery.ended.keep_until.is_some() {
            return;
        }
        let keep_until = forget_after.max(retained_until);
        delivery.ended.keep_until = Some(keep_until);
        delivery.is_released = true;
        let has_upload = delivery.upload.is_some();
        self.kept.insert((keep_until, job));
        self.open.remove(&job);
        self.timers.clear(Wake::Report(job));
        if let Some(notice) = bad_news {
            self.notice(notice);
            if has_upload {
                self.end_upload(job);
            }
        }
        // Should a crash come first, the report is sent once more and answered again.
        self.put_lazily(job);
    }

    /// Forgets what was answered, or closed, and kept for long enough by both clocks. What it forgets, it will not take again.
    pub(super) fn forget(&mut self) {
        let clocks = self.clocks();
        let mut forgot_until = self.header.forgot_until;
        let mut count = 0;
        while let Some((until, job)) = self.kept.first().copied()
            && clocks.surely_passed(until)
            && count < FORGET_AT_ONCE
        {
            self.kept.pop_first();
            count += 1;
            let Some(known) = self.jobs.get(&job) else { continue };
            forgot_until = forgot_until.max(known.not_after);
            if self.needs_output(job) {
                self.do_it(Action::DiscardOutput(job));
            }
            self.drop_job(job);
            self.change(Change::Forget(job));
        }
        if count > 0 {
            self.change(Change::ForgotUntil(forgot_until));
        }
    }
}
