//! Who starts and remembers: receives an order, checks it, journals it, has it performed, and reports how it ended.
//!
//! [`machine`] decides everything and does nothing; [`runner`] does what it says over a bus, a [`journal`] and an executor.

pub mod journal;
pub mod machine;
pub mod spool;
pub mod upload;
