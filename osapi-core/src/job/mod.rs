//! The job model: what is asked ([`operation`] with its [`input`], [`user`], [`umask`] and [`resources`], [`target`] of hosts with their [`label`]s), what is written down ([`record`], [`report`]) and said ([`word`]), what is tried again ([`retry`]), what a
//! controller keeps of it in memory ([`facts`]), and what follows from it ([`verdict`], [`view`], [`timeline`]). Facts and rules only:
//! no I/O, no clock.

pub mod facts;
pub mod host_facts;
pub mod input;
pub mod label;
pub mod limits;
pub mod operation;
pub mod queue_for;
pub mod record;
pub mod report;
pub mod resources;
pub mod retry;
pub mod state;
pub mod target;
pub mod timeline;
pub mod umask;
pub mod user;
pub mod verdict;
pub mod view;
pub mod word;

#[cfg(test)]
mod tests;

pub use facts::{JobFacts, Place, ReportFacts, StoredReport, StreamFacts};
pub use host_facts::{AgentFacts, HostFacts};
pub use input::Stdin;
pub use label::{Label, Labels};
pub use limits::Invalid;
pub use operation::{Custom, Exec, Operation, Shell, Surroundings};
pub use queue_for::QueueFor;
pub use record::{Asked, ClaimRecord, ClaimRule, Holder, Host, JobRecord, Submitter, VoidReason};
pub use report::{Failure, Outcome, Parts, Report, Step, StreamReport};
pub use resources::{Resource, ResourceLimit, ResourceLimits};
pub use retry::RetryHosts;
pub use state::{ExecutionState, JobStatus, Tally};
pub use target::Target;
pub use umask::Umask;
pub use user::UserName;
pub use view::{JobView, Row};
