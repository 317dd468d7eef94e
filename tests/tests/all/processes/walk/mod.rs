//! Agents and servers that crash at every named point, by programs that were built to do so.

mod agents;
mod crash;
mod journal;
mod liar;
mod paths;
mod servers;

pub(super) use crash::stopping;

use std::time::Duration;

/// Output that does not fit into a report.
const LARGE: usize = 400_000;
/// Between two requests for what makes a process pass a point.
const AGAIN: Duration = Duration::from_millis(700);
