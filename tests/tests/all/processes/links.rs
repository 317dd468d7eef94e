//! Links to the broker that are cut, slow, half open or nearly still, of agents and of servers, side by side in the same jobs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use osapi_core::clock::{Clock as _, SystemClock};
use osapi_tests::{Fault, Proxy};
use serde_json::Value;

use super::Chance;
use super::clients::rows;
use super::fleet::Fleet;
use super::ledger::Ledger;
use super::marks::Marks;
use crate::world::until;

const SLOW: Fault = Fault::Delay(Duration::from_millis(300));
/// What is wrong with the link of each host: on the way to the broker, and on the way back. One link is good.
const HOSTS: [(&str, Fault, Fault); 7] = [
    ("good", Fault::None, Fault::None),
    ("cut", Fault::Cut, Fault::Cut),
    ("slow", SLOW, SLOW),
    ("silent", Fault::Swallow, Fault::Swallow),
    ("unheard", Fault::Swallow, Fault::None),
    ("deaf", Fault::None, Fault::Swallow),
    ("still", Fault::Trickle, Fault::Trickle),
];
/// The same for servers. Whoever asks goes from one to the other.
const SERVERS: [(Fault, Fault); 5] = [
    (Fault::None, Fault::None),
    (SLOW, SLOW),
    (Fault::Swallow, Fault::Swallow),
    (Fault::None, Fault::Swallow),
    (Fault::Trickle, Fault::Trickle),
];
/// The same for those who ask: on the way to the server, and on the way back.
const CLIENT_FAULTS: [(Fault, Fault); 4] = [
    (Fault::Trickle, Fault::Trickle),
    (Fault::Swallow, Fault::None),
    (Fault::None, Fault::Swallow),
    (Fault::None, Fault::Trickle),
];
const CLIENTS_PER_LINK: usize = 8;
const CLIENTS: usize = 3;
/// How long links are bad: longer than anybody needs to notice it, and as long as a job waits for its start.
const BAD: Duration = Duration::from_secs(30);
/// Between two requests of a client, in milliseconds.
const PAUSE_MAX_MS: usize = 500;
const SEED: u64 = 20_261_128;

/// Asks for jobs until it is over, and cancels some.
fn ask_for_jobs(ledger: &Ledger<'_>, marks: &Marks, client: usize, is_over: &AtomicBool) {
    let mut chance = Chance::of(SEED + client as u64);
    while !is_over.load(Ordering::Relaxed) {
        let (target, more) = [
            ("_all", ""),
            ("_any", ""),
            ("_any", ""),
            ("_all", "&queue_for=15"),
            ("deaf,still", ""),
        ][chance.below(5)];
        let path = format!("/v1/node/{target}/command/exec?wait=0{more}");
        let job = ledger.ask(&path, &marks.command(), None, &mut chance);
        pause(Duration::from_millis(chance.below(PAUSE_MAX_MS) as u64));
        if chance.below(6) == 0 {
            ledger.cancel(&job, None, &mut chance);
        }
    }
}

fn pause(time: Duration) {
    let end = SystemClock.boottime() + time;
    until("it is time", || (SystemClock.boottime() >= end).then_some(()));
}

/// Waits until a job that this server takes runs on every host.
fn runs_everywhere(ledger: &Ledger<'_>, fleet: &Fleet, server: usize, chance: &mut Chance) {
    let (api, command) = (&fleet.apis()[server], fleet.marks.command());
    until("a job runs everywhere", || {
        let path = "/v1/node/_all/command/exec?wait=0";
        let job = ledger.ask(path, &command, Some(server), chance);
        let shown = api.get(&format!("/v1/jobs/{job}?wait=5"));
        let shown: Value = (shown.status == 200).then(|| shown.json())?;
        let ran = rows(&shown["results"]).filter(|row| row["status"] == "succeeded");
        (ran.count() == HOSTS.len()).then_some(())
    });
}

