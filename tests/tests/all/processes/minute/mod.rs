//! A minute in which broker, API servers and agents are killed in turn, under a steady stream of jobs: every job settles for every host, and
//! no command runs twice or late.

mod stream;
mod trouble;

use std::collections::BTreeSet;
use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use osapi_core::clock::{Clock as _, SystemClock, Timestamp};
use serde_json::Value;

use super::clients::{rows, settled};
use super::fleet::{Fleet, Host};
use super::marks::Mark;
use crate::world::Api;
use stream::{Asked, Client};
use trouble::Trouble;

const MINUTE: Duration = Duration::from_secs(60);
const SERVERS: usize = 2;
const CLIENTS: usize = 8;
/// Names of hosts, each with its label.
const HOSTS: [(&str, &str); 10] = [
    ("db-01", "group=db.eu"),
    ("db-02", "group=db.eu"),
    ("db-03", "group=db.us"),
    ("db-04", "group=db.us"),
    ("db-05", "group=db"),
    ("web-01", "group=web.eu"),
    ("web-02", "group=web.eu"),
    ("web-03", "group=web.us"),
    ("web-04", "group=web.us"),
    ("web-05", "group=web"),
];
/// An agent looks at the deadline before it has the process made, which may take a while on a busy machine.
const MAKING: Duration = Duration::from_secs(1);
/// Names the seed to be used instead of one of the clock.
const SEED: &str = "OSAPI_TEST_SEED";

#[test]
fn a_minute_of_crashes_leaves_every_job_settled_and_no_command_run_twice_or_late() {
    let seed = seed();
    // Shown if the test fails, as are the crashes.
    eprintln!("{SEED}={seed}");
    let mut fleet = Fleet::start(SERVERS, &[]);
    fleet.hosts = HOSTS.iter().map(|(name, label)| fleet.join_as(name, label)).collect();
    fleet.hosts.iter_mut().for_each(Host::until_ready);
    let (apis, command, is_over) =
        (fleet.apis(), fleet.marks.long_command("0.5"), AtomicBool::new(false));
    let asked: Vec<Asked> = thread::scope(|scope| {
        let client = |n| {
            let client = Client::new(seed, n, &apis, &command);
            let is_over = &is_over;
            scope.spawn(move || client.ask_until(is_over))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let begin = SystemClock.boottime();
        let trouble = Trouble::new(seed, &mut fleet).make_until(begin + MINUTE);
        is_over.store(true, Ordering::Relaxed);
        trouble.was_enough();
        clients.into_iter().flat_map(|client| client.join().expect("it was answered")).collect()
    });
    let accepted: BTreeSet<_> = asked.iter().filter_map(|asked| asked.job.clone()).collect();
    none_ran_twice(&fleet.marks.starts());
    let ended: Vec<_> = asked.iter().filter_map(|asked| Ended::of(asked, &apis)).collect();
    assert_eq!(ended.len(), accepted.len(), "two requests became one job");
    // Whoever was asked for a job has read of it.
    for api in &apis {
        assert_eq!(api.jobs().into_iter().collect::<BTreeSet<_>>(), accepted);
    }
    let starts = fleet.marks.starts();
    assert!(starts.iter().all(|mark| accepted.contains(&mark.job)), "a job that nobody knows ran");
    ended.iter().for_each(|ended| ended.check(&starts));
    are_enough(&ended);
    for api in &apis {
        let health = api.get("/health/status").is(200).json();
        assert_eq!(health["store_rolled_back"], Value::Null, "{health}");
        let agents = api.get("/v1/agents").is(200).json();
        let agents = agents["agents"].as_array().expect("a list");
        assert!(agents.iter().all(|agent| agent["state"] != "cloned"), "{agents:?}");
    }
}

fn seed() -> u64 {
    env::var(SEED).map_or_else(
        |_| SystemClock.wall().as_unix_millis(),
        |seed| seed.parse().expect("the seed is a number"),
    )
}

/// Asserts that no host ran a job twice, whatever is shown of it.
fn none_ran_twice(starts: &[Mark]) {
    let mut ran = BTreeSet::new();
    for mark in starts {
        assert!(ran.insert((&mark.job, &mark.host)), "twice: {mark:?}");
    }
}

/// A job after the minute, once it is settled for good.
struct Ended<'a> {
    asked: &'a Asked,
    shown: Value,
}

impl<'a> Ended<'a> {
    /// As all servers show it.
    fn of(asked: &'a Asked, apis: &[Api]) -> Option<Self> {
        let job = asked.job.as_ref()?;
        let mut shown = apis.iter().map(|api| settled(api, job)).collect::<Vec<_>>();
        assert!(shown.iter().all(|other| other["results"] == shown[0]["results"]), "{shown:?}");
        Some(Self { asked, shown: shown.remove(0) })
    }

    /// Asserts that it is what the marks say.
    fn check(&self, starts: &[Mark]) {
        let Self { asked, shown } = self;
        let own: Vec<_> =
            starts.iter().filter(|mark| Some(&mark.job) == asked.job.as_ref()).collect();
        let deadline: Timestamp = serde_json::from_value(shown["not_after"].clone()).unwrap();
        for mark in &own {
            assert!(mark.at <= deadline + MAKING, "late: {mark:?}, {shown}");
        }
        let names: Vec<_> =
            rows(&shown["results"]).map(|row| row["hostname"].as_str().unwrap()).collect();
        match asked.hosts() {
            Some(hosts) => assert_eq!(names, hosts, "{shown}"),
            None => {
                assert_eq!(names.len(), 1, "{shown}");
                assert!(own.len() <= 1, "{own:?} of {shown}");
            }
        }
        assert!(own.iter().all(|mark| names.contains(&&*mark.host)), "{own:?} of {shown}");
        rows(&shown["results"]).for_each(|row| self.check_host(row, &own));
    }

    fn check_host(&self, row: &Value, own: &[&Mark]) {
        let marks = own.iter().filter(|mark| row["hostname"] == *mark.host).count();
        let shown = &self.shown;
        assert!(marks <= 1, "twice: {own:?} of {shown}");
        match (row["status"].as_str().unwrap(), &row["started_at"]) {
            ("succeeded", _) => assert_eq!(marks, 1, "{own:?} of {shown}"),
            ("expired" | "unreachable", _) | ("cancelled", Value::Null) => {
                assert_eq!(marks, 0, "{own:?} of {shown}");
            }
            // Ended on the way, perhaps before it could leave its mark.
            ("lost" | "cancelled", _) => {}
            _ => panic!("{shown}"),
        }
    }
}

/// Asserts that there was a stream of jobs, and that most of it was done.
fn are_enough(ended: &[Ended<'_>]) {
    let rows = || ended.iter().flat_map(|ended| rows(&ended.shown["results"]));
    let of = |status: &str| rows().filter(|row| row["status"] == status).count();
    let shown = ["succeeded", "lost", "expired", "cancelled", "unreachable"];
    let shown = shown.map(|status| (status, of(status)));
    eprintln!("{} jobs, {} executions: {shown:?}", ended.len(), rows().count());
    assert!(ended.len() >= 60, "{} jobs in a minute", ended.len());
    assert!(of("succeeded") > rows().count() / 2, "{shown:?}");
}
