//! The bodies of answers. (The bodies of requests are the operations themselves: [`crate::job::operation`].)

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::usage::KeyUse;
use crate::clock::Timestamp;
use crate::id::{AgentName, JobId, PublicKey, SealingKey};
use crate::job::{
    AgentFacts, ClaimRule, ExecutionState, Failure, JobStatus, Labels, Operation, RetryHosts,
};

pub use super::health::{Denials, Durability, Health, HealthStatus, Ready};

/// What became of a job: the same envelope for one host or many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct JobResults {
    /// The job.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub job_id: JobId,
    /// Where the whole job stands.
    pub status: JobStatus,
    /// One row per host that the job was meant for.
    pub results: Vec<HostResult>,
}

/// How the bytes of a stream are written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As text: the bytes are valid UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// In base64 (RFC 4648 §4): they are not.
    Base64,
}

/// Bytes in the middle of a stream that were not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Gap {
    /// Where in the kept bytes the gap is.
    pub offset: u64,
    /// How many bytes were dropped there.
    pub bytes: u64,
}

/// What became of a job on one host. A host that failed is data, not an HTTP error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct HostResult {
    /// The agent's name.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub hostname: AgentName,
    /// Where the execution stands.
    pub status: ExecutionState,
    /// Whether nothing can change it any more.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Whether a cancel was recorded and its effect is not certain yet.
    pub cancel_requested: bool,
    /// The command's exit code, if it exited by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended the command, if OSAPI did not send it (signal(7)).
    pub signal: Option<i32>,
    /// Whether that signal was the kernel's, because the command had reached its limit of memory.
    #[serde(default)]
    pub killed_for_memory: bool,
    /// What `Facts` or a custom operation returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Standard output as far as it is carried here; absent if there is none yet, or it may not be seen.
    pub stdout: Option<String>,
    /// Standard error as far as it is carried here; absent if there is none yet, or it may not be seen.
    pub stderr: Option<String>,
    /// How `stdout` is written.
    pub stdout_encoding: Encoding,
    /// How `stderr` is written.
    pub stderr_encoding: Encoding,
    /// Bytes that the command wrote to standard output.
    pub stdout_bytes: u64,
    /// Bytes that the command wrote to standard error.
    pub stderr_bytes: u64,
    /// The bytes of standard output that were not kept.
    pub stdout_gap: Option<Gap>,
    /// The bytes of standard error that were not kept.
    pub stderr_gap: Option<Gap>,
    /// Whether a process that outlived the command held standard output, or parts of it were lost on their way.
    pub stdout_incomplete: bool,
    /// Whether a process that outlived the command held standard error, or parts of it were lost on their way.
    pub stderr_incomplete: bool,
    /// Where all that was kept of standard output is, if `stdout` is only its beginning.
    pub stdout_url: Option<String>,
    /// Where all that was kept of standard error is, if `stderr` is only its beginning.
    pub stderr_url: Option<String>,
    /// From start to end, in milliseconds.
    pub duration_ms: Option<u64>,
    /// When it was started, by the host's clock.
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub started_at: Option<Timestamp>,
    /// When it ended, by the host's clock.
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub ended_at: Option<Timestamp>,
    /// Why it did not start, or failed by its own account; while it is pending, why the agent has not taken it.
    pub error: Option<Failure>,
}

impl HostResult {
    /// A row that says only where the execution stands.
    #[must_use]
    pub fn bare(hostname: AgentName, status: ExecutionState) -> Self {
        Self {
            hostname,
            status,
            is_final: status.is_final(),
            cancel_requested: false,
            exit_code: None,
            signal: None,
            killed_for_memory: false,
            value: None,
            stdout: None,
            stderr: None,
            stdout_encoding: Encoding::Utf8,
            stderr_encoding: Encoding::Utf8,
            stdout_bytes: 0,
            stderr_bytes: 0,
            stdout_gap: None,
            stderr_gap: None,
            stdout_incomplete: false,
            stderr_incomplete: false,
            stdout_url: None,
            stderr_url: None,
            duration_ms: None,
            started_at: None,
            ended_at: None,
            error: None,
        }
    }
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct JobSummary {
    /// The job.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub job_id: JobId,
    /// Where it stands.
    pub status: JobStatus,
    /// `exec`, `shell`, `facts` or `custom`.
    pub kind: String,
    /// The target as it was written.
    pub target: String,
    /// Who asked for it.
    pub submitter: String,
    /// When the request arrived.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub created_at: Timestamp,
    /// From when on it no longer starts.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub not_after: Timestamp,
    /// How many hosts are in each state.
    pub hosts: BTreeMap<String, u32>,
}

/// A page of jobs, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct JobList {
    /// The jobs.
    pub jobs: Vec<JobSummary>,
    /// The `cursor` of the next page; absent on the last.
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub next: Option<JobId>,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Event {
    /// When.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub at: Timestamp,
    /// What: `created`, `accepted`, `claimed`, `started`, `cancel_requested`, `deadline` (the job no longer starts), or the state in which an
    /// execution ended.
    pub event: String,
    /// On which host; absent if it concerns the whole job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub hostname: Option<AgentName>,
}

/// All about one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct JobDetails {
    /// What a list shows of it.
    #[serde(flatten)]
    pub summary: JobSummary,
    /// What is done; absent if the reader may not see it.
    pub operation: Option<Operation>,
    /// Whether operation and output are withheld, because the reader neither submitted the job nor holds its operation's permission.
    pub redacted: bool,
    /// Who may start it: every host by itself (`none`); each host once it has claimed it, because hosts that are down are waited for
    /// until `not_after` (`host`); or the one of several candidates that has claimed it (`job`).
    pub claim: ClaimRule,
    /// The request that made it.
    pub request_id: String,
    /// The job that it retries.
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub retry_of: Option<JobId>,
    /// The jobs that retry it and are kept, oldest first.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schemars(with = "Vec<String>"))]
    pub retries: Vec<JobId>,
    /// What happened, oldest first.
    pub timeline: Vec<Event>,
    /// One row per host.
    pub results: Vec<HostResult>,
}

