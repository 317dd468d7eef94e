//! Targets through the program and the API, as far as one host can show them.

use std::fs;

use serde_json::{Value, json};

use crate::world::{Machine, Server};

/// A server whose host has these labels.
fn start(machine: &Machine, labels: &str) -> Server {
    let file = machine.path("osapi.yaml");
    fs::write(&file, format!("agent: {{name: web-01, labels: {labels}}}")).unwrap();
    let file = file.to_str().unwrap().to_owned();
    machine.start_with(|start| start.args(["-f", &file]))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn every_form_of_a_command_takes_every_form_of_a_target() {
    let machine = Machine::new();
    let _server = start(&machine, "{group: web.dev.us-east, env: prod}");
    let hosts = machine.path("hosts.txt");
    fs::write(&hosts, "# all of them\n web-[01-20] # one is there\n\n!db-*\n").unwrap();
    let file = format!("@{}", hosts.display());
    for target in ["web-*", "web-[01-20],db-*,!web-07*", "group:web&env:prod", "w?b-01", &file] {
        for form in [
            &["exec", "-T", target, "--", "echo", "hi"][..],
            &["shell", "--target", target, "echo hi"],
            &[
                "client",
                "node",
                "command",
                "exec",
                "-t",
                target,
                "--command",
                "echo",
                "--args",
                "hi",
            ],
            &["node", "command", "shell", "-T", target, "--command", "echo hi"],
        ] {
            machine.osapi(form.iter().copied()).run().exits(0).prints("hi\n").quietly();
        }
        let facts = machine.osapi(["node", "get", "-j", "-T", target]).run().exits(0).json();
        assert_eq!(facts["results"][0]["hostname"], "web-01");
    }
    let piped = machine.osapi(["exec", "-T", "@/dev/stdin", "--", "echo", "hi"]);
    piped.stdin("web-01\n").run().exits(0).prints("hi\n");
}

#[test]
fn a_preview_shows_hosts_and_makes_no_job() {
    let machine = Machine::new();
    let server = start(&machine, "{group: web.dev}");
    let preview =
        |args: &[&str]| machine.osapi(["target", "preview"].iter().chain(args).copied()).run();
    let ran = preview(&["group:web,!web-07"]).exits(125);
    ran.explains(&["host_not_found", "'web-07'"]);
    let ran = preview(&["group:web,!web-07*"]).exits(0);
    ran.prints("NAME    STATE\nweb-01  ready\n").explains(&["1 host: 1 live, 1 ready"]);
    let all = preview(&["-j", "_all"]).exits(0).json();
    let hosts = json!([{"name": "web-01", "state": "ready"}]);
    assert_eq!(all, json!({"target": "_all", "count": 1, "live": 1, "ready": 1, "hosts": hosts}));
    let long = machine.osapi(["client", "target", "preview", "--json", "_any"]).run().exits(0);
    assert_eq!(long.json()["hosts"], hosts);
    assert!(server.api().jobs().is_empty());
}

#[test]
fn every_character_of_the_language_travels_in_a_path() {
    let machine = Machine::new();
    let server = start(&machine, "{g_1: a-1.B}");
    let target = "web-[01-20,7]&g_1:a-?.B&!Web-*, web-01,!db-*";
    let written = "web-[01-20,7]&g_1:a-?.B&!Web-*,web-01,!db-*";
    let answer = server.api().get(&format!("/v1/targets/{}", encoded(target))).is(200).json();
    assert_eq!((&answer["target"], &answer["count"]), (&json!(written), &json!(1)));
    for plain in ["web-01", "web-*,!db-*", "g_1:a-1&web-*", "_all,!g_1:b"] {
        for path in [plain.to_owned(), encoded(plain)] {
            let answer = server.api().get(&format!("/v1/targets/{path}")).is(200).json();
            assert_eq!((&answer["target"], &answer["count"]), (&json!(plain), &json!(1)));
        }
    }
    let long = format!("web-01{}", ",!db-??".repeat(584));
    assert_eq!(long.len(), 4094);
    let answer = server.api().get(&format!("/v1/targets/{}", encoded(&long))).is(200).json();
    assert_eq!(answer["target"], long);
    let path = format!("/v1/node/{}/command/exec", encoded(&long));
    let answer = server.api().post(&path, &json!({"command": "true"})).is(200).json();
    assert_eq!(answer["status"], "completed");
}

#[test]
fn labels_come_from_the_configuration_at_each_start() {
    let machine = Machine::new();
    let server = start(&machine, "{group: web.dev}");
    let agent = |name: &str| machine.osapi(["agent", "get", name, "-j"]).run().exits(0).json();
    assert_eq!(agent("web-01")["labels"], json!({"group": "web.dev"}));
    let facts = &agent("web-01")["facts"];
    assert!(facts["cpus"].as_u64() > Some(0) && facts["memory_total_bytes"].as_u64() > Some(0));
    assert_ne!(facts["kernel"], Value::String(String::new()));
    machine.osapi(["agent", "list"]).run().exits(0).quietly().shows(&["LABELS", "group=web.dev"]);
    machine.osapi(["agent", "get", "web-01"]).run().exits(0).shows(&["labels", "kernel"]);
    server.stop();

    let _server = start(&machine, "{group: db}");
    assert_eq!(agent("web-01")["labels"], json!({"group": "db"}));
    machine.osapi(["exec", "-T", "group:db", "--", "true"]).run().exits(0);
    let ran = machine.osapi(["exec", "-T", "group:web", "--", "true"]).run().exits(125);
    ran.explains(&["no_match", "'group:web'"]);
}

#[test]
fn who_names_everyone_confirms() {
    let machine = Machine::new();
    let server = start(&machine, "{}");
    for target in ["_all", "_all,!db-*", "*", "web-01,*"] {
        let ran = machine.osapi(["exec", "-T", target, "--", "true"]).run().exits(2);
        ran.prints("").explains(&["confirmed", "--yes"]);
        machine.osapi(["exec", "-y", "-T", target, "--", "true"]).run().exits(0);
    }
    assert_eq!(server.api().jobs().len(), 4);
}
