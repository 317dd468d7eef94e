//! An API server that was stopped in the middle of whatever it did, and goes on.

use serde_json::json;

use super::clients::{Request, rows, settled};
use super::fleet::Fleet;

/// Longer than a host may be silent.
const PAUSE_S: u32 = 36;

#[test]
fn no_host_is_unreachable_because_a_server_was_paused() {
    let fleet = Fleet::start(2, &["a", "b", "c"]);
    let [paused, other] = fleet.apis().try_into().unwrap_or_else(|_| panic!("two servers"));
    let begun = Request::exec("_all", &fleet.marks.command(), "begun").waiting(60);
    let begun = begun.ask(&paused).unwrap().is(200).json()["job_id"].clone();

    fleet.servers[0].freeze();
    let body = json!({ "command": "sleep", "args": [PAUSE_S.to_string()], "timeout": 60 });
    let meanwhile = other.post("/v1/node/a/command/exec?wait=60", &body).is(200).json();
    assert_eq!(meanwhile["status"], "completed", "{meanwhile}");
    fleet.servers[0].resume();

    let request = Request::exec("_all", &fleet.marks.command(), "after").waiting(60);
    let after = request.ask(&paused).unwrap().is(200).json();
    assert_eq!(after["status"], "completed", "{after}");
    assert_eq!(rows(&after["results"]).count(), 3, "{after}");
    for job in [&begun, &meanwhile["job_id"], &after["job_id"]] {
        let job = job.as_str().unwrap();
        assert_eq!(settled(&paused, job)["results"], settled(&other, job)["results"]);
    }
    assert_eq!(fleet.marks.of(after["job_id"].as_str().unwrap()), ["a", "b", "c"]);
    assert!(fleet.servers[0].said().contains("silence is counted anew"), "it was not noticed");
}
