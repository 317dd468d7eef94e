//! One job: how far it got, what is said of it, and what is journaled of it.

use std::sync::Arc;

use crate::agent::journal::{Ended, Record, Stage};
use crate::agent::upload::Upload;
use crate::auth::envelope::Signed;
use crate::clock::Timestamp;
use crate::executor::{Handle, Task};
use crate::id::{Digest, Nonce};
use crate::job::{Outcome, Report};
use crate::message::{ReceiptKind, Refusal};

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) body: Option<Digest>,
    pub(super) not_after: Timestamp,
    /// With which its claim is asked for; absent where it needs none.
    pub(super) nonce: Option<Nonce>,
    /// How it ends without a start. It is not concluded yet, because a commit is under way or its claim has to be answered first.
    pub(super) instead: Option<Outcome>,
    /// It is one candidate of several, and has not asked for the claim: another one can still have it.
    pub(super) may_decline: bool,
    pub(super) phase: Phase,
}

/// How far an execution got, here and in the journal.
#[derive(Debug)]
pub(super) enum Phase {
    /// `accepted` is being synced.
    Accepting(Arc<Task>),
    /// It waits for a slot.
    Queued(Arc<Task>),
    /// Its claim is asked for: with a slot if it is to start, without one if it is to end [without a start](Job::instead).
    Claiming { task: Arc<Task>, tries: u32 },
    /// `starting` is being synced. Nothing is performed yet.
    Starting {
        task: Arc<Task>,
        /// Whether an earlier commit has `accepted`.
        was_queued: bool,
    },
    /// Handed to the executor.
    Launched,
    /// Started.
    Running { handle: Handle, at: Timestamp },
    /// A crash interrupted it, and what is left of it is being ended.
    Leftovers { handle: Handle, at: Option<Timestamp>, tries: u32 },
    /// Its outcome is being synced, with the report in these bytes.
    Settling { ended: Ended, report: Signed<Report> },
    /// Its outcome is known and on its way, or answered.
    Ended(Delivery),
    /// Its claim is another's, or void, or was left to others; and what is answered to its order.
    Closed(Refusal),
}

/// An outcome on its way to a controller.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) ended: Ended,
    /// Output that is not all settled.
    pub(super) upload: Option<Upload>,
    /// Whether the report no longer waits for the output.
    pub(super) is_released: bool,
    pub(super) tries: u32,
}

impl Job {
    /// What a receipt says of it; `None` while nothing can be said yet, or when its report says it all.
    pub(super) fn word(&self) -> Option<ReceiptKind> {
        let started = |at: Timestamp| ReceiptKind::Started { at };
        match &self.phase {
            Phase::Accepting(_) | Phase::Starting { was_queued: false, .. } => None,
            Phase::Queued(_)
            | Phase::Claiming { .. }
            | Phase::Starting { was_queued: true, .. }
            | Phase::Launched => Some(ReceiptKind::Accepted),
            Phase::Running { at, .. } => Some(started(*at)),
            Phase::Leftovers { at, .. } => Some(at.map_or(ReceiptKind::Accepted, started)),
            Phase::Settling { ended, .. } => ended.started_at.map(started),
            Phase::Ended(delivery) if delivery.is_released => None,
            Phase::Ended(delivery) => delivery.ended.started_at.map(started),
            Phase::Closed(why) => Some(ReceiptKind::Refused(*why)),
        }
    }

    /// Whether its claim is asked for with a slot.
    pub(super) fn is_claiming_a_start(&self) -> bool {
        matches!(self.phase, Phase::Claiming { .. }) && self.instead.is_none()
    }

    pub(super) fn record(&self) -> Record {
        let stage = match &self.phase {
            Phase::Accepting(task) | Phase::Queued(task) | Phase::Claiming { task, .. } => {
                Stage::Accepted {
                    operation: Box::new(task.operation.clone()),
                    submitter: task.submitter.clone().into(),
                    cancelled: self.instead == Some(Outcome::Cancelled),
                }
            }
            Phase::Starting { .. } | Phase::Launched | Phase::Leftovers { at: None, .. } => {
                Stage::Starting
            }
            Phase::Running { handle, at } | Phase::Leftovers { handle, at: Some(at), .. } => {
                Stage::Running { handle: handle.clone(), at: *at }
            }
            Phase::Settling { ended, .. } => Stage::Ended(ended.clone()),
            Phase::Ended(delivery) => Stage::Ended(delivery.ended.clone()),
            Phase::Closed(_) => Stage::Closed,
        };
        Record { body: self.body, not_after: self.not_after, nonce: self.nonce, stage }
    }
}

impl Delivery {
    pub(super) fn new(ended: Ended) -> Self {
        let upload = Upload::new(&ended.chunked);
        let is_released = upload.is_none() || ended.keep_until.is_some();
        Self { ended, upload, is_released, tries: 0 }
    }

    /// Whether there is still something to send.
    pub(super) fn is_undelivered(&self) -> bool {
        self.ended.keep_until.is_none() || self.upload.is_some()
    }
}
