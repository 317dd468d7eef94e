//! The messages themselves, by direction.

use serde::{Deserialize, Serialize};

use super::order::{Answer, CancelOrder, ClaimRequest, Order, Position, Registration};
use crate::auth::envelope::Signed;
use crate::auth::keys::KeyRing;
use crate::auth::merkle::Membership;
use crate::clock::Timestamp;
use crate::id::{Digest, Identity, InstanceId, JobId, KeyId, StoreId};
use crate::job::Report;
use crate::job::report::Stream;
pub use crate::job::word::{ReceiptKind, Refusal};

/// From an agent to controllers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromAgent {
    /// On `h`: who I am, what I do. At connect, on ping, every 10 s.
    Hello(Hello),
    /// On `h`: an ephemeral word on one execution.
    Receipt(Receipt),
    /// On `w`: let me in. Answered by a welcome.
    Register(Signed<Registration>),
    /// On `w`: may I be the one who starts this? Answered by `yours` or `void`.
    Claim(Signed<ClaimRequest>),
    /// On `w`: an execution ended. Answered by `stored`, `conflict` or `gone`.
    Report(Signed<Report>),
    /// On `w`: a part of the kept output of an execution, sent before its report.
    Output(OutputChunk),
}

/// What an agent tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who it is.
    pub identity: Identity,
    /// This run of the process.
    pub instance: InstanceId,
    /// Whether it takes new jobs.
    pub readiness: Readiness,
    /// Executions that it runs at once.
    pub slots: u32,
    /// Jobs that have started.
    pub running: Vec<JobId>,
    /// Jobs that are journaled and wait for a slot.
    pub accepted: Vec<JobId>,
    /// Serial of the key ring that it has.
    pub ring: u64,
    /// That key ring, once a controller has told the agent an older one: if the store has not got it, it went back in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later_ring: Option<Box<Signed<KeyRing>>>,
    /// Version of the agent's build.
    pub version: String,
    /// The agent's wall clock.
    pub wall: Timestamp,
    /// Counts the hellos of this run, from 1.
    #[serde(default)]
    pub seq: u64,
    /// How far the store had come by the latest answer that the agent has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Box<Seen>>,
    /// How often the broker has denied its connection something, since it began.
    #[serde(default)]
    pub denied: u64,
}

/// How far an agent knows the store to have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Where that was.
    pub position: Position,
    /// The answer that says so.
    pub proof: Signed<Answer>,
}

/// Whether an agent takes new jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// It was welcomed and takes new jobs.
    Ready,
    /// No welcome yet, not let in, or its journal cannot be written.
    #[default]
    NotReady,
    /// It is shutting down.
    Draining,
}

/// An agent's ephemeral word on an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Who says so.
    pub identity: Identity,
    /// In which run of the process.
    pub instance: InstanceId,
    /// The job.
    pub job: JobId,
    /// The word.
    pub kind: ReceiptKind,
}

/// A part of the kept bytes of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputChunk {
    /// Who sends it.
    pub identity: Identity,
    /// The job.
    pub job: JobId,
    /// Which stream.
    pub stream: Stream,
    /// Where in the kept bytes it begins.
    pub offset: u64,
    /// The bytes in base64 (RFC 4648 §4), at most 128 KiB of them.
    pub data: String,
    /// SHA-256 of all kept bytes of the stream, so that parts of different attempts are told apart.
    pub sha256: Digest,
}

/// From a controller to one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToAgent {
    /// Do this.
    Dispatch {
        /// The signed order.
        order: Signed<Order>,
        /// The proof that the agent is in its set of hosts.
        membership: Membership,
    },
    /// Do not do this, or stop it.
    Cancel(Signed<CancelOrder>),
    /// The answer to a report or a claim request.
    Answer(Signed<Answer>),
    /// A part of an output is in the store, or never will be: stop sending it. A hint: it never concerns a report.
    OutputSettled(OutputSettled),
    /// You are registered; these keys are valid; this is the time.
    Welcome(Welcome),
    /// You are not let in, or not any more. A hint: who asks again may be welcomed.
    Refused(Refused),
}

/// That a registration, or the identity in a hello, is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Whom it is for: several may listen under one name.
    pub identity: Identity,
    /// Why.
    pub why: RegistrationRefusal,
}

/// Why an agent is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationRefusal {
    /// The name belongs to another key.
    #[error(
        "another host is registered under this name, with key {key_id}: remove it first, or choose another name"
    )]
    NameTaken {
        /// The key that is registered.
        key_id: KeyId,
    },
    /// The key was removed from the fleet, for good.
    #[error("this host was removed from the fleet: set it up anew, with a new key")]
    Removed,
    /// A later word of the same agent is registered, and that agent is heard.
    #[error(
        "a later registration of this host is known, and that one is heard: is it running twice?"
    )]
    Overtaken,
    /// It is for another fleet.
    #[error("the fleet at these servers is another one than this host's")]
    OtherFleet,
    /// It does not verify, or is out of bounds.
    #[error("the registration does not verify, or does not fit")]
    Invalid,
    /// Nobody is registered with that key under that name: it has to ask again.
    #[error("this host is not registered")]
    Unknown,
}

/// What became of one [`OutputChunk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSettled {
    /// Whose chunk it was.
    pub identity: Identity,
    /// The job.
    pub job: JobId,
    /// Which stream.
    pub stream: Stream,
    /// Where in the kept bytes it began.
    pub offset: u64,
    /// The [`OutputChunk::sha256`] of the chunk.
    pub sha256: Digest,
    /// Whether it is in the store. If not, the store takes no more output, or the job is not the agent's.
    pub stored: bool,
}

/// What a controller tells an agent whose registration is in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Whom it is for.
    pub identity: Identity,
    /// The valid keys, signed with the root key.
    pub ring: Signed<KeyRing>,
    /// The controller's wall clock.
    pub wall: Timestamp,
    /// The store behind the controller.
    pub store: StoreId,
    /// How long the store keeps a settled job, in seconds: reports are kept at least as long.
    pub retention_s: u64,
}

/// From controllers to all agents: say hello; or, with a key ring, that its keys are valid from now on, which needs no answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    /// Who says so.
    pub instance: InstanceId,
    /// The valid keys, signed with the root key, if they have just changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<Signed<KeyRing>>,
}
