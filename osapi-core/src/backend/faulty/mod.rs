//! Wrappers that do to a store and a bus what real ones may do: lose, repeat, delay, reorder, answer late or not at all.
//!
//! What fails is decided by a seed and the order of calls, so a failing test can be run again. Nothing waits for time: a delayed
//! message is overtaken by later ones instead. With all rates zero they change nothing.

mod bus;
mod dice;
mod store;
mod watch;

pub use bus::{BusFaults, FaultyBus};
pub use dice::Dice;
pub use store::{FaultyStore, StoreFaults};

#[cfg(test)]
#[cfg(feature = "embedded")]
mod tests;
