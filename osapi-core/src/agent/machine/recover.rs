//! After a crash: what the journal says decides how each job goes on.

use std::sync::Arc;

use super::claim::closed_until;
use super::outcome::bare_handle;
use super::{Delivery, Job, Machine, Phase};
use crate::agent::journal::{Record, Stage};
use crate::executor::Task;
use crate::id::JobId;
use crate::job::Outcome;
use crate::message::Refusal;

impl Machine {
    /// | journaled | goes on as |
    /// |---|---|
    /// | `accepted` | queued; its deadline is checked again; its claim is asked for with the same nonce |
    /// | `accepted`, cancelled | its claim is asked for, and it is reported or closed by the answer |
    /// | `starting`, `running` | whatever is left of it is ended, then it is lost; it never runs again |
    /// | ended, unanswered | its report is sent again |
    /// | ended, answered | kept until it may be forgotten |
    /// | closed | kept until it may be forgotten |
    pub(super) fn restore(&mut self, job: JobId, record: Record) {
        let Record { body, not_after, nonce, stage } = record;
        let is_cancelled = matches!(stage, Stage::Accepted { cancelled: true, .. });
        let phase = match stage {
            Stage::Accepted { operation, submitter, cancelled: true } if nonce.is_some() => {
                Phase::Claiming {
                    task: Arc::new(Task { job, operation: *operation, submitter: *submitter }),
                    tries: 0,
                }
            }
            Stage::Accepted { operation, submitter, .. } => {
                self.queue.push_back(job);
                self.deadlines.insert((not_after, job));
                Phase::Queued(Arc::new(Task { job, operation: *operation, submitter: *submitter }))
            }
            Stage::Starting => Phase::Leftovers { handle: bare_handle(job), at: None, tries: 0 },
            Stage::Running { handle, at } => Phase::Leftovers { handle, at: Some(at), tries: 0 },
            Stage::Ended(ended) => {
                if let Some(until) = ended.keep_until {
                    self.kept.insert((until, job));
                }
                Phase::Ended(Delivery::new(ended))
            }
            Stage::Closed => {
                self.kept.insert((closed_until(not_after), job));
                Phase::Closed(Refusal::Claimed)
            }
        };
        let is_open = match &phase {
            Phase::Ended(delivery) => !delivery.is_released,
            Phase::Closed(_) => false,
            _ => true,
        };
        if is_open {
            self.open.insert(job);
        }
        if let Some(body) = body {
            self.bodies.insert(body, job);
        }
        let instead = is_cancelled.then_some(Outcome::Cancelled);
        // It may have asked before.
        let may_decline = false;
        self.jobs.insert(job, Job { body, not_after, nonce, instead, may_decline, phase });
    }

    pub(super) fn begin(&mut self) {
        self.regularly();
        let interrupted: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, known)| matches!(known.phase, Phase::Leftovers { .. }))
            .map(|(job, _)| *job)
            .collect();
        for job in interrupted {
            self.end_leftovers(job);
        }
    }
}
