//! An API server that was stopped in the middle of whatever it did, and goes on.

use serde_json::json;

use super::clients::{Request, rows, settled};
use super::fleet::{Fleet, Host};
use crate::world::until;

/// Longer than a host may be silent.
const PAUSE_S: u32 = 36;

#[test]
fn no_host_is_unreachable_because_a_server_was_paused() {
    let fleet = Fleet::start(2, &["a", "b", "c"]);
    let [paused, other] = fleet.apis().try_into().unwrap_or_else(|_| panic!("two servers"));
    let request = |key| Request::exec("_all", &fleet.marks.command(), key);
    let begun = request("begun").waiting(60).ask(&paused).unwrap().is(200).json();

    // Nor because nobody could have heard them: two of them pause with it, and go on later.
    fleet.servers[0].freeze();
    fleet.hosts[1..].iter().for_each(Host::freeze);
    let body = json!({ "command": "sleep", "args": [PAUSE_S.to_string()], "timeout": 60 });
    let meanwhile = other.post("/v1/node/a/command/exec?wait=60", &body).is(200).json();
    assert_eq!(meanwhile["status"], "completed", "{meanwhile}");
    fleet.servers[0].resume();

    let after = request("after").waiting(0).ask(&paused).unwrap().is(202).json();
    assert!(rows(&after["results"]).all(|row| row["status"] != "unreachable"), "{after}");
    fleet.hosts[1..].iter().for_each(Host::resume);
    for (job, hosts) in [(&begun, 3), (&meanwhile, 1), (&after, 3)] {
        let job = job["job_id"].as_str().unwrap();
        let (here, there) = (settled(&paused, job), settled(&other, job));
        assert_eq!(here["results"], there["results"]);
        assert_eq!((&here["status"], rows(&here["results"]).count()), (&json!("completed"), hosts));
    }
    for job in [&begun, &after] {
        assert_eq!(fleet.marks.of(job["job_id"].as_str().unwrap()), ["a", "b", "c"]);
    }
    until("it says why", || {
        fleet.servers[0].said().contains("silence is counted anew").then_some(())
    });
}
