//! Named points at which a process can end itself as a crash does: compiled only with the feature `crash-points`, which only the programs
//! of tests have.
//!
//! A program [arms](arm_by_environment) one point. Whatever passes it then, in a wrapped journal, store, bus or executor, ends the process
//! by SIGKILL: no destructor runs and nothing is flushed. Or it stops there, as by SIGSTOP. [`Point::all`] is the one list of them. The wrappers stand at the seams where an effect
//! is asked for, so that the code around them is the one that is shipped.

mod bus;
mod executor;
mod journal;
mod point;
mod store;
mod trap;

use std::sync::Arc;

use crate::agent::Journal;
use crate::backend::{Bus, Store};
use crate::executor::Executor;

pub use point::{Place, Point, Side, UnknownPoint};
pub use trap::{ArmError, STOP_VARIABLE, VARIABLE, arm_by_environment, pass};

/// A journal that crashes at the points of its steps.
pub(crate) fn journal(inner: Arc<dyn Journal>) -> Arc<dyn Journal> {
    if trap::is_armed() { Arc::new(journal::CrashingJournal::new(inner)) } else { inner }
}

/// A store that crashes at the points of its writes.
pub(crate) fn store(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    if trap::is_armed() { Arc::new(store::CrashingStore::new(inner)) } else { inner }
}

/// A bus that crashes at the points of its messages.
pub(crate) fn bus(inner: Arc<dyn Bus>) -> Arc<dyn Bus> {
    if trap::is_armed() { Arc::new(bus::CrashingBus::new(inner)) } else { inner }
}

/// An executor that crashes at the points of a start and an end.
pub(crate) fn executor(inner: Arc<dyn Executor>) -> Arc<dyn Executor> {
    if trap::is_armed() { Arc::new(executor::CrashingExecutor::new(inner)) } else { inner }
}
