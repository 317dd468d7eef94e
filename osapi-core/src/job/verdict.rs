//! What write-once records say of a job. It never changes, and it is the same wherever it is computed.
//!
//! [`verdict`] is the definition: it reads all records of a job at once. [`super::view::JobView`] keeps the same incrementally.

use super::facts::{ReportFacts, StoredReport};
use super::record::{ClaimRecord, ClaimRule, Holder, Host, JobRecord, VoidReason};
use super::state::ExecutionState;
use crate::clock::Timestamp;

/// The write-once records of one job.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    /// The job.
    pub job: &'a JobRecord,
    /// Its host list, in the order in which it was written; each name once.
    pub hosts: &'a [Host],
    /// Its claims, in any order.
    pub claims: &'a [ClaimRecord],
    /// Reports whose signatures were verified, in any order.
    pub reports: &'a [StoredReport],
    /// Whether a cancel was recorded.
    pub cancelled: bool,
}

/// What the records say of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Whose execution it is.
    pub host: &'a Host,
    /// When the host took the claim on it, which it does just before it starts.
    pub claimed_at: Option<Timestamp>,
    /// How it ended; absent while the records do not say.
    pub ended: Option<Final<'a>>,
}

/// How an execution ended, and which record says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Final<'a> {
    /// The first admissible report in store order.
    Reported(&'a ReportFacts),
    /// Its claim is void, so it never starts.
    Void {
        /// Why.
        reason: VoidReason,
        /// When the claim was created.
        at: Timestamp,
    },
    /// The job record: the host was silent when the job was made.
    Unreachable,
}

impl Final<'_> {
    /// The final state.
    #[must_use]
    pub fn state(&self) -> ExecutionState {
        match self {
            Self::Reported(report) => report.state,
            Self::Void { reason, .. } => reason.state(),
            Self::Unreachable => ExecutionState::Unreachable,
        }
    }
}

/// What the records say of each execution: one row per host in the order of their names, or the one row of a job that is claimed as a
/// whole (the claimant, before that the first candidate).
#[must_use]
pub fn verdict<'a>(records: &Records<'a>) -> Vec<Verdict<'a>> {
    let mut hosts: Vec<&Host> = match records.job.claim {
        ClaimRule::None | ClaimRule::Host => records.hosts.iter().collect(),
        ClaimRule::Job => shown_candidate(records).into_iter().collect(),
    };
    hosts.sort_by(|a, b| a.identity.cmp(&b.identity));
    hosts.into_iter().map(|host| of_host(records, host)).collect()
}

fn of_host<'a>(records: &Records<'a>, host: &'a Host) -> Verdict<'a> {
    if host.unreachable {
        return Verdict { host, claimed_at: None, ended: Some(Final::Unreachable) };
    }
    let report = || first_report(records, host).map(Final::Reported);
    let (claimed_at, ended) = match (records.job.claim, claim_on(records, host)) {
        (ClaimRule::None, _) => (None, report()),
        (ClaimRule::Host | ClaimRule::Job, None) => (None, None),
        (ClaimRule::Host | ClaimRule::Job, Some(claim)) => match &claim.holder {
            Holder::Void(reason) => (None, Some(Final::Void { reason: *reason, at: claim.at })),
            Holder::Agent { identity, .. } if *identity == host.identity => {
                (Some(claim.at), report())
            }
            Holder::Agent { .. } => (None, None),
        },
    };
    Verdict { host, claimed_at, ended }
}

/// The claim under which `host` would start.
fn claim_on<'a>(records: &Records<'a>, host: &Host) -> Option<&'a ClaimRecord> {
    records.claims.iter().filter(|claim| claim.job == records.job.job).find(|claim| {
        match (records.job.claim, &claim.host) {
            (ClaimRule::None, _) | (ClaimRule::Host, None) | (ClaimRule::Job, Some(_)) => false,
            (ClaimRule::Host, Some(name)) => *name == host.identity.name,
            (ClaimRule::Job, None) => true,
        }
    })
}

fn first_report<'a>(records: &Records<'a>, host: &Host) -> Option<&'a ReportFacts> {
    let of_host =
        |report: &&StoredReport| report.job == records.job.job && report.identity == host.identity;
    records.reports.iter().filter(of_host).map(|report| &report.facts).min_by_key(|f| &f.place)
}

fn shown_candidate<'a>(records: &Records<'a>) -> Option<&'a Host> {
    let claims_it = |host: &&Host| match claim_on(records, host).map(|claim| &claim.holder) {
        Some(Holder::Agent { identity, .. }) => *identity == host.identity,
        Some(Holder::Void(_)) | None => false,
    };
    let mut candidates = records.hosts.iter().filter(|host| !host.unreachable);
    candidates.clone().find(claims_it).or_else(|| candidates.next()).or(records.hosts.first())
}