/// A retry of a job: what is done is what that job did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// On which of its hosts: `unsuccessful` (where it certainly did not succeed) if absent.
    #[serde(default)]
    pub hosts: RetryHosts,
}

/// The answer to a cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct CancelAnswer {
    /// The job.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub job_id: JobId,
    /// Where it stands: hosts that have ended keep their outcome.
    pub status: JobStatus,
}

/// Whether an agent can be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Heard lately, and takes jobs.
    Ready,
    /// Heard lately, and does not take jobs yet.
    NotReady,
    /// Heard lately, and shutting down.
    Draining,
    /// Not heard for 30 s.
    Silent,
    /// Two run with the same key: neither is given work until it is removed and set up anew.
    Cloned,
}

impl AgentState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Ready, Self::NotReady, Self::Draining, Self::Silent, Self::Cloned];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::Silent => "silent",
            Self::Cloned => "cloned",
        }
    }
}

/// A registered agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AgentInfo {
    /// Its name.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub name: AgentName,
    /// Whether it can be given work.
    pub state: AgentState,
    /// The host's full host name.
    pub hostname: String,
    /// Version of its build.
    pub version: String,
    /// Its labels, by which targets find it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schemars(with = "BTreeMap<String, String>"))]
    pub labels: Labels,
    /// What kind of host it was when the agent registered.
    #[serde(default)]
    pub facts: AgentFacts,
    /// The PASERK id of its key.
    pub key_id: String,
    /// Its key, with which it signs: PASERK `k4.public`.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub key: PublicKey,
    /// The key to which secrets for the host are sealed, as an nkey.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub sealing_key: SealingKey,
    /// When its present registration was stored.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub registered_at: Timestamp,
    /// When it was last heard by this server; absent if never.
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    pub last_heard: Option<Timestamp>,
    /// Executions that it runs at once; absent if it was never heard.
    pub slots: Option<u32>,
    /// Executions that have started.
    pub running: u32,
    /// Executions that wait for a slot.
    pub waiting: u32,
    /// The last key that was refused under its name within a day, at this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_key: Option<RefusedKey>,
    /// How often the broker has denied its connection something, since the agent began.
    #[serde(default)]
    pub denied: u64,
}

/// A key that asked for a name, and was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct RefusedKey {
    /// The PASERK id of the key.
    pub key_id: String,
    /// When it was last heard.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub at: Timestamp,
}

/// Every registered agent, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AgentList {
    /// The agents.
    pub agents: Vec<AgentInfo>,
}

/// The valid keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct KeyList {
    /// The serial of the key ring: it grows with every change.
    pub serial: u64,
    /// When the ring was made.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub at: Timestamp,
    /// The highest serial that this server knows or was told by an agent: above `serial` only if the store has gone back in time.
    pub highest_serial: u64,
    /// The keys.
    pub keys: Vec<KeyInfo>,
    /// The ring as the root key signed it.
    pub ring: String,
}

/// A valid key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct KeyInfo {
    /// Its PASERK id.
    pub key_id: String,
    /// What it is for.
    #[serde(rename = "use")]
    pub usage: KeyUse,
    /// Of a job key, how many open jobs were ordered under it.
    pub open_jobs: Option<u32>,
    /// Whether this server signs with it.
    #[serde(rename = "signing")]
    pub is_signing: bool,
}

/// A key ring to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewKeyRing {
    /// The ring as the root key signed it.
    pub ring: String,
}

/// The hosts that a job for a target would be meant for, as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct TargetPreview {
    /// The target, in the one form that it is written in.
    pub target: String,
    /// How many hosts it means.
    pub count: u32,
    /// How many of them were heard lately.
    pub live: u32,
    /// How many of them take jobs.
    pub ready: u32,
    /// They, by name.
    pub hosts: Vec<TargetHost>,
}

/// A host that a target means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct TargetHost {
    /// Its name.
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    pub name: AgentName,
    /// Whether it can be given work.
    pub state: AgentState,
}
