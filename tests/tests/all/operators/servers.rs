//! API servers: how they begin, how they end, and what they refuse.

use std::fs;
use std::net::TcpListener;

use osapi_tests::NatsServer;
use serde_json::json;

use super::{Site, admin, server};
use crate::processes::fleet::address_in;
use crate::world::{Api, Daemon, Invocation, Machine, built, until};

#[test]
fn what_a_server_cannot_work_with_is_said_with_the_way_out() {
    let (fleet, other) = (Site::start(), Site::start());
    let machine = &fleet.machine();
    let url = fleet.broker_url();
    let yaml = "nats/server/server.yaml";
    let run = |change: &dyn Fn(Invocation) -> Invocation| {
        change(server(machine, yaml).env("OSAPI_NATS_SERVERS", &url)).run().prints("")
    };
    let foreign = other.machine().tmp().join("nats/server");
    let path = |name: &str| foreign.join(name).to_str().unwrap().to_owned();
    run(&|run| run.env("OSAPI_NATS_CREDENTIALS", path("server.creds"))).exits(125).explains(&[
        &url,
        "refuses the login",
        "check that the credentials",
    ]);
    run(&|run| run.env("OSAPI_API_SERVER_KEYS", path("keys")))
        .exits(125)
        .explains(&["store belongs to another fleet", "nats.namespace"]);
    run(&|run| run.env("OSAPI_API_SERVER_KEYS", "none"))
        .exits(2)
        .explains(&["there are no keys in 'none'", "osapi nats config"]);
    run(&|run| run.env("OSAPI_NATS_NAMESPACE", "my fleet")).exits(2).explains(&[
        "OSAPI_NATS_NAMESPACE",
        "my fleet",
        "1 to 32 letters",
    ]);
    run(&|run| run.env("OSAPI_NATS_REPLICAS", "3")).exits(125).explains(&["replicas"]);
    run(&|run| run.env("OSAPI_NATS_CREDENTIALS", "none")).exits(2).explains(&["none"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(&|run| run.args(["--listen", &address])).exits(125).explains(&[&address, "port"]);
    server(machine, "none.yaml").run().exits(2).prints("").explains(&["none.yaml"]);
    let bare = machine.run(&built("osapi-server"), ["--data-dir"]).args([machine.data_dir()]).run();
    bare.exits(2).prints("").explains(&["nats.servers"]);
    fleet.api().get("/v1/agents").is(200);
}

#[test]
fn a_broker_without_jetstream_is_refused() {
    let machine = Machine::new();
    admin(&machine, &["nats", "config", "--out", "nats"]).run().exits(0);
    let conf = fs::read_to_string(machine.tmp().join("nats/nats.conf")).unwrap();
    let begin = conf.find("jetstream {").unwrap();
    let end = begin + conf[begin..].find('}').unwrap() + 1;
    let without = format!("{}{}", &conf[..begin], &conf[end..]);
    let broker = NatsServer::with(&without);
    let run = server(&machine, "nats/server/server.yaml").env("OSAPI_NATS_SERVERS", broker.url());
    run.run().exits(125).prints("").explains(&["JetStream is off"]);
}

#[test]
fn a_server_waits_for_its_broker_and_says_why_once() {
    let mut fleet = Site::start();
    fleet.broker().kill();
    let url = fleet.broker_url();
    let start =
        || server(fleet.machine(), "nats/server/server.yaml").env("OSAPI_NATS_SERVERS", &url);
    let (status, said) = Daemon::until(start(), "cannot be reached").stop();
    assert!(status.success() && said.contains("stopped before NATS was reached"), "{said}");
    let mut waiting = Daemon::until(start(), "cannot be reached");
    fleet.broker().restart();
    waiting.until_says("ready: the store was read");
    let (status, said) = waiting.stop();
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("cannot be reached").count(), 1, "{said}");
}

#[test]
fn who_waits_when_a_server_stops_is_answered_and_another_goes_on() {
    let fleet = Site::start();
    let _agent = fleet.join("web-01");
    let second = server(fleet.machine(), "nats/server/server.yaml");
    let second = second.env("OSAPI_NATS_SERVERS", fleet.broker_url());
    let mut second = Daemon::until(second, "ready: the store was read");
    let said = second.until_says("listens on ");
    let second_api = Api::new(&address_in(&said), &fleet.token);
    until("the second server knows the agent", || {
        let agents = second_api.get("/v1/agents").is(200).json();
        (agents["agents"][0]["state"] == "ready").then_some(())
    });
    let flag = fleet.machine().path("go on");
    let script = format!("while [ ! -e '{}' ]; do sleep 0.1; done; echo done", flag.display());
    let command = json!({ "command": script });
    let asking = std::thread::spawn({
        let api = second_api.clone();
        move || api.post("/v1/node/web-01/command/shell", &command)
    });
    let job = until("the job runs", || {
        let list = fleet.api().get("/v1/jobs").is(200).json();
        let job = list["jobs"].as_array()?.first()?.clone();
        (job["status"] == "running").then(|| job["job_id"].as_str().map(ToOwned::to_owned))?
    });
    let (status, said) = second.stop();
    assert!(status.success() && said.contains("every request was answered"), "{said}");
    let answer = asking.join().unwrap();
    assert_eq!(answer.json()["job_id"], job.as_str(), "{answer}");
    assert_ne!(answer.json()["results"][0]["status"], "succeeded", "{answer}");
    fs::write(flag, "").unwrap();
    let outcome = fleet.api().get(&format!("/v1/jobs/{job}?wait=60")).is(200);
    assert_eq!(outcome.json()["results"][0]["stdout"], "done\n", "{outcome}");
}
