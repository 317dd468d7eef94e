//! The job model: what is asked ([`operation`], [`target`]), what is written down ([`record`], [`report`]), and what follows
//! from it ([`verdict`], [`view`]). Facts and rules only: no I/O, no clock.

pub mod limits;
pub mod operation;
pub mod record;
pub mod report;
pub mod state;
pub mod target;
pub mod verdict;
pub mod view;

pub use limits::Invalid;
pub use operation::{Custom, Exec, Operation, Shell};
pub use record::{ClaimRule, Host, JobRecord, Submitter};
pub use report::{Failure, Outcome, Report, Step, StreamReport};
pub use state::{ExecutionState, JobStatus};
pub use target::Target;
