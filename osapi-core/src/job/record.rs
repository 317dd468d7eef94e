//! What is written down when a job is made. None of it changes afterwards.

use serde::{Deserialize, Serialize};

use super::operation::Operation;
use super::state::ExecutionState;
use crate::clock::Timestamp;
use crate::id::{AgentName, Digest, Identity, JobId, KeyId, Nonce, RequestId};

/// Version of the records and messages that this build writes.
pub const VERSION: u8 = 1;

/// Who asked for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submitter {
    /// The token's subject, e.g. `user@example.com`.
    pub subject: String,
    /// The token's id (`jti`).
    pub token_id: String,
    /// The roles that the token carried, as names.
    pub roles: Vec<String>,
}

/// Whether an execution has to be claimed before it starts, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClaimRule {
    /// No claim: the signed set of hosts says it all.
    None,
    /// One claim per host (`queue_for`).
    Host,
    /// One claim for the whole job (`_any` with several candidates).
    Job,
}

/// One row of a job's host list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Whom the row is about.
    #[serde(flatten)]
    pub identity: Identity,
    /// Silent when the job was made: listed, and not in the signed set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreachable: bool,
}

/// The job record. Creating it is the commit: a job exists when its record does.
///
/// Kept in bucket `jobs` under `<job>`. The signed envelope is kept in `envelopes` under `<job>.<envelope>`, the host list in
/// `hosts` under `<job>.<part>`, both created before the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Version of the record.
    pub v: u8,
    /// The job.
    pub job: JobId,
    /// Settles who created the record when an answer was lost.
    pub nonce: Nonce,
    /// The first arrival of the request.
    pub created_at: Timestamp,
    /// From this moment on it no longer starts.
    pub not_after: Timestamp,
    /// Who asked.
    pub submitter: Submitter,
    /// What is done.
    pub operation: Operation,
    /// The target as it was written.
    pub target: String,
    /// Whether executions are claimed.
    pub claim: ClaimRule,
    /// SHA-256 of the signed envelope. It is signed also if every host is `unreachable`, so that nothing is ever sent.
    pub envelope: Digest,
    /// The key that signed the envelope.
    pub key: KeyId,
    /// SHA-256 of each part of the host list, in order.
    pub hosts: Vec<Digest>,
    /// The request that made it.
    pub request_id: RequestId,
    /// The job that this one retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<JobId>,
}

/// What a job record says that hosts are not told. The signed order has its hash, so that nothing of it can be changed later.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Asked<'a> {
    /// [`JobRecord::created_at`].
    pub created_at: Timestamp,
    /// [`JobRecord::request_id`].
    pub request_id: RequestId,
    /// [`JobRecord::target`].
    pub target: &'a str,
    /// [`JobRecord::hosts`]: also those that are `unreachable`.
    pub hosts: &'a [Digest],
}

impl Asked<'_> {
    /// SHA-256 of its JSON.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let json = serde_json::to_vec(self).expect("texts and numbers can be written as JSON");
        Digest::of(&json)
    }
}

impl JobRecord {
    /// What it says that hosts are not told.
    #[must_use]
    pub fn asked(&self) -> Asked<'_> {
        let (created_at, request_id) = (self.created_at, self.request_id);
        Asked { created_at, request_id, target: &self.target, hosts: &self.hosts }
    }

    /// The last moment at which a running execution of it can still be within its bounds.
    #[must_use]
    pub fn last_end(&self) -> Timestamp {
        self.not_after + self.run_limit()
    }

    /// Longest time between a start and its report: the timeout and the kill grace.
    #[must_use]
    pub fn run_limit(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.operation.timeout_s().into())
            + super::limits::KILL_GRACE
    }
}

/// Whose an execution is, or that it never starts. Created once and never moved.
///
/// Kept in bucket `claims` under `<job>` where a job is claimed as a whole, else under `<job>.<host>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// Version of the record.
    pub v: u8,
    /// The job.
    pub job: JobId,
    /// The host whose execution it is about; absent where a job is claimed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<AgentName>,
    /// When it was created, by the controller's wall clock.
    pub at: Timestamp,
    /// Who holds it.
    pub holder: Holder,
}

/// Who holds a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// An agent, which is the only one that may start.
    Agent {
        /// The agent.
        identity: Identity,
        /// The nonce of its request: the same request is answered `yours` again.
        nonce: Nonce,
    },
    /// Nobody: it never starts.
    Void(VoidReason),
}

/// Why nobody may start an execution any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoidReason {
    /// The start deadline passed first.
    Expired,
    /// It was cancelled first.
    Cancelled,
}

impl VoidReason {
    /// The final state that it gives.
    #[must_use]
    pub fn state(self) -> ExecutionState {
        match self {
            Self::Expired => ExecutionState::Expired,
            Self::Cancelled => ExecutionState::Cancelled,
        }
    }
}
