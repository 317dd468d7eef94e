//! Who is a member, who is no longer, and who only says so.

use std::fs;

use serde_json::{Value, json};

use super::clients::{Request, queued, rows, runs, settled};
use super::fleet::{Fleet, copy};
use crate::world::{Api, until};

/// What a server shows of an agent.
fn agent(api: &Api, name: &str) -> Value {
    api.get(&format!("/v1/agents/{name}")).is(200).json()
}

fn remove(api: &Api, name: &str) {
    api.send("DELETE", &format!("/v1/agents/{name}"), &[], b"").is(204);
}

#[test]
fn a_removed_agent_is_nobody_at_once_at_every_server_and_whatever_it_says() {
    let mut fleet = Fleet::start(2, &["a", "b"]);
    let [first, second] = fleet.apis().try_into().unwrap_or_else(|_| panic!("two servers"));
    let body = json!({ "command": "sleep", "args": ["60"], "timeout": 1 });
    let running = first.post("/v1/node/a/command/exec?wait=0", &body).is(202).json();
    let running = running["job_id"].as_str().unwrap();
    until("it runs", || {
        let job = second.get(&format!("/v1/jobs/{running}")).is(200).json();
        (job["status"] == "running").then_some(())
    });

    remove(&first, "a");
    second.get("/v1/targets/a").refuses(404, "host_not_found");
    for api in [&first, &second] {
        let all = Request::exec("_all", &fleet.marks.command(), "k").waiting(60);
        let all = all.ask(api).unwrap().is(200).json();
        assert_eq!(rows(&all["results"]).map(|row| &row["hostname"]).collect::<Vec<_>>(), ["b"]);
        assert_eq!(fleet.marks.of(all["job_id"].as_str().unwrap()), ["b"]);
    }
    let host = &mut fleet.hosts[0];
    host.until_says("was removed from the fleet");
    host.kill();
    host.start();
    host.until_says("was removed from the fleet");
    // What it was given had begun. It has been told since how that ended, by a key that counts for nothing.
    for api in [&second, &first] {
        let job = api.get(&format!("/v1/jobs/{running}?wait=60")).is(200).json();
        let row = &job["results"][0];
        assert_eq!((&row["status"], &row["final"]), (&json!("no_answer"), &json!(false)), "{job}");
        api.get("/v1/agents/a").refuses(404, "agent_not_found");
    }
}

#[test]
fn a_second_machine_with_a_used_join_file_is_refused_shown_and_told() {
    let mut fleet = Fleet::start(2, &["b"]);
    let file = fleet.invite("a");
    let mut first = fleet.host_at("a");
    first.join(&file);
    first.until_ready();
    fleet.hosts.push(first);
    let other = fleet.host_at("other");
    let ran = other.agent(&["--join".as_ref(), file.as_os_str()]).run().exits(125);
    ran.explains(&["cannot join as 'a'", "osapi agent remove a"]);
    assert!(!other.data_dir.join("agent").exists(), "something was made");

    for server in &fleet.servers {
        let (api, url) = (server.api(), server.url());
        let (shown, refused) = until("it is shown", || {
            let shown = agent(&api, "a");
            let refused = shown["refused_key"]["key_id"].as_str().map(ToOwned::to_owned);
            refused.map(|refused| (shown, refused))
        });
        assert_ne!(shown["key_id"], *refused);
        assert_eq!(shown["state"], "ready", "{shown}");
        let health = api.get("/health/status").is(200).json();
        assert_eq!(health["refused"], json!(["a"]), "{health}");
        // Whoever was refused is gone; who was let in says the same of itself.
        let own = fleet.hosts[1].agent(&["--show-key".as_ref()]).run().exits(0).quietly().out();
        let ran = fleet.osapi(["agent", "key", "a"]).env("OSAPI_URL", &url).run().exits(0);
        assert!(own.lines().count() == 4 && own.lines().all(|line| ran.out().contains(line)));
        ran.shows(&[&format!("refused      key {refused} at")]);
        let json = fleet.osapi(["agent", "key", "a", "--json"]).env("OSAPI_URL", &url);
        let json = json.run().exits(0).json();
        assert_eq!((&json["key"], &json["sealing_key"]), (&shown["key"], &shown["sealing_key"]));
        assert_eq!(json["refused_key"]["key_id"], *refused);
    }
    fleet.osapi(["agent", "key", "c"]).run().exits(125).explains(&["agent_not_found"]);
    for (n, api) in fleet.apis().iter().enumerate() {
        runs(api, &fleet, "a", &format!("k{n}"));
    }
}

#[test]
fn a_copied_host_is_noticed_and_given_nothing_more() {
    let mut fleet = Fleet::start(2, &["a"]);
    let apis = fleet.apis();
    runs(&apis[0], &fleet, "a", "before");
    fleet.hosts[0].stop();
    let mut copied = fleet.host_at("copied");
    copy(&fleet.hosts[0].data_dir, &copied.data_dir);
    fleet.hosts[0].restart();
    copied.start();
    fleet.hosts.push(copied);
    for api in &apis {
        until("it is shown", || (agent(api, "a")["state"] == "cloned").then_some(()));
        let health = api.get("/health/status").is(200).json();
        assert_eq!((&health["status"], &health["cloned"]), (&json!("degraded"), &json!(["a"])));
        let any = api.post("/v1/node/_any/command/exec", &fleet.marks.command());
        any.refuses(503, "no_live_host");
    }
    fleet.osapi(["agent", "list"]).run().exits(0).shows(&["cloned"]);
    fleet.osapi(["health", "status"]).run().exits(0).shows(&["degraded"]);
    for server in &fleet.servers {
        until("it is told", || server.said().contains("two agents run with one key").then_some(()));
    }
    let given = queued(&apis[0], &fleet, "a", 3);
    assert_eq!(settled(&apis[1], &given)["results"][0]["status"], "expired");
    assert!(fleet.marks.of(&given).is_empty(), "a copy ran it");

    // The way out.
    remove(&apis[0], "a");
    for host in &mut fleet.hosts {
        host.until_says("was removed from the fleet");
        host.kill();
    }
    fs::rename(&fleet.hosts[0].data_dir, fleet.machine.path("former")).unwrap();
    let mut anew = fleet.join("a");
    anew.until_ready();
    fleet.hosts.push(anew);
    for (n, api) in apis.iter().enumerate() {
        runs(api, &fleet, "a", &format!("after-{n}"));
    }
}

#[test]
fn a_wiped_host_never_runs_what_was_meant_for_the_one_before() {
    let mut fleet = Fleet::start(2, &["a"]);
    let apis = fleet.apis();
    fleet.hosts[0].kill();
    let meant = queued(&apis[0], &fleet, "a", 10);
    fs::remove_dir_all(&fleet.hosts[0].data_dir).unwrap();
    remove(&apis[1], "a");
    let mut anew = fleet.join("a");
    anew.until_ready();
    fleet.hosts.push(anew);
    for (n, api) in apis.iter().enumerate() {
        runs(api, &fleet, "a", &format!("k{n}"));
    }
    for api in &apis {
        assert_eq!(settled(api, &meant)["results"][0]["status"], "expired");
    }
    assert!(fleet.marks.of(&meant).is_empty(), "the new host ran it");
}
