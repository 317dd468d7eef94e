//! Reports: which of them may be stored, and how those of one job are written together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{admission, answer};
use crate::auth::envelope::Signed;
use crate::backend::{Bucket, StoreError};
use crate::controller::Shared;
use crate::controller::claim;
use crate::controller::error::Error;
use crate::controller::records::{self, ReportBatch};
use crate::controller::remove::is_gone;
use crate::controller::state::Admission;
use crate::id::{AgentName, Digest, Identity, JobId};
use crate::job::Report;
use crate::job::record::VERSION;
use crate::message::{AnswerKind, Position};

/// Room for reports that are not in the store yet, in KiB.
pub(super) const ROOM_KIB: usize = 64 * 1024;

/// A report as it came. What it says of itself is a hint until it is verified with the key of the host that the job names.
pub(super) struct Received {
    job: JobId,
    identity: Identity,
    signed: Signed<Report>,
    digest: Digest,
    /// Given back when the report is stored, or dropped.
    _room: OwnedSemaphorePermit,
}

/// A report that verifies and is not in the store yet.
pub(super) struct Verified(Received);

/// What reports turned out to be.
#[derive(Default)]
pub(super) struct Checked {
    /// These are to be stored.
    pub(super) verified: Vec<Verified>,
    /// For these the leader has to be asked.
    pub(super) unclear: Vec<Received>,
}

/// What becomes of one report.
enum Verdict {
    Store,
    Answer(AnswerKind),
    Drop,
}

impl Received {
    /// A report that came from the agent of this name, if it can be read and there is room for it.
    pub(super) fn new(
        name: AgentName,
        signed: Signed<Report>,
        room: &Arc<Semaphore>,
    ) -> Option<Self> {
        let size = u32::try_from(signed.as_str().len() / 1024 + 1).ok()?;
        let Ok(room) = Arc::clone(room).try_acquire_many_owned(size) else {
            tracing::debug!(agent = %name, "too many reports at once: this one is taken when it is sent again");
            return None;
        };
        let Report { job, identity, .. } = signed.peek()?;
        if identity.name != name {
            tracing::warn!(agent = %name, "a report came under another agent's name");
            return None;
        }
        let digest = signed.digest();
        Some(Self { job, identity, signed, digest, _room: room })
    }

    /// Whether the host to which the job is addressed signed it. The identity was found in the job's signed set, so its key is the host's.
    fn is_authentic(&self, shared: &Shared) -> bool {
        self.signed.verify(&self.identity.key).is_ok_and(|report| {
            report.v == VERSION
                && report.fleet == shared.fleet
                && report.job == self.job
                && report.identity == self.identity
        })
    }

    fn judge(&self, shared: &Shared, admission: Admission) -> Verdict {
        let (name, job, digest) = (&self.identity.name, self.job, self.digest);
        match admission {
            Admission::Open | Admission::Present(_) if !self.is_authentic(shared) => {
                tracing::error!(agent = %name, %job, "a report does not verify: dropped");
                Verdict::Drop
            }
            Admission::Open => Verdict::Store,
            Admission::Present(stored) if stored == digest => {
                Verdict::Answer(AnswerKind::Stored(digest))
            }
            Admission::Present(_) => {
                tracing::error!(agent = %name, %job, "a report differs from the one that is stored: refused");
                Verdict::Answer(AnswerKind::Conflict(digest))
            }
            Admission::NotAddressed => {
                tracing::error!(agent = %name, %job, "a report of a host that the job is not for: refused");
                Verdict::Answer(AnswerKind::Conflict(digest))
            }
            // Nobody has claimed it: the agent has no business to report, and may have it later.
            Admission::NotClaimed(_) | Admission::ClaimLost(_) => {
                tracing::warn!(agent = %name, %job, "a report without a claim: not answered");
                Verdict::Drop
            }
            Admission::Removed => {
                tracing::warn!(agent = %name, %job, "a report of an agent that was removed: refused");
                Verdict::Drop
            }
            Admission::NoJob => Verdict::Drop,
        }
    }

    /// Answers it, or hands it on to be stored.
    async fn settle(self, shared: &Shared, verdict: Verdict) -> Option<Verified> {
        match verdict {
            Verdict::Store => return Some(Verified(self)),
            Verdict::Answer(kind) => answer(shared, &self.identity, self.job, kind, None).await,
            Verdict::Drop => {}
        }
        None
    }
}

/// Looks at reports that came together.
pub(super) async fn check(shared: &Shared, reports: Vec<Received>) -> Checked {
    let asked: Vec<_> =
        reports.iter().map(|report| (report.job, report.identity.clone())).collect();
    let admissions = shared.ask(move |state| {
        asked.iter().map(|(job, identity)| state.admission(*job, identity)).collect::<Vec<_>>()
    });
    let mut checked = Checked::default();
    // Whoever cannot be asked is stopping; the agents send their reports again.
    let Ok(admissions) = admissions.await else { return checked };
    for (report, admission) in reports.into_iter().zip(admissions) {
        if let Admission::NoJob | Admission::NotClaimed(_) | Admission::ClaimLost(_) = admission {
            checked.unclear.push(report);
            continue;
        }
        let verdict = report.judge(shared, admission);
        checked.verified.extend(report.settle(shared, verdict).await);
    }
    checked
}

