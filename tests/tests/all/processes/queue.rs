//! Jobs that wait for a host that is down.

use super::clients::{Request, queued, runs, settled};
use super::fleet::Fleet;

#[test]
fn who_comes_back_in_time_runs_it_once_and_who_comes_later_never() {
    let mut fleet = Fleet::start(2, &["a", "b"]);
    let apis = fleet.apis();
    fleet.hosts[0].kill();
    // This one gets the orders, and reads them when it is too late.
    fleet.hosts[1].freeze();
    let in_time = queued(&apis[0], &fleet, "a", 120);
    let late = [queued(&apis[0], &fleet, "a", 2), queued(&apis[0], &fleet, "b", 2)];
    for job in &late {
        assert_eq!(settled(&apis[1], job)["results"][0]["status"], "expired");
    }
    // Whoever took the request is not needed for the rest.
    fleet.servers[0].kill();
    fleet.hosts[0].restart();
    fleet.hosts[1].resume();
    assert_eq!(settled(&apis[1], &in_time)["results"][0]["status"], "succeeded");
    fleet.servers[0].restart();
    for (n, api) in apis.iter().enumerate() {
        runs(api, &fleet, "a", &format!("a-{n}"));
        runs(api, &fleet, "b", &format!("b-{n}"));
        assert_eq!(settled(api, &in_time)["results"][0]["status"], "succeeded");
        for job in &late {
            assert_eq!(settled(api, job)["results"][0]["status"], "expired");
        }
    }
    assert_eq!(fleet.marks.of(&in_time), ["a"]);
    assert!(late.iter().all(|job| fleet.marks.of(job).is_empty()), "it ran too late");
    let any = Request::exec("_any", &fleet.marks.command(), "any");
    let any = Request { path: format!("{}?queue_for=60", any.path), ..any };
    any.ask(&apis[0]).unwrap().refuses(400, "invalid_parameter");
}
