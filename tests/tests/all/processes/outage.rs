//! A broker that stops for a while, or is killed, in the middle of jobs: meanwhile what needs it is refused, and then all goes on by itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use super::Chance;
use super::clients::{Request, rows, settled};
use super::fleet::Fleet;
use crate::world::{Api, until};

const HOSTS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 5;
const JOBS: usize = 100;
const SEED: u64 = 31_415;
/// An id that no job has.
const NOBODY: &str = "/v1/jobs/01890a5d-ac96-774b-bcce-b302099a8057";

/// Asks for one job after the other, again where it is refused for a while.
fn ask_for_jobs(apis: &[Api], command: &Value, client: usize, done: &AtomicUsize) {
    let mut chance = Chance::of(SEED + client as u64);
    for n in 0..JOBS / CLIENTS {
        let request = Request::exec("_all", command, &format!("{client}-{n}"));
        let told = request.waiting([0, 2][chance.below(2)]).ask_any(apis, &mut chance);
        assert_eq!(told.len(), 1, "{told:?}");
        done.fetch_add(1, Ordering::Relaxed);
    }
}

fn until_done(done: &AtomicUsize, jobs: usize) {
    until("more jobs are taken", || (done.load(Ordering::Relaxed) >= jobs).then_some(()));
}

/// A job cannot be made, and whether one is there cannot be said.
fn refuses_what_needs_the_broker(api: &Api, request: &Request) {
    until("a job is refused", || {
        let answer = request.waiting(0).ask(api).expect("the server is there");
        // What had begun before may have been written.
        let is_refused = answer.status == 503 && answer.json()["code"] != "outcome_unknown";
        is_refused.then(|| answer.refuses(503, "backend_unavailable"))
    });
    api.get(NOBODY).refuses(503, "backend_unavailable");
    api.get("/health").is(200);
}

/// Every server takes the request again, and it runs everywhere.
fn goes_on(apis: &[Api], request: &Request) {
    for api in apis {
        let answer = until("the job is taken", || {
            let answer = request.waiting(30).ask(api).expect("the server is there");
            (answer.status != 503).then_some(answer)
        });
        let job = answer.is(200).json()["job_id"].as_str().unwrap().to_owned();
        assert_eq!(rows(&settled(api, &job)["results"]).count(), HOSTS.len());
        api.get(NOBODY).refuses(404, "job_not_found");
    }
}

#[test]
fn what_needs_a_broker_that_is_away_is_refused_and_goes_on_by_itself() {
    let mut fleet = Fleet::start(2, &HOSTS);
    let (apis, command) = (fleet.apis(), fleet.marks.command());
    let done = AtomicUsize::new(0);
    let request = |key| Request::exec("_all", &command, key);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (apis, command, done) = (&apis, &command, &done);
            scope.spawn(move || ask_for_jobs(apis, command, client, done));
        }
        until_done(&done, JOBS / 4);
        fleet.broker.freeze();
        apis.iter().for_each(|api| refuses_what_needs_the_broker(api, &request("stopped")));
        fleet.broker.resume();
        goes_on(&apis, &request("resumed"));
        until_done(&done, JOBS / 2);
        fleet.broker.kill();
        for api in &apis {
            refuses_what_needs_the_broker(api, &request("killed"));
            until("its health says so", || {
                let health = api.get("/health/status").is(200).json();
                (health["status"] == "degraded" && health["store"] != "up").then_some(())
            });
        }
        fleet.broker.restart();
        goes_on(&apis, &request("restarted"));
    });
    assert_eq!(done.load(Ordering::Relaxed), JOBS);
    // The last one may have been made at the other server a moment ago.
    let jobs = until("every job is listed", || {
        let jobs = apis[0].jobs();
        (jobs.len() >= JOBS + 2).then_some(jobs)
    });
    let ended: Vec<_> = jobs.iter().map(|job| ended(&apis, job)).collect();
    let marks = fleet.marks.all();
    assert!(marks.keys().all(|job| jobs.contains(job)), "a job that nobody knows ran");
    let everywhere = jobs.iter().zip(&ended).filter(|(job, shown)| {
        let ran = marks.get(*job).cloned().unwrap_or_default();
        assert_eq!(with_status(shown, "succeeded"), ran, "{shown}");
        assert_eq!(ran.len() + with_status(shown, "expired").len(), HOSTS.len(), "{shown}");
        ran.len() == HOSTS.len()
    });
    assert!(everywhere.count() >= JOBS, "some of {} jobs ran nowhere: {ended:?}", jobs.len());
}

/// A job once it is settled for good, the same at all servers.
fn ended(apis: &[Api], job: &str) -> Value {
    let mut shown: Vec<_> = apis.iter().map(|api| settled(api, job)).collect();
    assert!(shown.iter().all(|other| other["results"] == shown[0]["results"]), "{shown:?}");
    shown.remove(0)
}

/// The hosts on which it stands like this.
fn with_status(shown: &Value, status: &str) -> Vec<String> {
    let rows = rows(&shown["results"]).filter(|row| row["status"] == status);
    rows.map(|row| row["hostname"].as_str().unwrap().to_owned()).collect()
}
