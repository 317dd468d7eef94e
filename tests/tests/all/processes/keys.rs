//! Keys that are changed while a fleet works.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use super::Chance;
use super::clients::{Request, queued, rows, runs, settled};
use super::fleet::Fleet;
use crate::world::{Api, until};

const CLIENTS: usize = 3;
const ROTATIONS: usize = 3;

/// A key, as a server shows it.
fn key(api: &Api, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
    let keys = api.get("/v1/keys").is(200).json()["keys"].take();
    rows(&keys).find(|key| is_it(key)).cloned()
}

/// The id of the job key with which a server signs.
fn job_key(api: &Api) -> Option<String> {
    let key = key(api, |key| key["signing"] == true)?;
    key["key_id"].as_str().map(ToOwned::to_owned)
}

fn open_jobs(api: &Api, id: &str) -> u64 {
    let key = key(api, |key| key["key_id"] == *id).unwrap();
    key["open_jobs"].as_u64().unwrap()
}

/// Puts another job key to use at every server, and returns the id of the former one.
fn rotate(fleet: &Fleet) -> String {
    let apis = fleet.apis();
    let former = job_key(&apis[0]).unwrap();
    fleet.osapi(["key", "rotate"]).run().exits(0).shows(&[&former, "osapi key retire"]);
    fleet.hand_out_job_key();
    for api in &apis {
        until("it signs with the new key", || {
            job_key(api).is_some_and(|key| key != former).then_some(())
        });
    }
    former
}

fn retire(fleet: &Fleet, id: &str, ends: &str) {
    fleet.osapi(["key", "retire", id, "--yes"]).run().exits(0).shows(&[ends]);
    for api in fleet.apis() {
        until("it is gone", || key(&api, |key| key["key_id"] == *id).is_none().then_some(()));
    }
}

/// How far the clients are.
#[derive(Default)]
struct Progress {
    answered: [AtomicUsize; CLIENTS],
    is_over: AtomicBool,
}

impl Progress {
    /// Waits until whatever was under way is answered: it may have been ordered under the key that was in use when it came.
    fn passes(&self) {
        let answered = || self.answered.each_ref().map(|count| count.load(Ordering::Relaxed));
        let before = answered();
        until("every client was answered twice", || {
            let mut both = answered().into_iter().zip(before);
            both.all(|(now, before)| now >= before + 2).then_some(())
        });
    }
}

/// Tells clients to end, also if the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks for one job after the other until it is over, and returns what they became.
fn ask_for_jobs(fleet: &Fleet, client: usize, progress: &Progress) -> Vec<String> {
    let (apis, mut chance, mut jobs) = (fleet.apis(), Chance::of(client as u64), Vec::new());
    while !progress.is_over.load(Ordering::Relaxed) {
        let target = ["_all", "_any", "a"][chance.below(3)];
        let key = format!("{client}-{}", jobs.len());
        let request = Request::exec(target, &fleet.marks.command(), &key).waiting(60);
        jobs.extend(request.ask_any(&apis, &mut chance));
        progress.answered[client].store(jobs.len(), Ordering::Relaxed);
    }
    jobs
}

#[test]
fn nothing_is_lost_while_job_keys_are_rotated_and_retired() {
    let fleet = Fleet::start(2, &["a", "b", "c"]);
    let (apis, progress) = (fleet.apis(), Progress::default());
    let jobs: Vec<_> = thread::scope(|scope| {
        let client = |n| {
            let (fleet, progress) = (&fleet, &progress);
            scope.spawn(move || ask_for_jobs(fleet, n, progress))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let over = Over(&progress.is_over);
        for _ in 0..ROTATIONS {
            let former = rotate(&fleet);
            progress.passes();
            for api in &apis {
                until("nothing is left of it", || (open_jobs(api, &former) == 0).then_some(()));
            }
            retire(&fleet, &former, "0 open jobs");
        }
        drop(over);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(jobs.len() >= CLIENTS * ROTATIONS, "there was nothing to lose");
    for job in &jobs {
        let shown = settled(&apis[0], job);
        let hosts = rows(&shown["results"]).map(|row| row["hostname"].as_str().unwrap());
        assert_eq!(shown["status"], "completed", "{shown}");
        assert_eq!(fleet.marks.of(job), hosts.collect::<Vec<_>>(), "{shown}");
    }
}

#[test]
fn a_key_that_is_retired_ends_what_was_ordered_under_it() {
    let mut fleet = Fleet::start(2, &["a", "b"]);
    let apis = fleet.apis();
    fleet.hosts[0].kill();
    let job = queued(&apis[0], &fleet, "a", 3_600);
    let former = rotate(&fleet);
    fleet.osapi(["key", "retire", &former]).run().exits(2).explains(&["--yes"]);
    for api in &apis {
        until("it is known", || (open_jobs(api, &former) == 1).then_some(()));
    }
    retire(&fleet, &former, "1 open job ordered under it will be cancelled");
    for api in &apis {
        assert_eq!(settled(api, &job)["results"][0]["status"], "cancelled");
    }
    fleet.hosts[0].restart();
    for (n, api) in apis.iter().enumerate() {
        runs(api, &fleet, "a", &format!("a-{n}"));
    }
    assert!(fleet.marks.of(&job).is_empty(), "it ran under a key that was retired");
}

#[test]
fn tokens_are_refused_at_every_server_once_the_key_that_made_them_is_retired() {
    let fleet = Fleet::start(2, &["a"]);
    let apis = fleet.apis();
    let former = key(&apis[0], |key| key["use"] == "token").unwrap();
    let former = former["key_id"].as_str().unwrap();
    fleet.osapi(["key", "rotate", "--use", "token"]).run().exits(0).shows(&[former]);
    let token = ["token", "generate", "-r", "admin", "-u", "admin"];
    let token = fleet.machine.osapi(token).run().exits(0).line();
    for (n, api) in apis.iter().enumerate() {
        runs(api, &fleet, "a", &format!("old-{n}"));
        until("the new one is known", || {
            (api.with_token(&token).get("/v1/jobs").status == 200).then_some(())
        });
    }
    let retire = fleet.osapi(["key", "retire", former, "--yes"]);
    retire.env("OSAPI_TOKEN", &token).run().exits(0);
    for (n, api) in apis.iter().enumerate() {
        until("the old one is refused", || (api.get("/v1/jobs").status != 200).then_some(()));
        api.get("/v1/jobs").refuses(401, "token_unknown_key");
        runs(&api.with_token(&token), &fleet, "a", &format!("new-{n}"));
    }
}
