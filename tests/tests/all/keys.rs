//! The life of keys, through the program, while a server runs.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::world::{Machine, Server, until};

/// The keys of one use, by their ids, and which of them the server signs with.
fn keys(machine: &Machine, usage: &str) -> Vec<(String, bool)> {
    let list = machine.osapi(["key", "list", "--json"]).run().exits(0).json();
    let of = |key: &&Value| key["use"] == usage;
    let id = |key: &Value| (key["key_id"].as_str().unwrap().to_owned(), key["signing"] == true);
    list["keys"].as_array().unwrap().iter().filter(of).map(id).collect()
}

fn only_key(machine: &Machine, usage: &str) -> String {
    let keys = keys(machine, usage);
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].0.clone()
}

/// The other key of this use.
fn other(machine: &Machine, usage: &str, than: &str) -> String {
    keys(machine, usage).into_iter().map(|(id, _)| id).find(|id| id != than).unwrap()
}

#[test]
fn commands_go_on_while_the_job_key_is_rotated_and_retired() {
    let machine = Machine::new();
    let server = machine.start();
    let old = only_key(&machine, "job");
    let marker = machine.path("marker");
    let script = format!("echo run >> {}", marker.display());
    let (stop, api) = (AtomicBool::new(false), server.api());
    let ran = std::thread::scope(|scope| {
        let stream = scope.spawn(|| {
            let mut jobs = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = api.shell(&script).is(200);
                assert_eq!(answer.json()["status"], "completed", "{answer}");
                jobs += 1;
            }
            jobs
        });
        let shown = machine.osapi(["key", "rotate"]).run().exits(0);
        shown.shows(&["stays valid until it is retired", &format!("osapi key retire {old}")]);
        let new = other(&machine, "job", &old);
        until("the server signs with the new key", || {
            keys(&machine, "job").contains(&(new.clone(), true)).then_some(())
        });
        machine.osapi(["key", "retire", &old, "--yes"]).run().exits(0).shows(&["is retired"]);
        assert_eq!(keys(&machine, "job"), [(new, true)]);
        let before = fs::read_to_string(&marker).unwrap().lines().count();
        until("commands run under the new key", || {
            (fs::read_to_string(&marker).unwrap().lines().count() > before + 3).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        stream.join().unwrap()
    });
    assert_eq!(fs::read_to_string(&marker).unwrap().lines().count(), ran, "each ran once");
    server.stop();
    let server = machine.start();
    server.api().shell("true").is(200);
}

#[test]
fn tokens_of_a_retired_key_are_refused_and_the_command_line_goes_on() {
    let machine = Machine::new();
    let server = machine.start();
    let old = only_key(&machine, "token");
    let token =
        || machine.osapi(["token", "generate", "-u", "me", "-r", "admin"]).run().exits(0).line();
    let former = token();
    machine.osapi(["key", "rotate", "--use", "token"]).run().exits(0);
    server.api().with_token(&former).get("/v1/jobs").is(200);
    let present = token();
    server.api().with_token(&present).get("/v1/jobs").is(200);
    // The credential of the command line is renewed as soon as the server has seen the new key.
    let credential = || fs::read_to_string(machine.data_dir().join("cli.json")).unwrap();
    until("the credential is renewed", || signed_by(&server, &credential(), &old).then_some(()));
    machine.osapi(["key", "retire", &old, "-y"]).run().exits(0);
    server.api().with_token(&former).get("/v1/jobs").refuses(401, "token_unknown_key");
    server.api().with_token(&present).get("/v1/jobs").is(200);
    machine.osapi(["exec", "--", "true"]).run().exits(0);
    assert_ne!(only_key(&machine, "token"), old);
}

/// Whether the credential is a token of another key than this one.
fn signed_by(server: &Server, credential: &str, old: &str) -> bool {
    let credential: Value = serde_json::from_str(credential).unwrap();
    let token = credential["token"].as_str().unwrap();
    server.api().with_token(token).get("/v1/jobs").is(200);
    let footer = URL_SAFE_NO_PAD.decode(token.rsplit('.').next().unwrap()).unwrap();
    !String::from_utf8(footer).unwrap().contains(old)
}

#[test]
fn what_cannot_be_done_without_is_not_retired() {
    let machine = Machine::new();
    let server = machine.start();
    let job = only_key(&machine, "job");
    let retire = |id: &str| machine.osapi(["key", "retire", id, "--yes"]).run();
    retire(&job).exits(2).explains(&["is the one in use here", "osapi key rotate --use job"]);
    let (rest, last) = job.split_at(job.len() - 1);
    let unknown = format!("{rest}{}", if last == "A" { "B" } else { "A" });
    retire(&unknown).exits(2).explains(&["is not in the key ring", "osapi key list"]);
    retire("nonsense").exits(2);
    machine.osapi(["key", "rotate"]).run().exits(0);
    until("the server signs with the new key", || {
        keys(&machine, "job").contains(&(job.clone(), false)).then_some(())
    });
    machine
        .osapi(["key", "retire", &job])
        .run()
        .exits(2)
        .explains(&["has to be confirmed", "--yes"]);
    assert_eq!(keys(&machine, "job").len(), 2);
    let reader =
        machine.osapi(["token", "generate", "-u", "me", "-r", "write"]).run().exits(0).line();
    let as_reader = |words: &[&str]| {
        let ran = machine.osapi(words.iter().copied()).env("OSAPI_TOKEN", &reader);
        ran.env("OSAPI_URL", server.url()).run()
    };
    as_reader(&["key", "list"]).exits(0);
    as_reader(&["key", "rotate"]).exits(125).explains(&["permission_denied", "key:write"]);
    // What was begun is gone on with.
    let left = machine.data_dir().join("keys/job.key.next");
    assert!(left.exists());
    machine.osapi(["key", "rotate"]).run().exits(0);
    assert!(!left.exists());
    assert_eq!(keys(&machine, "job").len(), 3);
}

#[test]
fn a_ring_of_another_fleet_changes_nothing() {
    let (machine, elsewhere) = (Machine::new(), Machine::new());
    let server = machine.start();
    elsewhere.start().stop();
    let token =
        machine.osapi(["token", "generate", "-u", "me", "-r", "admin"]).run().exits(0).line();
    let at_theirs = |words: &[&str]| {
        let ran = elsewhere.osapi(words.iter().copied()).env("OSAPI_TOKEN", &token);
        ran.env("OSAPI_URL", server.url()).run()
    };
    at_theirs(&["key", "rotate"]).exits(125).explains(&["not of the fleet", "OSAPI_URL"]);
    let ring = fs::read_to_string(elsewhere.data_dir().join("keys/ring")).unwrap();
    let body = serde_json::json!({ "ring": ring.trim() });
    server.api().post("/v1/keys", &body).refuses(422, "key_ring_invalid");
    server.api().shell("true").is(200);
}

#[test]
fn a_key_that_an_interrupted_rotation_has_published_does_not_accept_a_restore() {
    let machine = Machine::new();
    let keys = machine.data_dir().join("keys");
    let [present, next, former] = ["job.key", "job.key.next", "former"].map(|key| keys.join(key));
    let (store, backup) = (machine.data_dir().join("store.redb"), machine.path("backup"));
    let server = machine.start();
    // As if it had been cut off before the new key was put in place.
    fs::copy(&present, &former).unwrap();
    machine.osapi(["key", "rotate"]).run().exits(0);
    fs::rename(&present, &next).unwrap();
    fs::rename(&former, &present).unwrap();
    server.stop();
    fs::copy(&store, &backup).unwrap();
    let server = machine.start();
    for _ in 0..3 {
        server.api().shell("true").is(200);
    }
    server.stop();

    fs::copy(&backup, &store).unwrap();
    let server = machine.start();
    let exec = || machine.osapi(["exec", "--", "true"]).run();
    until("the agent has shown what it has", || (exec().code() != 0).then_some(()));
    machine.osapi(["store", "accept-restore", "--yes"]).run().exits(0);
    until("commands run again", || (exec().code() == 0).then_some(()));
    assert!(!next.exists());
    server.stop();
}

#[test]
fn a_store_that_was_put_back_is_noticed_and_goes_on_once_a_person_has_accepted_it() {
    let machine = Machine::new();
    let (store, backup) = (machine.data_dir().join("store.redb"), machine.path("backup"));
    let server = machine.start();
    server.api().shell("true").is(200);
    server.stop();
    fs::copy(&store, &backup).unwrap();
    let server = machine.start();
    let accept = || machine.osapi(["store", "accept-restore", "--yes"]).run();
    accept().exits(2).explains(&["nothing to accept"]);
    for _ in 0..3 {
        server.api().shell("true").is(200);
    }
    server.stop();

    fs::copy(&backup, &store).unwrap();
    let _server = machine.start();
    let exec = || machine.osapi(["exec", "--", "true"]).run();
    let refused = until("the agent has shown what it has", || {
        let ran = exec();
        (ran.code() != 0).then_some(ran)
    });
    refused.exits(125).explains(&["store_rolled_back", "accept-restore"]);
    let health = machine.osapi(["health", "status", "--json"]).run().exits(0).json();
    assert_eq!(health["status"], "degraded", "{health}");
    accept().exits(0);
    until("commands run again", || (exec().code() == 0).then_some(()));
    accept().exits(2);
}
