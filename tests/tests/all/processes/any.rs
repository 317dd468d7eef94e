//! `_any` is run by one host, whatever happens to agents meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Chance;
use super::clients::{Request, rows, settled};
use super::fleet::{Fleet, Host};
use crate::world::{Api, until};

const HOSTS: [&str; 5] = ["a", "b", "c", "d", "e"];
const CLIENTS: usize = 8;
const JOBS: usize = 200;
const SEED: u64 = 8_222;
/// Agents that are stopped at the same time. The others are there for everybody.
const FROZEN_MAX: usize = 2;

/// Asks for one job after the other, and returns what they became.
fn ask_for_jobs(apis: &[Api], fleet: &Fleet, client: usize, done: &AtomicUsize) -> Vec<String> {
    let mut chance = Chance::of(SEED + client as u64);
    let ask = |n| {
        let request = Request::exec("_any", &fleet.marks.command(), &format!("{client}-{n}"));
        let told = request.waiting([0, 2][chance.below(2)]).ask_any(apis, &mut chance);
        done.fetch_add(1, Ordering::Relaxed);
        assert_eq!(told.len(), 1, "{told:?}");
        told.into_iter().next().unwrap()
    };
    (0..JOBS / CLIENTS).map(ask).collect()
}

/// Kills agents, stops them and lets them go on, as long as there are clients.
fn disturb(hosts: &mut [Host], done: &AtomicUsize) {
    let mut chance = Chance::of(SEED);
    let mut frozen = Vec::new();
    loop {
        let (from, more) = (done.load(Ordering::Relaxed), 1 + chance.below(6));
        let now = until("more requests are answered", || {
            let now = done.load(Ordering::Relaxed);
            (now >= (from + more).min(JOBS)).then_some(now)
        });
        if now == JOBS {
            break;
        }
        let place = chance.below(hosts.len());
        if let Some(at) = frozen.iter().position(|frozen| *frozen == place) {
            frozen.remove(at);
            hosts[place].resume();
        } else if frozen.len() < FROZEN_MAX && chance.below(2) == 0 {
            frozen.push(place);
            hosts[place].freeze();
        } else {
            hosts[place].kill();
            hosts[place].restart();
        }
    }
    frozen.into_iter().for_each(|place| hosts[place].resume());
}

#[test]
fn one_host_runs_it_while_agents_are_killed_and_stopped() {
    let mut fleet = Fleet::start(2, &HOSTS);
    let mut hosts = std::mem::take(&mut fleet.hosts);
    let (apis, done) = (fleet.apis(), AtomicUsize::new(0));
    let jobs: Vec<_> = thread::scope(|scope| {
        let client = |n| {
            let (apis, fleet, done) = (&apis, &fleet, &done);
            scope.spawn(move || ask_for_jobs(apis, fleet, n, done))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        disturb(&mut hosts, &done);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(jobs.len(), JOBS);
    let ended: Vec<_> = jobs.iter().map(|job| (job, settled(&apis[0], job))).collect();
    let (marks, mut succeeded) = (fleet.marks.all(), 0);
    assert!(marks.keys().all(|job| jobs.contains(job)), "a job that nobody knows ran");
    for (job, shown) in ended {
        let ran = marks.get(job).cloned().unwrap_or_default();
        assert!(ran.len() <= 1, "{ran:?} ran {shown}");
        assert_eq!(rows(&shown["results"]).count(), 1, "{shown}");
        match shown["results"][0]["status"].as_str().unwrap() {
            "succeeded" => {
                assert_eq!(ran.len(), 1, "{shown}");
                succeeded += 1;
            }
            // Whoever ran it was killed: what it began is there, or not.
            "lost" => {}
            "expired" => assert!(ran.is_empty(), "{ran:?} ran {shown}"),
            _ => panic!("{shown}"),
        }
    }
    assert!(succeeded > JOBS / 2, "{succeeded} of {JOBS}: three agents were always there");
}
