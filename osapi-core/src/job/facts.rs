//! What a controller keeps in memory of records: the small facts, and where the rest stands in the store.

use std::sync::Arc;
use std::time::Duration;

use super::limits::ANSWER_GRACE;
use super::record::{ClaimRule, JobRecord};
use super::report::{Failure, Report, StreamReport};
use super::state::ExecutionState;
use super::word::Said;
use crate::auth::permission::Permission;
use crate::clock::Timestamp;
use crate::id::{Digest, Identity, JobId};

/// Longest text of a failure that is kept in memory, in bytes; the whole of it is in the store.
const FAILURE_TEXT_MAX: usize = 512;

/// The facts of a job that rules, lists and permissions need. The operation itself stays in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// The job.
    pub job: JobId,
    /// The first arrival of the request.
    pub created_at: Timestamp,
    /// From this moment on it no longer starts.
    pub not_after: Timestamp,
    /// Longest time between a start and its report.
    pub run_limit: Duration,
    /// Whether executions are claimed.
    pub claim: ClaimRule,
    /// What is done, in one word: [`super::Operation::kind`].
    pub kind: &'static str,
    /// The permission that the operation needs.
    pub permission: Permission,
    /// Who asked: the token's subject.
    pub subject: Box<str>,
    /// The target as it was written.
    pub target: Box<str>,
    /// The job that this one retries.
    pub retry_of: Option<JobId>,
}

impl JobFacts {
    /// The facts of `record`.
    #[must_use]
    pub fn of(record: &JobRecord) -> Self {
        Self {
            job: record.job,
            created_at: record.created_at,
            not_after: record.not_after,
            run_limit: record.run_limit(),
            claim: record.claim,
            kind: record.operation.kind(),
            permission: record.operation.permission(),
            subject: record.submitter.subject.as_str().into(),
            target: record.target.as_str().into(),
            retry_of: record.retry_of,
        }
    }

    /// The moment from which on an execution that has come as far as `said` is no longer waited for.
    ///
    /// A start is the agent's word, and its clock may be wrong: no start lies before the job was created, nor after its deadline.
    #[must_use]
    pub fn due(&self, said: Option<Said>) -> Timestamp {
        let end = match said {
            None => self.not_after,
            Some(Said::Accepted | Said::Running(None)) => self.not_after + self.run_limit,
            Some(Said::Running(Some(start))) => {
                start.max(self.created_at).min(self.not_after) + self.run_limit
            }
        };
        end + ANSWER_GRACE
    }
}

/// Where a report stands in the store. The order is the store's: by cursor, then within the record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The cursor of the record in bucket `reports`.
    pub cursor: u64,
    /// Which of the record's reports it is, from 0.
    pub index: u32,
    /// The record's key. Hosts whose reports share a record share it.
    pub key: Arc<str>,
}

/// A report in the store whose signature the caller has verified: whose it is, and its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// The job that it names.
    pub job: JobId,
    /// Who signed it.
    pub identity: Identity,
    /// What it says.
    pub facts: ReportFacts,
}

impl StoredReport {
    /// The facts of a verified `report` of this fleet; `signed` is the SHA-256 of its signed text.
    #[must_use]
    pub fn of(report: &Report, signed: Digest, place: Place) -> Self {
        let facts = ReportFacts::of(report, signed, place);
        Self { job: report.job, identity: report.identity.clone(), facts }
    }
}

/// The small facts of a report. Its output and its value are read back from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportFacts {
    /// Where it stands in the store.
    pub place: Place,
    /// SHA-256 of its signed text: tells a repetition from a different report.
    pub signed: Digest,
    /// The state that it gives.
    pub state: ExecutionState,
    /// The exit code, if the command exited by itself.
    pub exit_code: Option<i32>,
    /// The signal's number, if a signal that OSAPI did not send ended the command.
    pub signal: Option<i32>,
    /// Whether that was the kernel's, because the command had reached its limit of memory.
    pub killed_for_memory: bool,
    /// What failed, with its texts cut to what is kept in memory.
    pub failure: Option<Box<Failure>>,
    /// When it was started, by the agent's wall clock; absent if it was not.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the agent's wall clock.
    pub ended_at: Timestamp,
    /// From start to end in milliseconds.
    pub duration_ms: u64,
    /// Standard output.
    pub stdout: StreamFacts,
    /// Standard error.
    pub stderr: StreamFacts,
}

impl ReportFacts {
    /// The facts of `report`; `signed` is the SHA-256 of its signed text.
    #[must_use]
    pub fn of(report: &Report, signed: Digest, place: Place) -> Self {
        let outcome = &report.outcome;
        Self {
            place,
            signed,
            state: outcome.state(),
            exit_code: outcome.exit_code(),
            signal: outcome.signal(),
            killed_for_memory: outcome.is_killed_for_memory(),
            failure: outcome.failure().map(|failure| Box::new(cut_failure(failure))),
            started_at: report.started_at,
            ended_at: report.ended_at,
            duration_ms: report.duration_ms,
            stdout: StreamFacts::of(&report.stdout),
            stderr: StreamFacts::of(&report.stderr),
        }
    }
}

/// What became of one output stream, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamFacts {
    /// Bytes that the command wrote.
    pub total: u64,
    /// Bytes that were kept.
    pub kept: u64,
    /// Of the kept bytes, how many precede the gap.
    pub head: u64,
    /// SHA-256 of the kept bytes.
    pub sha256: Digest,
    /// Whether the kept bytes stand in the report; else they are in chunks.
    pub inline: bool,
    /// Whether reading stopped before the end.
    pub incomplete: bool,
}

impl StreamFacts {
    /// The facts of `stream`.
    #[must_use]
    pub fn of(stream: &StreamReport) -> Self {
        let StreamReport { total, kept, head, sha256, ref inline, incomplete, parts: _ } = *stream;
        Self { total, kept, head, sha256, inline: inline.is_some(), incomplete }
    }
}

/// An agent chooses these texts, and a report may be 256 KiB: what stays in memory is bounded.
fn cut_failure(failure: &Failure) -> Failure {
    let cut = |text: &str| {
        let end = (0..=FAILURE_TEXT_MAX.min(text.len()))
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        text[..end].to_owned()
    };
    let (code, message) = (cut(&failure.code), cut(&failure.message));
    Failure { code, message, step: failure.step, errno: failure.errno }
}