#[test]
fn bad_links_start_nothing_twice_or_late_and_all_goes_on_once_they_are_good() {
    let mut fleet = Fleet::start(1, &[HOSTS[0].0]);
    let broker = fleet.broker.address();
    let links: Vec<_> = HOSTS[1..].iter().map(|_| Proxy::start(&broker)).collect();
    for ((name, ..), link) in HOSTS[1..].iter().zip(&links) {
        fleet.add_host_through(name, &link.url());
    }
    let server_links: Vec<_> = SERVERS[1..].iter().map(|_| Proxy::start(&broker)).collect();
    server_links.iter().for_each(|link| fleet.add_server_through(&link.url()));
    let (apis, is_over) = (fleet.apis(), AtomicBool::new(false));
    let (ledger, mut chance) = (Ledger::new(&apis), Chance::of(SEED));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (ledger, marks, is_over) = (&ledger, &fleet.marks, &is_over);
            scope.spawn(move || ask_for_jobs(ledger, marks, client, is_over));
        }
        let over = Over(&is_over);
        let faults = HOSTS[1..].iter().map(|(_, to_broker, back)| (*to_broker, *back));
        for (link, (to_broker, back)) in links.iter().zip(faults) {
            link.set(to_broker, back);
        }
        for (link, (to_broker, back)) in server_links.iter().zip(&SERVERS[1..]) {
            link.set(*to_broker, *back);
        }
        pause(BAD);
        links.iter().chain(&server_links).for_each(Proxy::heal);
        let begin = SystemClock.boottime();
        for server in 0..SERVERS.len() {
            runs_everywhere(&ledger, &fleet, server, &mut chance);
        }
        eprintln!("all goes on after {:.1?}", SystemClock.boottime().saturating_sub(begin));
        drop(over);
    });
    let shown = ledger.check(|| fleet.marks.starts());
    let rows = || shown.iter().flat_map(|job| rows(&job["results"]));
    let of = |status: &str| rows().filter(|row| row["status"] == status).count();
    let counts = ["succeeded", "expired", "unreachable", "cancelled"].map(|name| (name, of(name)));
    eprintln!("{} jobs, {} executions: {counts:?}", shown.len(), rows().count());
    assert!(of("succeeded") > 0 && of("expired") > 0, "{counts:?}");
}

#[test]
fn clients_on_bad_links_hold_up_nobody_and_find_their_jobs_once_they_are_good() {
    let fleet = Fleet::start(1, &["a"]);
    let server = &fleet.servers[0];
    let links: Vec<_> =
        CLIENT_FAULTS.iter().map(|fault| (Proxy::start(server.address()), *fault)).collect();
    let bad = links.iter().map(|(link, _)| server.api_at(&link.address()));
    let apis: Vec<_> = std::iter::once(server.api()).chain(bad).collect();
    let ledger = Ledger::new(&apis);
    let path = "/v1/node/a/command/exec?wait=0";
    links.iter().for_each(|(link, (to_server, back))| link.set(*to_server, *back));
    thread::scope(|scope| {
        for place in 1..apis.len() {
            for client in 0..CLIENTS_PER_LINK {
                let (ledger, marks) = (&ledger, &fleet.marks);
                let mut chance = Chance::of(SEED + (place * CLIENTS_PER_LINK + client) as u64);
                scope.spawn(move || {
                    ledger.ask(path, &marks.command(), Some(place), &mut chance);
                });
            }
        }
        // What reached the server has become jobs, of which those who asked hear nothing.
        until("the requests of half open links are there", || {
            (apis[0].jobs().len() >= CLIENTS_PER_LINK).then_some(())
        });
        for _ in 0..2 * CLIENTS_PER_LINK {
            let job = ledger.ask(path, &fleet.marks.command(), Some(0), &mut Chance::of(SEED));
            let shown = apis[0].get(&format!("/v1/jobs/{job}?wait=60")).is(200).json();
            assert_eq!(shown["status"], "completed", "{shown}");
        }
        // Who still waits finds the connection closed, and asks again.
        links.iter().for_each(|(link, _)| link.set(Fault::Cut, Fault::Cut));
        links.iter().for_each(|(link, _)| link.heal());
    });
    let shown = ledger.check(|| fleet.marks.starts());
    let asked = (CLIENT_FAULTS.len() + 2) * CLIENTS_PER_LINK;
    assert_eq!(shown.len(), asked, "each request is one job");
}

/// Tells clients to end, also if the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
