//! Telling what became of a job: waiting for it, and reading output back from the store.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::error::Error;
use super::records::{self, ReportBatch};
use super::state::Knowledge;
use super::{Controller, Shared};
use crate::api::endpoints::JobOutput;
use crate::api::types::{Encoding, Event, Gap, HostResult, JobDetails, JobResults, JobSummary};
use crate::auth::authorize::Permit;
use crate::auth::permission::Permission;
use crate::backend::{Bucket, Key, StoreError};
use crate::id::{AgentName, Digest, JobId};
use crate::job::facts::{JobFacts, ReportFacts, StreamFacts};
use crate::job::limits::{ANSWER_EXCERPT, ANSWER_INLINE_MAX, CHUNK_MAX, RETENTION_DEFAULT};
use crate::job::record::JobRecord;
use crate::job::report::Stream;
use crate::job::view::Row;
use crate::job::{Failure, Outcome, Report};

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
        let entry = records::read(&*self.shared.store, Bucket::Jobs, &Key::of(&[&job])).await?;
        let record: JobRecord = records::decode(&entry.ok_or(Error::JobNotFound(job))?)?;
        Ok(JobDetails {
            summary: snapshot.summary,
            operation: full.then_some(record.operation),
            redacted: !full,
            request_id: record.request_id.to_string(),
            retry_of: record.retry_of,
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
        let snapshot = self.look(permit, job, Duration::ZERO).await?;
        if !may_see(permit, &snapshot.facts) {
            permit.require(&snapshot.facts.permission)?;
        }
        let missing = || Error::OutputNotFound { job, host: host.clone() };
        let row =
            snapshot.rows.iter().find(|(row, _)| row.hostname == *host).ok_or_else(missing)?;
        let report = row.1.as_ref().ok_or_else(missing)?;
        let stream_facts = facts_of(report, stream);
        let start = range.start.min(stream_facts.kept);
        // What is kept is the host's word, and may be any number.
        let end = range.end.min(stream_facts.kept).min(start.saturating_add(PIECE)).max(start);
        let mut reader = Reader::new(&self.shared, job);
        let bytes = reader.read(host, stream, report, start..end).await?.bytes;
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

    async fn look(&self, permit: &Permit, job: JobId, wait: Duration) -> Result<Snapshot, Error> {
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
        let copied = self.shared.ask(move |state| {
            let tracked = state.index.get(job)?;
            if let Some(reason) = &tracked.damaged {
                return Some(Err(Error::JobDamaged { job, reason: reason.to_string() }));
            }
            let rows = tracked.view.rows().map(|row| (bare(&row), row.report.cloned())).collect();
            let timeline = tracked.view.timeline().iter().map(event).collect();
            Some(Ok(Snapshot { facts, summary: tracked.summary(), timeline, rows }))
        });
        copied.await?.ok_or(Error::JobNotFound(job))?
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
        // Base64 and the escapes of JSON make it larger: the bound is kept with room for the usual ones.
        let mut room = ANSWER_INLINE_MAX;
        let everything = kept <= (ANSWER_INLINE_MAX / 2) as u64;
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

fn facts_of(report: &ReportFacts, stream: Stream) -> &StreamFacts {
    match stream {
        Stream::Stdout => &report.stdout,
        Stream::Stderr => &report.stderr,
    }
}

fn event(moment: &crate::job::timeline::Moment<'_>) -> Event {
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

/// What was read of a stream.
struct Piece {
    bytes: Vec<u8>,
    /// Whether everything that was asked for is there, and is what the report says.
    whole: bool,
}

/// Reads the reports and the output of one job. Reports that share a record are read together.
struct Reader<'a> {
    shared: &'a Shared,
    job: JobId,
    batches: HashMap<std::sync::Arc<str>, ReportBatch>,
}

impl<'a> Reader<'a> {
    fn new(shared: &'a Shared, job: JobId) -> Self {
        Self { shared, job, batches: HashMap::new() }
    }

    async fn fill(
        &mut self,
        row: &mut HostResult,
        facts: &ReportFacts,
        everything: bool,
        room: &mut usize,
    ) -> Result<(), Error> {
        if let Outcome::Returned { value } = self.report(facts).await?.outcome {
            row.value = Some(value).filter(|value| *value != Value::Null);
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let shown = self.show(&row.hostname, stream, facts, everything, room).await?;
            match stream {
                Stream::Stdout => {
                    (row.stdout, row.stdout_encoding, row.stdout_url) =
                        (Some(shown.text), shown.encoding, shown.url);
                    row.stdout_incomplete |= shown.damaged;
                }
                Stream::Stderr => {
                    (row.stderr, row.stderr_encoding, row.stderr_url) =
                        (Some(shown.text), shown.encoding, shown.url);
                    row.stderr_incomplete |= shown.damaged;
                }
            }
        }
        Ok(())
    }

    async fn show(
        &mut self,
        host: &AgentName,
        stream: Stream,
        report: &ReportFacts,
        everything: bool,
        room: &mut usize,
    ) -> Result<Shown, Error> {
        let kept = facts_of(report, stream).kept;
        let excerpt = kept.min(ANSWER_EXCERPT as u64);
        if everything || kept == excerpt {
            let piece = self.read(host, stream, report, 0..kept).await?;
            let shown = Shown::of(piece);
            let size = json_size(&shown.text);
            if size <= *room || kept == excerpt {
                *room = room.saturating_sub(size);
                return Ok(shown);
            }
        }
        let piece = self.read(host, stream, report, 0..excerpt).await?;
        let url = Some(JobOutput::location(self.job, host, stream));
        Ok(Shown { url, ..Shown::of(cut_at_character(piece)) })
    }

    /// The bytes `range` of a stream, from the report or from chunks. What is missing ends them.
    async fn read(
        &mut self,
        host: &AgentName,
        stream: Stream,
        report: &ReportFacts,
        range: Range<u64>,
    ) -> Result<Piece, Error> {
        let facts = facts_of(report, stream);
        let bytes = if facts.inline {
            let body = self.report(report).await?;
            let side = match stream {
                Stream::Stdout => body.stdout,
                Stream::Stderr => body.stderr,
            };
            let all = STANDARD.decode(side.inline.unwrap_or_default()).unwrap_or_default();
            let to = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(all.len());
            all[to(range.start)..to(range.end)].to_vec()
        } else {
            self.read_chunks(host, stream, &facts.sha256, range.clone()).await?
        };
        let all_there = bytes.len() as u64 == range.end - range.start;
        let is_all = range == (0..facts.kept);
        let whole = all_there && (!is_all || Digest::of(&bytes) == facts.sha256);
        Ok(Piece { bytes, whole })
    }

    async fn read_chunks(
        &self,
        host: &AgentName,
        stream: Stream,
        sha256: &Digest,
        range: Range<u64>,
    ) -> Result<Vec<u8>, Error> {
        let chunk = CHUNK_MAX as u64;
        let mut bytes = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let first = at - at % chunk;
            let key = records::output_key(self.job, host, stream, first);
            let Some(entry) = self.shared.store.get(Bucket::Output, &key).await? else { break };
            // A chunk of another attempt is not of this stream.
            let Some(data) = entry.value.strip_prefix(sha256.as_bytes().as_slice()) else { break };
            let to = |at: u64| usize::try_from(at - first).unwrap_or(usize::MAX).min(data.len());
            let part = &data[to(at)..to(range.end.min(first.saturating_add(chunk)))];
            if part.is_empty() {
                break;
            }
            bytes.extend_from_slice(part);
            at += part.len() as u64;
        }
        Ok(bytes)
    }

    /// A report as it stands in the store, if it still is the one whose facts are known.
    async fn report(&mut self, facts: &ReportFacts) -> Result<Report, Error> {
        let damaged = || Error::JobDamaged {
            job: self.job,
            reason: "a report in the store was altered".into(),
        };
        let place = &facts.place;
        if !self.batches.contains_key(&place.key) {
            let key: Key = place.key.parse().map_err(|_| damaged())?;
            let entry = records::read(&*self.shared.store, Bucket::Reports, &key).await?;
            let batch = records::decode(&entry.ok_or(Error::JobNotFound(self.job))?)?;
            self.batches.insert(std::sync::Arc::clone(&place.key), batch);
        }
        let signed =
            self.batches.get(&place.key).and_then(|batch| batch.reports.get(place.index as usize));
        let signed = signed.filter(|signed| signed.digest() == facts.signed).ok_or_else(damaged)?;
        signed.peek().ok_or_else(damaged)
    }
}

/// A stream as it stands in an answer.
struct Shown {
    text: String,
    encoding: Encoding,
    url: Option<String>,
    damaged: bool,
}

impl Shown {
    fn of(piece: Piece) -> Self {
        let (text, encoding) = match String::from_utf8(piece.bytes) {
            Ok(text) => (text, Encoding::Utf8),
            Err(err) => (STANDARD.encode(err.as_bytes()), Encoding::Base64),
        };
        Self { text, encoding, url: None, damaged: !piece.whole }
    }
}

/// Cuts an excerpt before a character that it would split.
fn cut_at_character(mut piece: Piece) -> Piece {
    if let Err(err) = std::str::from_utf8(&piece.bytes)
        && err.error_len().is_none()
    {
        piece.bytes.truncate(err.valid_up_to());
    }
    piece
}

/// Bytes that a text takes in JSON (RFC 8259 §7).
fn json_size(text: &str) -> usize {
    let size = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(size).sum()
}
