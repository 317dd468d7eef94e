//! The bounds of values.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use osapi_core::job::Invalid;

use super::model::Config;
use super::text::shown_size;
use crate::duration::Written;

const SECOND: Duration = Duration::from_secs(1);
const TEN_MINUTES: Duration = Duration::from_secs(600);
const YEAR: Duration = Duration::from_secs(8_760 * 3_600);

/// Every value that is out of its bounds.
pub(super) fn violations(config: &Config) -> Vec<Invalid> {
    let Config { api, nats, store, jobs, agent, log: _ } = config;
    let server = &api.server;
    [
        number("api.server.port", server.port, 0..=65_535),
        number("api.server.max_connections", server.max_connections, 1..=65_536),
        duration("api.server.header_timeout", server.header_timeout, SECOND..=TEN_MINUTES),
        duration("api.server.body_timeout", server.body_timeout, SECOND..=TEN_MINUTES),
        duration("api.server.drain", server.drain, Duration::ZERO..=TEN_MINUTES),
        duration("store.retention", store.retention, 60 * SECOND..=YEAR),
        number("jobs.max_retained", jobs.max_retained, 1..=10_000_000),
        size("jobs.max_output_bytes", jobs.max_output_bytes, 64 << 20..=16 << 40),
        number("agent.slots", agent.slots, 1..=1_000),
        size("agent.output_kept", agent.output_kept, 4 << 10..=1 << 30),
        duration("agent.drain", agent.drain, Duration::ZERO..=TEN_MINUTES),
    ]
    .into_iter()
    .flatten()
    .chain(nats.violations())
    .collect()
}

fn number(path: &str, value: usize, range: RangeInclusive<usize>) -> Option<Invalid> {
    check(path, value, range, |number| *number)
}

fn size(path: &str, value: u64, range: RangeInclusive<u64>) -> Option<Invalid> {
    check(path, value, range, |bytes| shown_size(*bytes))
}

fn duration(path: &str, value: Duration, range: RangeInclusive<Duration>) -> Option<Invalid> {
    check(path, value, range, |duration| Written(*duration))
}

fn check<T: PartialOrd, S: Display>(
    path: &str,
    value: T,
    range: RangeInclusive<T>,
    show: impl Fn(&T) -> S,
) -> Option<Invalid> {
    let bound = || format!("{} to {}", show(range.start()), show(range.end()));
    (!range.contains(&value)).then(|| Invalid::new(path, bound(), show(&value)))
}
