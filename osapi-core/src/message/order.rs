//! The bodies that are signed: orders, cancels, registrations, claim requests and answers. (The report is in [`crate::job::report`].)

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{Digest, FleetId, Identity, JobId, Nonce, SealingKey, StoreId};
use crate::job::record::{ClaimRule, Submitter};
use crate::job::{AgentFacts, Labels, Operation, limits};

/// The signed set of hosts that an order is for: the root of a Merkle tree over them (RFC 9162 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSet {
    /// The root hash.
    pub root: Digest,
    /// How many hosts there are.
    pub count: u32,
}

/// The order that an agent accepts, signed with a job key. Unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Version of the order.
    pub v: u8,
    /// The fleet that it is for.
    pub fleet: FleetId,
    /// The job.
    pub job: JobId,
    /// Which wave of a rollout; 0 without one.
    pub wave: u32,
    /// When it was signed.
    pub iat: Timestamp,
    /// From this moment on it no longer starts.
    pub not_after: Timestamp,
    /// Whether it is claimed before it starts.
    pub claim: ClaimRule,
    /// Whom it is for.
    pub hosts: HostSet,
    /// Who asked.
    pub submitter: Submitter,
    /// What is done.
    pub operation: Operation,
    /// What else the job record says: the hash of its [`Asked`](crate::job::Asked).
    pub asked: Digest,
    /// The job that this one retries.
    pub retry_of: Option<JobId>,
}

impl Order {
    /// How long the agent keeps what it knows of the job after it ended: past the deadline by the skew that is tolerated.
    #[must_use]
    pub fn forget_after(&self) -> Timestamp {
        self.not_after + 2 * limits::SKEW_MAX
    }
}

/// A cancel, signed with a job key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// Version of the cancel.
    pub v: u8,
    /// The fleet.
    pub fleet: FleetId,
    /// The job to cancel.
    pub job: JobId,
    /// The job's own start deadline: how long an agent that never saw the job has to remember the cancel.
    pub not_after: Timestamp,
    /// Who cancelled it.
    pub by: Submitter,
    /// When.
    pub at: Timestamp,
}

/// An agent's word on who it is, signed with its own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Version of the registration.
    pub v: u8,
    /// The fleet that it wants to be part of.
    pub fleet: FleetId,
    /// Who it is.
    pub identity: Identity,
    /// The host's full host name.
    pub hostname: String,
    /// Version of the agent's build.
    pub version: String,
    /// To which secrets for this host are sealed.
    pub sealing: SealingKey,
    /// By which targets find the host.
    pub labels: Labels,
    /// What kind of host it is.
    pub facts: AgentFacts,
    /// When it was made, by the agent's wall clock.
    pub at: Timestamp,
}

/// An agent's request to be the one that may start an execution, signed with its own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// Version of the request.
    pub v: u8,
    /// The fleet that the agent belongs to.
    pub fleet: FleetId,
    /// Who asks.
    pub identity: Identity,
    /// The job.
    pub job: JobId,
    /// Made and journaled with the acceptance of the order: only a request that repeats it is answered `yours` again, so that neither a
    /// copy of the agent nor one whose journal was set back starts the job once more.
    pub nonce: Nonce,
}

/// What a controller answers to a report or a claim request, signed with a job key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Version of the answer.
    pub v: u8,
    /// The fleet.
    pub fleet: FleetId,
    /// The agent that it is for.
    pub identity: Identity,
    /// The job that it is about.
    pub job: JobId,
    /// The answer.
    pub kind: AnswerKind,
    /// Where the store keeps what was answered: whoever shows it later proves that the store had come that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Position>,
}

/// A place in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which store.
    pub store: StoreId,
    /// Which of its buckets, by name.
    pub bucket: String,
    /// The place in the order of writes of that bucket.
    pub cursor: u64,
}

/// The answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// The report with this hash (of its signed bytes) is in the store. Stop sending, keep it until the retention is past.
    Stored(Digest),
    /// The report with this hash differs from the one that is in the store. Stop sending it.
    Conflict(Digest),
    /// There is no such job, and it is older than the retention. Stop sending its report.
    Gone(Digest),
    /// The claim that was asked for with this nonce is the agent's.
    Yours(Nonce),
    /// The claim is another's, or void: never start the job. It was asked for with this nonce.
    Void(Nonce),
}
