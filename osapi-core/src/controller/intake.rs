//! Agents' words on `w` into the store: registrations, claim requests, reports and output, each verified before it is written and
//! answered once the store has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::error::Error;
use super::outbound::Outbound;
use super::records::{self, ReportBatch};
use super::remove::is_gone;
use super::state::Admission;
use super::{claim, registration};
use crate::auth::envelope::Signed;
use crate::backend::{Bucket, Delivery, Key, StoreError, Subscription};
use crate::id::{AgentName, Digest, Identity, JobId};
use crate::job::record::VERSION;
use crate::job::{Report, limits};
use crate::message::word::{OutputChunk, OutputSettled};
use crate::message::{Answer, AnswerKind, ClaimRequest, FromAgent, Registration, decode};

/// Most messages that are taken together.
const BATCH: usize = 256;

/// Takes words from `work` until the token is cancelled or the bus ends.
pub(super) struct Intake {
    shared: Arc<Shared>,
    /// Numbers this controller's report records.
    written: AtomicU64,
}

/// A report that verifies and is not in the store yet.
struct Verified {
    identity: Identity,
    signed: Signed<Report>,
}

impl Intake {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, written: AtomicU64::new(0) }
    }

    pub(super) async fn run(self, mut work: Subscription, stop: CancellationToken) {
        loop {
            let first = tokio::select! {
                // Cancel-safe: `Subscription::next` loses nothing.
                delivery = work.next() => delivery,
                () = stop.cancelled() => return,
            };
            let Some(first) = first else { return };
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Some(delivery) = work.try_next()
            {
                batch.push(delivery);
            }
            self.take(batch).await;
        }
    }

    async fn take(&self, batch: Vec<Delivery>) {
        let mut reports: BTreeMap<JobId, Vec<Verified>> = BTreeMap::new();
        let mut others = Vec::new();
        for delivery in batch {
            let Some(name) = delivery.subject.agent().cloned() else { continue };
            match decode::<FromAgent>(&delivery.payload) {
                Ok(FromAgent::Report(signed)) => {
                    if let Some((job, report)) = self.check_report(&name, signed).await {
                        reports.entry(job).or_default().push(report);
                    }
                }
                Ok(FromAgent::Register(signed)) => others.push(Other::Register(name, signed)),
                Ok(FromAgent::Claim(signed)) => others.push(Other::Claim(name, signed)),
                Ok(FromAgent::Output(chunk)) => others.push(Other::Output(name, chunk)),
                Ok(FromAgent::Hello(_) | FromAgent::Receipt(_)) => {
                    tracing::debug!(agent = %name, "a hello or receipt came on the wrong subject");
                }
                Err(err) => {
                    tracing::warn!(agent = %name, error = &err as &dyn std::error::Error, "a message cannot be read");
                }
            }
        }
        let reports =
            join_all(reports.into_iter().map(|(job, reports)| self.store_reports(job, reports)));
        let others = join_all(others.into_iter().map(|other| self.take_other(other)));
        tokio::join!(reports, others);
    }

    async fn take_other(&self, other: Other) {
        let (name, result) = match other {
            Other::Register(name, signed) => {
                let result = registration::register(&self.shared, &name, &signed).await;
                (name, result)
            }
            Other::Claim(name, signed) => {
                let result = self.answer_claim(&name, &signed).await;
                (name, result)
            }
            Other::Output(name, chunk) => {
                let result = self.store_output(&name, chunk).await;
                (name, result)
            }
        };
        if let Err(err) = result {
            tracing::warn!(agent = %name, error = &err as &dyn std::error::Error, "an agent's word could not be stored");
        }
    }

    async fn answer_claim(
        &self,
        name: &AgentName,
        signed: &Signed<ClaimRequest>,
    ) -> Result<(), Error> {
        if let Some((to, job, kind)) = claim::requested(&self.shared, name, signed).await? {
            self.answer(&to, job, kind);
        }
        Ok(())
    }

    /// Whether the word of an agent on an execution counts. What depends on a claim that is not known is asked of the leader.
    async fn admission(&self, job: JobId, identity: &Identity) -> Result<Admission, Error> {
        let ask = || {
            let asked = identity.clone();
            self.shared.ask(move |state| state.admission(job, &asked))
        };
        match ask().await? {
            Admission::NotClaimed(rule) => {
                claim::look_up(&self.shared, rule, job, &identity.name).await?;
                ask().await
            }
            known => Ok(known),
        }
    }

    /// A report that is to be stored. One that cannot be, or is already, is answered here.
    async fn check_report(
        &self,
        name: &AgentName,
        signed: Signed<Report>,
    ) -> Option<(JobId, Verified)> {
        // The job that the report names is a hint until its signature is verified with the key of the host that the job names.
        let (job, identity) = peek(&signed)?;
        if identity.name != *name {
            tracing::warn!(agent = %name, "a report came under another agent's name");
            return None;
        }
        let digest = signed.digest();
        let admission = match self.admission(job, &identity).await {
            Ok(admission) => admission,
            Err(err) => {
                tracing::warn!(agent = %name, %job, error = &err as &dyn std::error::Error, "whether a report counts cannot be read");
                return None;
            }
        };
        let answer = match admission {
            Admission::Open | Admission::Present(_)
                if !self.is_authentic(&signed, &identity, job) =>
            {
                tracing::error!(agent = %name, %job, "a report does not verify: dropped");
                return None;
            }
            Admission::Open => return Some((job, Verified { identity, signed })),
            Admission::Present(stored) if stored == digest => AnswerKind::Stored(digest),
            Admission::Present(_) => {
                tracing::error!(agent = %name, %job, "a report differs from the one that is stored: refused");
                AnswerKind::Conflict(digest)
            }
            Admission::NotAddressed => {
                tracing::error!(agent = %name, %job, "a report of a host that the job is not for: refused");
                AnswerKind::Conflict(digest)
            }
            // Nobody has claimed it: the agent has no business to report, and may have it later.
            Admission::NotClaimed(_) => {
                tracing::warn!(agent = %name, %job, "a report without a claim: not answered");
                return None;
            }
            Admission::NoJob => {
                is_gone(&self.shared, job).await.then_some(AnswerKind::Gone(digest))?
            }
        };
        self.answer(&identity, job, answer);
        None
    }

    /// Whether the host to which the job is addressed signed it. The identity was found in the job's signed set, so its key is the host's.
    fn is_authentic(&self, signed: &Signed<Report>, identity: &Identity, job: JobId) -> bool {
        signed.verify(&identity.key).is_ok_and(|report| {
            report.v == VERSION
                && report.fleet == self.shared.fleet
                && report.job == job
                && report.identity == *identity
        })
    }

    /// Writes reports of one job in as few records as fit, and answers each once it is written.
    async fn store_reports(&self, job: JobId, reports: Vec<Verified>) {
        let mut rest = reports.as_slice();
        while !rest.is_empty() {
            let mut size = 0;
            let fits = rest.iter().take_while(|report| {
                size += report.signed.as_str().len() + 4;
                size < Bucket::Reports.max_record() - 1024
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            rest = later;
            self.store_batch(job, now).await;
        }
    }

    async fn store_batch(&self, job: JobId, reports: &[Verified]) {
        let signed: Vec<_> = reports.iter().map(|report| report.signed.clone()).collect();
        let received_at = self.shared.clock.wall();
        let record = records::encode(&ReportBatch { v: VERSION, reports: signed, received_at });
        let digests: Vec<_> = reports.iter().map(|report| report.signed.digest()).collect();
        if self.shared.ask(move |state| state.expect_reports(digests)).await.is_err() {
            return;
        }
        let n = self.written.fetch_add(1, Ordering::Relaxed);
        let key = records::reports_key(job, self.shared.instance, n);
        // No one else writes this key, so a record that is there is this one.
        match self.shared.store.create(Bucket::Reports, &key, record).await {
            Ok(_) | Err(StoreError::Exists) => {
                for report in reports {
                    self.answer(&report.identity, job, AnswerKind::Stored(report.signed.digest()));
                }
            }
            // The agents send again, and the next record under another key may repeat what this one has: harmless.
            Err(err) => {
                tracing::warn!(%job, error = &err as &dyn std::error::Error, "reports could not be stored");
            }
        }
    }

    fn answer(&self, to: &Identity, job: JobId, kind: AnswerKind) {
        let (fleet, identity) = (self.shared.fleet, to.clone());
        let answer = Answer { v: VERSION, fleet, identity, job, kind, at: None };
        match Signed::sign(&answer, &self.shared.job_key) {
            Ok(signed) => self.shared.outbox.send(&to.name, Outbound::Answer(signed)),
            Err(err) => tracing::error!(
                error = &err as &dyn std::error::Error,
                "an answer could not be signed"
            ),
        }
    }

    async fn store_output(&self, name: &AgentName, chunk: OutputChunk) -> Result<(), Error> {
        let OutputChunk { identity, job, stream, offset, sha256, ref data } = chunk;
        let bytes = STANDARD.decode(data).ok().filter(|bytes| bytes.len() <= limits::CHUNK_MAX);
        let (Some(bytes), true) = (bytes, identity.name == *name) else {
            tracing::warn!(agent = %name, "a chunk of output cannot be read");
            return Ok(());
        };
        let expected = match self.admission(job, &identity).await? {
            Admission::Open | Admission::Present(_) => true,
            Admission::NotAddressed => false,
            // It may be a job that was not read yet, or not claimed yet: the agent asks again.
            Admission::NotClaimed(_) => return Ok(()),
            Admission::NoJob if !is_gone(&self.shared, job).await => return Ok(()),
            Admission::NoJob => false,
        };
        // Chunks lie at fixed places, so that a range is read without reading what is before it.
        let in_place = offset % limits::CHUNK_MAX as u64 == 0;
        let key = records::output_key(job, name, stream, offset);
        let stored = expected && in_place && self.write_output(&key, &sha256, bytes).await?;
        let settled = OutputSettled { identity, job, stream, offset, sha256, stored };
        self.shared.outbox.send(name, Outbound::OutputSettled(settled));
        Ok(())
    }

    /// Writes a chunk behind the hash of the stream that it is part of. A full bucket costs the output, never the report.
    async fn write_output(
        &self,
        key: &Key,
        stream: &Digest,
        bytes: Vec<u8>,
    ) -> Result<bool, Error> {
        let mut record = stream.as_bytes().to_vec();
        record.extend(bytes);
        match self.shared.store.create(Bucket::Output, key, record.into()).await {
            Ok(_) | Err(StoreError::Exists) => Ok(true),
            Err(StoreError::Full(_) | StoreError::TooLarge { .. }) => Ok(false),
            Err(err) => Err(err.into()),
        }
    }
}

enum Other {
    Register(AgentName, Signed<Registration>),
    Claim(AgentName, Signed<ClaimRequest>),
    Output(AgentName, OutputChunk),
}

/// Which execution a report says it is of, before it is verified.
fn peek(signed: &Signed<Report>) -> Option<(JobId, Identity)> {
    let report = signed.peek()?;
    Some((report.job, report.identity))
}
