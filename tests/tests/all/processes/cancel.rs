//! Jobs that are cancelled while their hosts cannot hear of it.

use serde_json::{Value, json};

use super::clients::{Request, queued, runs, settled};
use super::fleet::Fleet;
use crate::world::{Api, end_all_of, of_job, until};

/// A tree of processes that would go on for longer than the test has patience.
const TREE: &str = "setsid sleep 300 & sleep 300";

#[test]
fn hosts_that_were_away_learn_that_their_job_was_cancelled() {
    let mut fleet = Fleet::start(2, &["stopped", "crashed", "down", "deaf"]);
    let [api, other] = fleet.apis().try_into().unwrap_or_else(|_| panic!("two servers"));
    let begun = ["stopped", "crashed"].map(|host| begin(&api, host));
    fleet.hosts[0].freeze();
    fleet.hosts[1].kill();
    fleet.hosts[2].kill();
    let waiting = queued(&api, &fleet, "down", 120);
    fleet.hosts[3].freeze();
    let unheard = Request::exec("deaf", &fleet.marks.command(), "deaf").waiting(0);
    let unheard = id(&unheard.ask(&api).unwrap().is(202).json());

    let [stopped, crashed] = begun;
    for job in [&stopped, &crashed, &waiting, &unheard] {
        api.cancel(job).is(200);
    }
    // What nobody has claimed is certain without its host.
    assert_eq!(state(&settled(&api, &waiting)), "cancelled");
    // Whoever took the request is not needed for the rest.
    fleet.servers[0].kill();
    for job in [&stopped, &crashed, &unheard] {
        let job = other.get(&format!("/v1/jobs/{job}")).is(200).json();
        assert_eq!(
            (&job["results"][0]["cancel_requested"], &job["results"][0]["final"]),
            (&true.into(), &false.into()),
            "{job}"
        );
    }
    fleet.hosts[0].resume();
    fleet.hosts[1].restart();
    fleet.hosts[2].restart();
    fleet.hosts[3].resume();
    // How the one that was interrupted would have ended, nobody knows.
    for (job, expected) in [
        (&stopped, "cancelled"),
        (&crashed, "lost"),
        (&waiting, "cancelled"),
        (&unheard, "cancelled"),
    ] {
        assert_eq!(state(&settled(&other, job)), expected);
    }
    for job in [&stopped, &crashed] {
        let left = of_job(job);
        end_all_of(job);
        assert!(left.is_empty(), "{left:?} outlived the cancel");
    }
    for host in ["stopped", "crashed", "down", "deaf"] {
        runs(&other, &fleet, host, &format!("after-{host}"));
    }
    assert_eq!([&waiting, &unheard].map(|job| fleet.marks.of(job)), [vec![], Vec::<String>::new()]);
}

/// Has `host` run a tree of processes, and returns its job once all of it is there.
fn begin(api: &Api, host: &str) -> String {
    let path = format!("/v1/node/{host}/command/shell?wait=0");
    let job = id(&api.post(&path, &json!({ "command": TREE, "timeout": 300 })).is(202).json());
    until("the tree is there", || (of_job(&job).len() >= 3).then_some(()));
    job
}

fn id(job: &Value) -> String {
    job["job_id"].as_str().expect("a text").to_owned()
}

fn state(job: &Value) -> &str {
    job["results"][0]["status"].as_str().expect("a text")
}
