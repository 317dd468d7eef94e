//! Telling what became of a job: who may look, waiting until it has settled, and putting the answer together.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use super::Controller;
use super::error::Error;
use super::orders::{self, Unusable};
use super::output::{Reader, facts_of};
use super::records;
use super::state::Knowledge;
use crate::api::types::{Event, Gap, HostResult, JobDetails, JobResults, JobSummary};
use crate::auth::authorize::Permit;
use crate::auth::permission::Permission;
use crate::backend::{Bucket, Key, StoreError};
use crate::id::{AgentName, JobId};
use crate::job::Failure;
use crate::job::facts::{JobFacts, ReportFacts, StreamFacts};
use crate::job::limits::{ANSWER_INLINE_MAX, RETENTION_DEFAULT};
use crate::job::record::JobRecord;
use crate::job::report::Stream;
use crate::job::timeline::{self, Moment};
use crate::job::view::Row;

/// A part of the kept output of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The bytes.
    pub bytes: Bytes,
    /// How many bytes are kept in all.
    pub kept: u64,
}

/// How a job stands, copied out of what the follower owns.
struct Snapshot {
    facts: JobFacts,
    summary: JobSummary,
    retries: Vec<JobId>,
    timeline: Vec<Event>,
    rows: Vec<(HostResult, Option<ReportFacts>)>,
}

impl Controller {
    /// Waits until every host of a job is settled, at most for `wait` (without it, for as long as it takes), and tells how it stands.
    ///
    /// # Errors
    /// When there is no such job; when it is neither the caller's nor may be read with `job:read`; when its records are damaged, or the
    /// store fails.
    pub async fn results(
        &self,
        permit: &Permit,
        job: JobId,
        wait: Option<Duration>,
    ) -> Result<JobResults, Error> {
        let snapshot = self.look(permit, job, wait.unwrap_or(RETENTION_DEFAULT)).await?;
        let full = may_see(permit, &snapshot.facts);
        let results = self.fill(snapshot.rows, job, full).await?;
        Ok(JobResults { job_id: job, status: snapshot.summary.status, results })
    }

    /// All about a job, once every host is settled or `wait` has run out.
    ///
    /// # Errors
    /// As for [`Controller::results`].
    pub async fn details(
        &self,
        permit: &Permit,
        job: JobId,
        wait: Duration,
    ) -> Result<JobDetails, Error> {
        let snapshot = self.look(permit, job, wait).await?;
        let full = may_see(permit, &snapshot.facts);
        let record = self.record(job).await?;
        Ok(JobDetails {
            summary: snapshot.summary,
            operation: full.then_some(record.operation),
            redacted: !full,
            claim: record.claim,
            request_id: record.request_id.to_string(),
            retry_of: record.retry_of,
            retries: snapshot.retries,
            timeline: snapshot.timeline,
            results: self.fill(snapshot.rows, job, full).await?,
        })
    }

    /// The bytes `range` of what was kept of one stream, as far as there are any; at most 1 MiB.
    ///
    /// # Errors
    /// As for [`Controller::results`]; when the caller may not see output; when the host has none.
    pub async fn output(
        &self,
        permit: &Permit,
        job: JobId,
        host: &AgentName,
        stream: Stream,
        range: Range<u64>,
    ) -> Result<Output, Error> {
        /// Most bytes of one answer.
        const PIECE: u64 = 1024 * 1024;
        let facts = self.readable(permit, job).await?;
        if !may_see(permit, &facts) {
            permit.require(&facts.permission)?;
        }
        let asked = host.clone();
        let report = self
            .shared
            .ask(move |state| state.index.get(job)?.view.row(&asked)?.report.cloned())
            .await?
            .ok_or_else(|| Error::OutputNotFound { job, host: host.clone() })?;
        let stream_facts = facts_of(&report, stream);
        let start = range.start.min(stream_facts.kept);
        // What is kept is the host's word, and may be any number.
        let end = range.end.min(stream_facts.kept).min(start.saturating_add(PIECE)).max(start);
        let mut reader = Reader::new(&self.shared, job);
        let bytes = reader.read(host, stream, &report, start..end).await?.bytes;
        Ok(Output { bytes: bytes.into(), kept: stream_facts.kept })
    }