/// Looks at a report of a job that is not known, or not claimed, as far as this controller has read.
pub(super) async fn clear_up(shared: &Shared, report: Received) -> Checked {
    let (name, job) = (report.identity.name.clone(), report.job);
    let verdict = match admission_by_leader(shared, &report).await {
        Ok(Admission::NoJob) if is_gone(shared, job).await => {
            Verdict::Answer(AnswerKind::Gone(report.digest))
        }
        Ok(admission) => report.judge(shared, admission),
        Err(err) => {
            tracing::warn!(agent = %name, %job, error = &err as &dyn std::error::Error, "whether a report counts cannot be read");
            Verdict::Drop
        }
    };
    let verified = report.settle(shared, verdict).await.into_iter().collect();
    Checked { verified, unclear: Vec::new() }
}

/// Whether it counts, once what the leader knows of claims is known here. One that the store has lost is proven by the report itself.
async fn admission_by_leader(shared: &Shared, report: &Received) -> Result<Admission, Error> {
    let (job, identity) = (report.job, &report.identity);
    match admission(shared, job, identity).await? {
        Admission::ClaimLost(claims) if report.is_authentic(shared) => {
            claim::give_back(shared, &claims, identity).await?;
            admission(shared, job, identity).await
        }
        known => Ok(known),
    }
}

/// The jobs of which reports are being written, and what waits until that is done.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<JobId, Lane>,
}

#[derive(Default)]
struct Lane {
    waiting: Vec<Verified>,
    /// What is being written, or waits.
    known: BTreeSet<Digest>,
}

impl Lanes {
    /// Lets reports in. What may be written now is handed out, by job; of each job only one lot is under way.
    pub(super) fn enter(&mut self, reports: Vec<Verified>) -> BTreeMap<JobId, Vec<Verified>> {
        let mut free = BTreeMap::<_, Vec<_>>::new();
        for report in reports {
            let (job, digest) = (report.0.job, report.0.digest);
            let is_free = !self.lanes.contains_key(&job) || free.contains_key(&job);
            let lane = self.lanes.entry(job).or_default();
            // An agent that waits for its answer sends its report again.
            if lane.known.insert(digest) {
                match is_free {
                    true => free.entry(job).or_default().push(report),
                    false => lane.waiting.push(report),
                }
            }
        }
        free
    }

    /// What has come while a lot was written. Nothing: the next report is free to go.
    pub(super) fn next(&mut self, job: JobId) -> Option<Vec<Verified>> {
        let lane = self.lanes.get_mut(&job)?;
        let waiting = std::mem::take(&mut lane.waiting);
        if waiting.is_empty() {
            self.lanes.remove(&job);
            return None;
        }
        lane.known = waiting.iter().map(|report| report.0.digest).collect();
        Some(waiting)
    }
}

/// Writes reports of one job in as few records as fit, and answers each once it is written.
pub(super) async fn write(shared: &Shared, job: JobId, reports: Vec<Verified>) {
    let mut rest = reports.as_slice();
    while !rest.is_empty() {
        let mut size = 0;
        let fits = rest.iter().take_while(|report| {
            size += report.0.signed.as_str().len() + 4;
            size < Bucket::Reports.max_record() - 1024
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        rest = later;
        write_one(shared, job, now).await;
    }
}

async fn write_one(shared: &Shared, job: JobId, reports: &[Verified]) {
    let signed: Vec<_> = reports.iter().map(|report| report.0.signed.clone()).collect();
    let received_at = shared.clock.wall();
    let record = records::encode(&ReportBatch { v: VERSION, reports: signed, received_at });
    let digests: Vec<_> = reports.iter().map(|report| report.0.digest).collect();
    if shared.ask(move |state| state.expect_reports(digests)).await.is_err() {
        return;
    }
    let n = shared.report_records.fetch_add(1, Ordering::Relaxed);
    let key = records::reports_key(job, shared.instance, n);
    let at = match shared.store.create(Bucket::Reports, &key, record).await {
        Ok(cursor) => Some(cursor),
        // No one else writes this key, so a record that is there is this one.
        Err(StoreError::Exists) => None,
        // The agents send again, and the next record under another key may repeat what this one has: harmless.
        Err(err) => {
            tracing::warn!(%job, error = &err as &dyn std::error::Error, "reports could not be stored");
            return;
        }
    };
    shared.reports_stored.fetch_add(reports.len() as u64, Ordering::Relaxed);
    let at = at.map(|cursor| Position {
        store: shared.store.id(),
        bucket: Bucket::Reports.name().to_owned(),
        cursor: cursor.0,
    });
    for Verified(Received { identity, digest, .. }) in reports {
        answer(shared, identity, job, AnswerKind::Stored(*digest), at.clone()).await;
    }
}
