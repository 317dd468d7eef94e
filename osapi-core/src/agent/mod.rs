//! Who starts and remembers: receives an order, checks it, journals it, has it performed, and reports how it ended.
//!
//! [`machine`] decides everything and does nothing; [`runner`] does what it says over a bus, a [`journal`] and an executor, with
//! the output of what runs in a [`spool`] and large output on its way by [`upload`].

pub mod journal;
pub mod machine;
pub mod runner;
pub mod spool;
pub mod upload;

pub use journal::{Binding, FileJournal, Journal, MemoryJournal};
pub use machine::Drained;
pub use runner::{Agent, AgentError, AgentParts, Limits};
