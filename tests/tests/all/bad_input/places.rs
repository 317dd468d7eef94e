//! A machine that `osapi start` cannot work on: its port, its directory, its configuration.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::world::{Machine, Ran};

/// `osapi start`, which is not to start.
fn refused(
    machine: &Machine,
    change: impl FnOnce(crate::world::Invocation) -> crate::world::Invocation,
) -> Ran {
    change(machine.osapi(["start"])).run().prints("")
}

#[test]
fn a_port_in_use_is_named() {
    let machine = Machine::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let ran =
        refused(&machine, |start| start.env("OSAPI_API_SERVER_PORT", address.port().to_string()));
    ran.exits(125).explains(&[&address.to_string(), "in use", "--listen"]);
}

#[test]
fn a_data_directory_has_one_process() {
    let machine = Machine::new();
    let server = machine.start();
    refused(&machine, |start| start)
        .exits(125)
        .explains(&["in use by another process", "--data-dir"]);
    server.api().shell("true").is(200);
    assert!(
        machine.data_dir().join("cli.json").exists(),
        "the second took the first one's credential"
    );
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let machine = Machine::new();
    let file = machine.path("file");
    fs::write(&file, "").unwrap();
    let open = machine.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
    for (dir, word) in [
        (file.clone(), "not a directory"),
        (file.join("below"), "not a directory"),
        ("/proc/osapi".into(), "/proc/osapi"),
        (open, "chmod 700"),
    ] {
        let args = ["--data-dir".as_ref(), dir.as_os_str(), "start".as_ref()];
        let ran = machine.bare([]).args(args).run().exits(125).prints("");
        ran.explains(&[word, dir.to_str().unwrap()]);
    }
    let person = Machine::of_a_person();
    fs::create_dir(person.home().join("share")).unwrap();
    fs::set_permissions(person.home().join("share"), Permissions::from_mode(0o500)).unwrap();
    person.typed("osapi start").run().exits(125).explains(&["not writable", "--data-dir"]);
}

#[test]
fn a_configuration_is_shown_with_its_faults() {
    let machine = Machine::new();
    let file = machine.path("osapi.yaml");
    let ran = |text: &str| {
        fs::write(&file, text).unwrap();
        refused(&machine, |start| start.args(["-f".as_ref(), file.as_os_str()])).exits(2)
    };
    ran("api:\n  server:\n    port: [1\n").explains(&["osapi.yaml", ":"]);
    ran("api:\n  server:\n    port: many\n").explains(&["port", "3"]);
    let all = ran("api:\n  server:\n    prt: 1\nagent:\n  slots: 0\nstore:\n  retention: 1s\n");
    all.explains(&["prt", "did you mean 'port'", "agent.slots", "store.retention"]);
    let role = "api:\n  server:\n    security:\n      roles:\n        ops:\n          permissions: [command:exec]\n";
    ran(role).explains(&["command:exec"]);
    let admin = role.replace("ops", "admin").replace("command:exec", "job:read");
    ran(&admin).explains(&["admin"]);
    let missing = machine.osapi(["-f", "/no/such/file", "start"]).run();
    missing.exits(2).explains(&["/no/such/file"]);
    let variable = refused(&machine, |start| start.env("OSAPI_AGENT_SLOTS", "none"));
    variable.exits(2).explains(&["OSAPI_AGENT_SLOTS"]);
    assert!(!machine.data_dir().exists(), "a wrong configuration makes nothing");
}
