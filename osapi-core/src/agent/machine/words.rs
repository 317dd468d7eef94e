//! What the agent says that is not signed: hellos and receipts.

use super::{Action, Job, Machine, Notice};
use crate::id::JobId;
use crate::message::{FromAgent, Hello, Receipt, ReceiptKind, Refusal};

impl Machine {
    /// Messages are repeated until they are answered, or repeat what hellos say: none is kept for a link that is down.
    pub(super) fn send(&mut self, message: FromAgent) {
        if self.session.is_up() {
            self.do_it(Action::Send(message));
        }
    }

    pub(super) fn receipt(&mut self, job: JobId, kind: ReceiptKind) {
        let (identity, instance) = (self.identity.clone(), self.config.instance);
        self.send(FromAgent::Receipt(Receipt { identity, instance, job, kind }));
    }

    pub(super) fn refuse(&mut self, job: Option<JobId>, why: Refusal) {
        self.notice(Notice::Refused(job, why));
        if let Some(job) = job {
            self.receipt(job, ReceiptKind::Refused(why));
        }
    }

    pub(super) fn say_hello(&mut self) {
        let (mut running, mut accepted) = (Vec::new(), Vec::new());
        for job in &self.open {
            match self.jobs.get(job).and_then(Job::word) {
                Some(ReceiptKind::Started { .. }) => running.push(*job),
                Some(ReceiptKind::Accepted) => accepted.push(*job),
                Some(ReceiptKind::Busy | ReceiptKind::Refused(_)) | None => {}
            }
        }
        self.hellos += 1;
        self.send(FromAgent::Hello(Hello {
            identity: self.identity.clone(),
            instance: self.config.instance,
            readiness: self.readiness(),
            slots: u32::try_from(self.config.slots).unwrap_or(u32::MAX),
            running,
            accepted,
            ring: self.session.ring_serial(),
            later_ring: self.session.later_ring(),
            version: self.config.version.clone(),
            wall: self.now.wall,
            seq: self.hellos,
            seen: self.header.seen.clone(),
            denied: self.denied,
        }));
    }
}
