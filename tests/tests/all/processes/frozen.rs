//! Agents that were stopped on their way from acceptance to start until the deadline was past, and go on.

use std::time::Duration;

use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::crash::{Place, Point};

use super::clients::{queued, runs, settled};
use super::fleet::Fleet;
use super::walk::stopping;
use crate::world::until;

/// Seconds in which a job starts, or never. Enough to come to every point.
const IN_TIME_S: u32 = 15;

const HOSTS: [(&str, Point); 5] = [
    ("accepted", Place::Accepted.after()),
    ("claiming", Place::ClaimRequest.after()),
    ("syncing", Place::Starting.before()),
    ("synced", Place::Starting.after()),
    ("starting", Place::Execution.before()),
];

#[test]
fn an_agent_that_is_stopped_anywhere_before_the_start_starts_nothing_late() {
    let names = HOSTS.map(|(name, _)| name);
    let mut fleet = Fleet::start(1, &names);
    let api = fleet.apis().remove(0);
    for (host, (_, point)) in fleet.hosts.iter_mut().zip(HOSTS) {
        host.stop();
        host.start_by(stopping("osapi-agent", point));
        host.until_ready();
    }
    let jobs = names.map(|name| queued(&api, &fleet, name, IN_TIME_S));
    let late = SystemClock.boottime() + Duration::from_secs((IN_TIME_S + 1).into());
    for (host, (_, point)) in fleet.hosts.iter_mut().zip(HOSTS) {
        host.until_says(&format!("stops at {point}"));
    }
    assert!(SystemClock.boottime() < late, "this machine is too slow to stop them in time");
    until("the deadline has passed", || (SystemClock.boottime() > late).then_some(()));
    for host in &fleet.hosts {
        host.resume();
    }
    for (name, job) in names.iter().zip(&jobs) {
        let job = settled(&api, job);
        assert_eq!(job["results"][0]["status"], "expired", "{job}");
        // Whatever it was about to do, it has done by then.
        runs(&api, &fleet, name, name);
    }
    assert!(jobs.iter().all(|job| fleet.marks.of(job).is_empty()), "{:?}", fleet.marks.all());
}
