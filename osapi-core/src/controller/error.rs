//! What a controller answers when it cannot do what was asked.

use crate::api::{Code, Problem};
use crate::auth::authorize::Denied;
use crate::backend::StoreError;
use crate::id::{AgentName, JobId, KeyId};
use crate::job::Invalid;
use crate::job::limits::{HOSTS_MAX, ORDER_MAX};
use crate::job::target::Hostname;

/// Why a controller did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store was not read yet, or there is no key ring.
    #[error("the controller is starting")]
    NotReady,
    /// It is shutting down.
    #[error("the controller is shutting down")]
    ShuttingDown,
    /// The key with which it signs is in no valid key ring.
    #[error("the job key of this server, {0}, is not in the key ring: give it one that is")]
    KeyNotValid(KeyId),
    /// A key ring that is not taken.
    #[error("the key ring is not taken: {0}")]
    RingRefused(&'static str),
    /// Another key ring came first.
    #[error("the key ring must have serial {next}, which is the next one")]
    RingConflict {
        /// The serial that it must have.
        next: u64,
    },
    /// The permit does not reach that far.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A value outside its bounds.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The target names hosts that are not registered.
    #[error("no host is named {}", list(.0))]
    HostNotFound(Vec<AgentName>),
    /// The target names a host by its own host name, and no host has it.
    #[error("no host has the host name '{0}'")]
    HostnameNotFound(Hostname),
    /// The target names a host by its own host name, and several have it.
    #[error("several hosts have the host name '{hostname}': {}; name the one that is meant", list(.hosts))]
    HostnameShared {
        /// The host name.
        hostname: Hostname,
        /// The agents that have it.
        hosts: Vec<AgentName>,
    },
    /// The target is right, and no host is meant by it.
    #[error("no host matches '{0}'")]
    NoMatch(String),
    /// No host is registered at all.
    #[error("no host is registered")]
    NoHosts,
    /// `_any`, and no host is live and ready.
    #[error("no host is live and ready")]
    NoLiveHost,
    /// More hosts than a job may have.
    #[error("the target names {0} hosts: a job may have at most {HOSTS_MAX}")]
    TooManyHosts(usize),
    /// The signed order would be too large.
    #[error("the order would have {0} bytes: at most {ORDER_MAX} are allowed")]
    OrderTooLarge(usize),
    /// As many jobs are kept as may be.
    #[error(
        "{0} jobs are kept, which is as many as may be: delete some, or wait until their retention is past"
    )]
    TooManyJobs(usize),
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used with another request")]
    IdempotencyConflict,
    /// The idempotency key stands for a request that is over.
    #[error(
        "the request that this idempotency key stands for is over: it never became a job, or its job was deleted"
    )]
    IdempotencyExpired,
    /// What the store keeps for the idempotency key is nothing that a server has written.
    #[error(
        "what the store keeps for this idempotency key was not written by a server: use another key"
    )]
    IdempotencyDamaged,
    /// The job may have been made, or not.
    #[error("whether job {job} was made is unknown")]
    OutcomeUnknown {
        /// The job.
        job: JobId,
        /// What happened.
        #[source]
        source: StoreError,
    },
    /// There is no such job.
    #[error("there is no job {0}")]
    JobNotFound(JobId),
    /// The records of the job do not fit together.
    #[error("the records of job {job} do not fit together: {reason}")]
    JobDamaged {
        /// The job.
        job: JobId,
        /// What does not fit.
        reason: String,
    },
    /// The job was ordered under a key that is not valid any more.
    #[error("job {0} was ordered under a job key that is not valid any more: give the order anew")]
    JobKeyNotValid(JobId),
    /// The job is not settled.
    #[error("job {0} is not settled yet: cancel it first, or wait")]
    JobUnfinished(JobId),
    /// The job is settled.
    #[error("job {0} is settled already: there is nothing left to cancel")]
    JobSettled(JobId),
    /// No host of the job is to be tried again.
    #[error("job {0} has no host that is to be tried again")]
    NothingToRetry(JobId),
    /// No such output is kept.
    #[error("job {job} has no output of '{host}'")]
    OutputNotFound {
        /// The job.
        job: JobId,
        /// The host.
        host: AgentName,
    },
    /// There is no such agent.
    #[error("no agent is named '{0}'")]
    AgentNotFound(AgentName),
    /// The store went back in time.
    #[error(
        "the store went back in time ({0}): nothing is sent until 'osapi store accept-restore' has accepted that"
    )]
    StoreRolledBack(String),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Error {
    /// The problem document that a client gets: nothing internal is in it.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let plain = |code| Problem::new(code, self.to_string());
        match self {
            Self::NotReady | Self::KeyNotValid(_) => plain(Code::NotReady),
            Self::RingRefused(_) => plain(Code::KeyRingInvalid),
            Self::RingConflict { .. } => plain(Code::KeyRingConflict),
            Self::ShuttingDown => plain(Code::ShuttingDown),
            Self::Denied(denied) => Problem {
                missing_permission: Some(denied.missing.to_string()),
                ..plain(Code::PermissionDenied)
            },
            Self::Invalid(invalid) => Problem::invalid(Code::InvalidValue, invalid),
            Self::HostNotFound(_) | Self::HostnameNotFound(_) | Self::NoHosts => {
                plain(Code::HostNotFound)
            }
            Self::HostnameShared { .. } => plain(Code::HostAmbiguous),
            Self::NoMatch(_) => plain(Code::NoMatch),
            Self::NoLiveHost => plain(Code::NoLiveHost),
            Self::TooManyHosts(_) => plain(Code::TooManyHosts),
            Self::OrderTooLarge(_) => plain(Code::OrderTooLarge),
            Self::TooManyJobs(_) => plain(Code::TooManyJobs),
            Self::IdempotencyConflict => plain(Code::IdempotencyConflict),
            Self::IdempotencyExpired => plain(Code::IdempotencyExpired),
            Self::IdempotencyDamaged => plain(Code::IdempotencyDamaged),
            Self::OutcomeUnknown { job, .. } => plain(Code::OutcomeUnknown).about(*job),
            Self::JobNotFound(job) => plain(Code::JobNotFound).about(*job),
            Self::JobDamaged { job, .. } => plain(Code::JobDamaged).about(*job),
            Self::JobKeyNotValid(job) => plain(Code::JobKeyNotValid).about(*job),
            Self::JobUnfinished(job) => plain(Code::JobUnfinished).about(*job),
            Self::JobSettled(job) => plain(Code::JobSettled).about(*job),
            Self::NothingToRetry(job) => plain(Code::NothingToRetry).about(*job),
            Self::OutputNotFound { job, .. } => plain(Code::OutputNotFound).about(*job),
            Self::AgentNotFound(_) => plain(Code::AgentNotFound),
            Self::StoreRolledBack(_) => plain(Code::StoreRolledBack),
            Self::Store(StoreError::Damaged(_)) => {
                Problem::new(Code::Internal, "a record in the store cannot be read")
            }
            Self::Store(StoreError::Full(_)) => plain(Code::BackendUnavailable),
            Self::Store(_) => Problem::new(Code::BackendUnavailable, "the store cannot be reached"),
        }
    }
}

/// Some of the names: one is enough to see what is meant, and there may be thousands.
fn list(hosts: &[AgentName]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<_> = hosts.iter().take(SHOWN).map(|host| format!("'{host}'")).collect();
    match hosts.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
