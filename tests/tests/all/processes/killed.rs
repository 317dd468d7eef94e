//! API servers that are killed at any moment cost nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use super::Chance;
use super::clients::{Request, rows, settled};
use super::fleet::{Fleet, Server};
use crate::world::{Api, until};

const HOSTS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 4;
const REQUESTS: usize = 10;
const SEED: u64 = 20_261_125;

/// A request, and every job that the client was told of.
type Asked = (Request, BTreeSet<String>);

/// One client after the other asks whichever server it meets.
fn ask_for_jobs(apis: &[Api], command: &Value, client: usize, done: &AtomicUsize) -> Vec<Asked> {
    let mut chance = Chance::of(SEED + client as u64);
    let ask = |n| {
        let target = ["_all", "a", "b", "a,c"][chance.below(4)];
        let request = Request::exec(target, command, &format!("{client}-{n}"));
        // Some leave at once, others still wait when their server goes.
        let told = request.waiting([0, 60][chance.below(2)]).ask_any(apis, &mut chance);
        done.fetch_add(1, Ordering::Relaxed);
        (request, told)
    };
    (0..REQUESTS).map(ask).collect()
}

/// Kills one server after the other, as long as there are clients.
fn kill_servers(servers: &mut [Server], done: &AtomicUsize) {
    let mut chance = Chance::of(SEED);
    let all = CLIENTS * REQUESTS;
    loop {
        let (from, more) = (done.load(Ordering::Relaxed), 1 + chance.below(3));
        let now = until("more requests are answered", || {
            let now = done.load(Ordering::Relaxed);
            (now >= (from + more).min(all)).then_some(now)
        });
        if now == all {
            return;
        }
        let server = &mut servers[chance.below(HOSTS.len())];
        server.kill();
        server.restart();
    }
}

#[test]
fn a_server_that_is_killed_at_any_moment_costs_nothing() {
    let mut fleet = Fleet::start(3, &HOSTS);
    let (apis, command, done) = (fleet.apis(), fleet.marks.command(), AtomicUsize::new(0));
    let asked: Vec<Asked> = thread::scope(|scope| {
        let client = |n| {
            let (apis, command, done) = (&apis, &command, &done);
            scope.spawn(move || ask_for_jobs(apis, command, n, done))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        kill_servers(&mut fleet.servers, &done);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let jobs: BTreeSet<_> = asked.iter().map(|asked| check(&fleet, asked)).collect();
    assert_eq!(jobs.len(), CLIENTS * REQUESTS, "two requests became one job");
    for api in &apis {
        assert_eq!(api.jobs().into_iter().collect::<BTreeSet<_>>(), jobs);
    }
    assert!(fleet.marks.all().keys().all(|job| jobs.contains(job)), "a job that nobody knows ran");
}

/// Asserts that every server knows the job of this request, the same everywhere, and that each host ran it once.
fn check(fleet: &Fleet, (request, told): &Asked) -> String {
    let mut all = Vec::new();
    for api in fleet.apis() {
        let again = request.waiting(60).ask(&api).unwrap().is(200).json();
        let job = again["job_id"].as_str().unwrap().to_owned();
        assert!(told.iter().all(|told| *told == job), "{told:?} were told of as {job}");
        all.push((job.clone(), settled(&api, &job)["results"].clone()));
    }
    let (job, results) = all.pop().unwrap();
    assert!(all.iter().all(|other| *other == (job.clone(), results.clone())), "{all:?}, {results}");
    let ran: Vec<_> = rows(&results).map(|row| row["hostname"].as_str().unwrap()).collect();
    assert!(rows(&results).all(|row| row["status"] == "succeeded"), "{results}");
    assert_eq!(fleet.marks.of(&job), ran, "{results}");
    job
}

#[test]
fn who_waited_at_a_server_that_is_killed_finds_the_job_at_another_one() {
    let mut fleet = Fleet::start(2, &["a"]);
    let [first, second] = fleet.apis().try_into().unwrap_or_else(|_| panic!("two servers"));
    let gate = fleet.machine.path("gate");
    let script = format!("until [ -e {} ]; do sleep 0.05; done; echo open", gate.display());
    let body = serde_json::json!({ "command": script });
    let request = Request { path: "/v1/node/a/command/shell".into(), body, key: "k".into() };
    let job = thread::scope(|scope| {
        let waits = scope.spawn(|| request.waiting(60).ask(&first));
        let job = until("the command runs", || {
            let jobs = second.get("/v1/jobs?status=running").is(200).json();
            jobs["jobs"][0]["job_id"].as_str().map(ToOwned::to_owned)
        });
        fleet.servers[0].kill();
        assert!(waits.join().unwrap().is_none(), "an answer from a server that was killed");
        job
    });
    std::fs::write(gate, "").unwrap();
    let by_id = settled(&second, &job);
    assert_eq!(by_id["results"][0]["stdout"], "open\n", "{by_id}");
    fleet.servers[0].restart();
    for api in [second, first] {
        let by_key = request.waiting(60).ask(&api).unwrap().is(200).json();
        assert_eq!((&by_key["job_id"], &by_key["results"]), (&by_id["job_id"], &by_id["results"]));
        assert_eq!(settled(&api, &job)["results"], by_id["results"]);
    }
}

#[test]
fn the_only_server_finishes_what_it_began_once_it_is_started_again() {
    let mut fleet = Fleet::start(1, &["a", "b"]);
    let api = fleet.servers[0].api();
    // Nobody takes anything while the server is there.
    fleet.hosts.iter().for_each(|host| host.freeze());
    let request = Request::exec("_all", &fleet.marks.command(), "k").waiting(0);
    let job = request.ask(&api).unwrap().is(202).json()["job_id"].as_str().unwrap().to_owned();
    fleet.servers[0].kill();
    fleet.hosts.iter_mut().for_each(|host| host.kill());
    fleet.hosts.iter_mut().for_each(|host| host.start());
    fleet.servers[0].restart();
    let results = settled(&api, &job)["results"].clone();
    assert!(rows(&results).all(|row| row["status"] == "succeeded"), "{results}");
    assert_eq!(fleet.marks.of(&job), ["a", "b"]);
    assert_eq!(request.ask(&api).unwrap().json()["job_id"], *job);
}
