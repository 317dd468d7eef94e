//! The job model: what is asked ([`operation`], [`target`] of hosts with their [`label`]s), what is written down ([`record`], [`report`]) and said ([`word`]), what is tried again ([`retry`]), what a
//! controller keeps of it in memory ([`facts`]), and what follows from it ([`verdict`], [`view`], [`timeline`]). Facts and rules only:
//! no I/O, no clock.

pub mod facts;
pub mod host_facts;
pub mod label;
pub mod limits;
pub mod operation;
pub mod queue_for;
pub mod record;
pub mod report;
pub mod retry;
pub mod state;
pub mod target;
pub mod timeline;
pub mod verdict;
pub mod view;
pub mod word;

#[cfg(test)]
mod tests;

pub use facts::{JobFacts, Place, ReportFacts, StoredReport, StreamFacts};
pub use host_facts::{AgentFacts, HostFacts};
pub use label::{Label, Labels};
pub use limits::Invalid;
pub use operation::{Custom, Exec, Operation, Shell};
pub use queue_for::QueueFor;
pub use record::{ClaimRecord, ClaimRule, Holder, Host, JobRecord, Submitter, VoidReason};
pub use report::{Failure, Outcome, Report, Step, StreamReport};
pub use retry::RetryHosts;
pub use state::{ExecutionState, JobStatus, Tally};
pub use target::Target;
pub use view::{JobView, Row};
