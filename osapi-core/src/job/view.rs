//! Where a job stands as far as a controller knows: the verdict, and around it what agents' words and time say.
//!
//! [`view`] is the definition: everything at once. [`JobView`] is what a controller keeps per job: it takes in one thing at a time, records
//! in any order and words as they are heard, as often as it is told, and shows the same. Of outputs it keeps sizes and hashes, and where
//! the report stands in the store.
//!
//! ```text
//! JobView::new(&JobRecord, Vec<Host>)          once the record and all parts of the host list are there; each name once
//!   .on_report(StoredReport) -> bool           StoredReport::of(&Report, sha256 of its signed text, Place { cursor, index, key })
//!   .on_claim(&ClaimRecord) -> bool            (the caller has verified the signature, and that the report is of this fleet)
//!   .on_cancel(at) -> bool
//!   .on_receipt(&Identity, InstanceId, ReceiptKind, now) -> bool
//!   .on_hello(&Identity, InstanceId, Listed, now) -> bool       for each job that is not final on that host, listed or not
//!   .settle(now, connected_since) -> bool      time alone (`true` here and above: what is shown has changed)
//!   .next_due() -> Option<Timestamp>           when `settle` is worth calling; never later than that, perhaps earlier
//!   .status() -> JobStatus · .tally() -> &Tally · .is_settled() · .settled_at() -> Option<Timestamp> · .is_final()
//!   .rows() -> impl Iterator<Item = Row<'_>> · .row(&AgentName) -> Option<Row<'_>> · .timeline() -> Vec<Moment<'_>>
//!   .facts() -> &JobFacts · .cancel_requested_at() -> Option<Timestamp>
//!   .admission(&Identity) -> Admission<'_>     may a report of it be written: Open, Present(&ReportFacts), NotAddressed, NotClaimed, NotTheirs
//!   .unclaimed_count() · .unclaimed() -> impl Iterator<Item = &Identity> · .is_awaited(&Identity) · .holds_claim(&Identity)
//! Row { identity, state, cancel_requested, accepted_at, claimed_at, started_at, ended_at, not_taken, report: Option<&ReportFacts> } · .is_final()
//! ```
//!
//! A record that is told before its job has a view is the caller's to keep, or to read again. Hosts are in the order of their names. A job
//! that is claimed as a whole has one row: the claimant, before that the first candidate.

mod execution;
mod kept;

use super::facts::{JobFacts, ReportFacts};
use super::limits::CONNECTED_MIN;
use super::state::{ExecutionState, JobStatus};
use super::verdict::{Final, Records, Verdict, verdict};
use super::word::{Heard, NotTaken, Said, Words};
use crate::clock::Timestamp;
use crate::id::Identity;

pub use kept::{Admission, JobView};

/// Bytes that are kept per execution, besides what it points to.
#[cfg(test)]
pub(super) const EXECUTION_SIZE: usize = size_of::<execution::Execution>();

/// One execution as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// Whose execution it is.
    pub identity: &'a Identity,
    /// Where it stands.
    pub state: ExecutionState,
    /// A cancel is recorded, and whether it came in time is not certain yet.
    pub cancel_requested: bool,
    /// When this controller first heard that it is in the agent's journal, by the controller's clock. A hint: after a restart, or on
    /// another controller, it may be absent.
    pub accepted_at: Option<Timestamp>,
    /// When its host took the claim on it, by the clock of the controller that gave it.
    pub claimed_at: Option<Timestamp>,
    /// When it was started, by the agent's clock.
    pub started_at: Option<Timestamp>,
    /// When it ended: by the agent's clock, or by that of the controller which made its claim void.
    pub ended_at: Option<Timestamp>,
    /// Why its agent did not take it, while that is the last word.
    pub not_taken: Option<NotTaken>,
    /// The report that counts.
    pub report: Option<&'a ReportFacts>,
}

impl Row<'_> {
    /// Whether nothing can change it any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.state.is_final()
    }
}

/// A whole job as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<'a> {
    /// Where the job stands.
    pub status: JobStatus,
    /// Its executions.
    pub rows: Vec<Row<'a>>,
}

/// Where a job stands, given all its records, all words in the order in which they were heard, and [`known_until`].
#[must_use]
pub fn view<'a>(records: &Records<'a>, words: &[Heard], known_until: Timestamp) -> View<'a> {
    let facts = JobFacts::of(records.job);
    let row = |verdict| row_of(verdict, &facts, words, records.cancelled, known_until);
    let rows: Vec<_> = verdict(records).into_iter().map(row).collect();
    let status = JobStatus::of(rows.iter().map(|row| row.state), records.cancelled);
    View { status, rows }
}

/// Up to which moment silence means something: `now`, the moment at which the view was last known current, if the controller had then
/// been connected for 15 s. The caller keeps the latest; [`JobView`] does so by itself.
#[must_use]
pub fn known_until(now: Timestamp, connected_since: Option<Timestamp>) -> Option<Timestamp> {
    connected_since.filter(|since| *since + CONNECTED_MIN <= now).map(|_| now)
}

fn row_of<'a>(
    verdict: Verdict<'a>,
    facts: &JobFacts,
    words: &[Heard],
    cancelled: bool,
    known_until: Timestamp,
) -> Row<'a> {
    let identity = &verdict.host.identity;
    let mine = || words.iter().filter(|heard| heard.identity == *identity);
    let mut heard = Words::default();
    mine().for_each(|word| heard.absorb(word.instance, word.word));
    let ended = verdict.ended;
    let said = said(heard.said(), verdict.claimed_at.is_some());
    let state = ended.map_or_else(|| unended(facts, said, known_until), |ended| ended.state());
    let report = if let Some(Final::Reported(report)) = ended { Some(report) } else { None };
    let is_open = ended.is_none();
    Row {
        identity,
        state,
        cancel_requested: cancelled && is_open,
        claimed_at: verdict.claimed_at,
        accepted_at: mine().filter(|heard| heard.word.is_taken()).map(|heard| heard.at).min(),
        started_at: started_at(report, heard.said().filter(|_| is_open)),
        ended_at: match ended {
            Some(Final::Reported(report)) => Some(report.ended_at),
            Some(Final::Void { at, .. }) => Some(at),
            Some(Final::Unreachable) | None => None,
        },
        not_taken: heard.not_taken().filter(|_| is_open),
        report,
    }
}

/// How far an execution has come. An agent asks for a claim only for what is in its journal.
fn said(word: Option<Said>, claimed: bool) -> Option<Said> {
    word.max(claimed.then_some(Said::Accepted))
}

/// The state of an execution that no record has ended.
fn unended(facts: &JobFacts, said: Option<Said>, known_until: Timestamp) -> ExecutionState {
    match said {
        _ if facts.due(said) <= known_until => ExecutionState::NoAnswer,
        None => ExecutionState::Pending,
        Some(Said::Accepted) => ExecutionState::Accepted,
        Some(Said::Running(_)) => ExecutionState::Running,
    }
}

fn started_at(report: Option<&ReportFacts>, said: Option<Said>) -> Option<Timestamp> {
    match (report, said) {
        (Some(report), _) => report.started_at,
        (None, Some(Said::Running(start))) => start,
        (None, Some(Said::Accepted) | None) => None,
    }
}