    /// Makes sure that a job is known here, if the store knows it.
    pub(super) async fn find(&self, job: JobId) -> Result<(), Error> {
        self.check_ready()?;
        match self.shared.ask(move |state| state.knowledge(job)).await? {
            Knowledge::Known => return Ok(()),
            Knowledge::Removed => return Err(Error::JobNotFound(job)),
            Knowledge::Nothing => {}
        }
        if self.shared.store.get_latest(Bucket::Jobs, &Key::of(&[&job])).await?.is_none() {
            return Err(Error::JobNotFound(job));
        }
        // It was made elsewhere just now: the watch brings it.
        let known = self.shared.ask(move |state| state.known(job)).await?;
        match tokio::time::timeout(Duration::from_secs(5), known).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::ShuttingDown),
            Err(_) => Err(Error::Store(StoreError::Unavailable("the job cannot be read".into()))),
        }
    }

    /// The record of a job, if it says what was signed. What was ordered under a key that was retired since can only be shown as it stands.
    async fn record(&self, job: JobId) -> Result<JobRecord, Error> {
        let shared = &*self.shared;
        let unfit = async |err| Err(orders::unfit(shared, job, err).await);
        let record = match records::load_job(&*shared.store, job).await {
            Ok(record) => record.ok_or(Error::JobNotFound(job))?,
            Err(err) => return unfit(err).await,
        };
        match orders::signed(shared, &record).await {
            Ok(_) | Err(Unusable::OtherKey) => Ok(record),
            Err(Unusable::Store(err)) => unfit(err).await,
        }
    }

    /// The facts of a job that the caller may look at.
    async fn readable(&self, permit: &Permit, job: JobId) -> Result<JobFacts, Error> {
        self.find(job).await?;
        let facts = self
            .shared
            .ask(move |state| state.index.get(job).map(|tracked| tracked.view.facts().clone()))
            .await?;
        let facts = facts.ok_or(Error::JobNotFound(job))?;
        // One's own job may be followed with the permission that it took to make it.
        if !(is_own(permit, &facts) && permit.allows(&facts.permission)) {
            permit.require(&Permission::JOB_READ)?;
        }
        Ok(facts)
    }

    async fn look(&self, permit: &Permit, job: JobId, wait: Duration) -> Result<Snapshot, Error> {
        let facts = self.readable(permit, job).await?;
        if wait > Duration::ZERO {
            let settled = self
                .shared
                .ask(move |state| state.index.settled(job))
                .await?
                .ok_or(Error::JobNotFound(job))?;
            // Settled, removed or out of time: in any case the snapshot tells.
            drop(tokio::time::timeout(wait, settled).await);
        }
        self.snapshot(job, facts).await
    }

    async fn snapshot(&self, job: JobId, facts: JobFacts) -> Result<Snapshot, Error> {
        let now = self.shared.clock.wall();
        let copied = self.shared.ask(move |state| {
            let tracked = state.index.get(job)?;
            if let Some(reason) = &tracked.damaged {
                return Some(Err(Error::JobDamaged { job, reason: reason.to_string() }));
            }
            let rows = tracked.view.rows().map(|row| (bare(&row), row.report.cloned())).collect();
            let past = |moment: &&Moment<'_>| {
                moment.at <= now || moment.event != timeline::Event::Deadline
            };
            let timeline = tracked.view.timeline().iter().filter(past).map(event).collect();
            let (summary, retries) = (tracked.summary(), state.index.retries(job));
            Some(Ok(Snapshot { facts, summary, retries, timeline, rows }))
        });
        match copied.await? {
            Some(snapshot) => snapshot,
            None => {
                // It may be there once everything was read anew.
                self.check_ready()?;
                Err(Error::JobNotFound(job))
            }
        }
    }

    /// Adds to each row what stands in its report and its chunks. Without `full`, only what says how it stands.
    async fn fill(
        &self,
        rows: Vec<(HostResult, Option<ReportFacts>)>,
        job: JobId,
        full: bool,
    ) -> Result<Vec<HostResult>, Error> {
        let kept: u64 = rows
            .iter()
            .filter_map(|(_, report)| report.as_ref())
            .flat_map(|report| [report.stdout.kept, report.stderr.kept])
            .fold(0, u64::saturating_add);
        let mut reader = Reader::new(&self.shared, job);
        // Base64 and the escapes of JSON make it larger: what then finds no room is cut to its beginning.
        let mut room = ANSWER_INLINE_MAX;
        let everything = kept <= ANSWER_INLINE_MAX as u64;
        let mut filled = Vec::with_capacity(rows.len());
        for (mut row, report) in rows {
            if !full {
                row.error = row.error.map(|error| Failure::new(error.code, "withheld"));
            } else if let Some(facts) = &report {
                reader.fill(&mut row, facts, everything, &mut room).await?;
            }
            filled.push(row);
        }
        Ok(filled)
    }
}

fn is_own(permit: &Permit, facts: &JobFacts) -> bool {
    *facts.subject == *permit.subject()
}

/// Whether argv, environment and output may be seen: by the submitter, and by who may do the same.
fn may_see(permit: &Permit, facts: &JobFacts) -> bool {
    is_own(permit, facts) || permit.allows(&facts.permission)
}

fn event(moment: &Moment<'_>) -> Event {
    Event { at: moment.at, event: moment.event.as_str().into(), hostname: moment.host.cloned() }
}

/// What the view alone says of an execution.
fn bare(row: &Row<'_>) -> HostResult {
    let mut result = HostResult::bare(row.identity.name.clone(), row.state);
    result.cancel_requested = row.cancel_requested;
    result.started_at = row.started_at;
    result.ended_at = row.ended_at;
    result.error =
        row.not_taken.map(|why| Failure::new(why.as_str(), "the agent has not taken the order"));
    if let Some(report) = row.report {
        result.exit_code = report.exit_code;
        result.signal = report.signal;
        result.killed_for_memory = report.killed_for_memory;
        result.error = report.failure.as_deref().cloned();
        result.duration_ms = Some(report.duration_ms);
        let gap = |s: &StreamFacts| {
            let bytes = s.total.checked_sub(s.kept).filter(|bytes| *bytes > 0);
            bytes.map(|bytes| Gap { offset: s.head, bytes })
        };
        (result.stdout_bytes, result.stderr_bytes) = (report.stdout.total, report.stderr.total);
        (result.stdout_gap, result.stderr_gap) = (gap(&report.stdout), gap(&report.stderr));
        (result.stdout_incomplete, result.stderr_incomplete) =
            (report.stdout.incomplete, report.stderr.incomplete);
    }
    result
}
