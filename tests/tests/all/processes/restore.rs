//! A store that is put back as it was some time ago.

use std::fs;

use serde_json::Value;

use super::clients::{queued, runs, settled};
use super::fleet::{Fleet, copy};
use crate::world::{Api, until};

fn health(api: &Api) -> Value {
    api.get("/health/status").is(200).json()
}

fn until_healthy(api: &Api) {
    until("it is healthy", || (health(api)["status"] == "ok").then_some(()));
}

#[test]
fn nothing_is_sent_until_a_person_accepts_a_store_that_went_back_and_nothing_runs_again() {
    let mut fleet = Fleet::start(2, &["a", "b", "c"]);
    let apis = fleet.apis();
    runs(&apis[0], &fleet, "a", "before");
    // Open in the copy: one that will have run when the copy is put back, and one that will not.
    fleet.hosts[1..].iter_mut().for_each(|host| host.kill());
    let [has_run, has_not] = ["b", "c"].map(|host| queued(&apis[0], &fleet, host, 3_600));

    let (store, copied) = (fleet.broker.path("store"), fleet.broker.path("copied"));
    fleet.broker.kill();
    copy(&store, &copied);
    fleet.broker.restart();
    apis.iter().for_each(until_healthy);
    fleet.hosts[1].restart();
    assert_eq!(settled(&apis[0], &has_run)["results"][0]["status"], "succeeded");
    for (n, api) in apis.iter().enumerate() {
        runs(api, &fleet, "a", &format!("a-{n}"));
        runs(api, &fleet, "b", &format!("b-{n}"));
    }
    let ran = fleet.marks.all();

    fleet.broker.kill();
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&copied, &store).unwrap();
    fleet.broker.restart();
    for api in &apis {
        until("it is noticed", || health(api)["store_rolled_back"].is_string().then_some(()));
        // It reads everything anew first.
        until("it refuses for that", || {
            let given = api.post("/v1/node/a/command/exec", &fleet.marks.command());
            assert_eq!(given.status, 503, "{given}");
            (given.json()["code"] == "store_rolled_back").then_some(())
        });
    }
    // Who comes back now is given nothing.
    fleet.hosts[2].restart();
    let refused = fleet.osapi(["exec", "-T", "c", "--", "true"]).run().exits(125);
    refused.explains(&["store_rolled_back", "accept-restore"]);
    assert_eq!(fleet.marks.all(), ran);

    fleet.osapi(["store", "accept-restore", "--yes"]).run().exits(0);
    fleet.hand_out_job_key();
    for (n, api) in apis.iter().enumerate() {
        until_healthy(api);
        // What the store has lost of it, its host says again.
        for (job, status) in [(&has_run, "succeeded"), (&has_not, "cancelled")] {
            let shown = settled(api, job);
            assert_eq!(shown["results"][0]["status"], status, "{shown}");
        }
        for host in ["a", "b", "c"] {
            runs(api, &fleet, host, &format!("after-{host}-{n}"));
        }
    }
    let marks = fleet.marks.all();
    assert!(marks.values().all(|hosts| hosts.len() == 1), "something ran again: {marks:?}");
    assert!(ran.keys().all(|job| marks.contains_key(job)) && !marks.contains_key(&has_not));
}
