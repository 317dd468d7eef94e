//! `job output`: all that was kept of a stream, as bytes, and what there is to say where there is none.

use crate::world::{Invocation, Machine, Server, until};

/// Bytes that are kept of each stream.
const KEPT: usize = 10 * 1024 * 1024;

struct Here {
    machine: Machine,
    server: Server,
}

impl Here {
    fn start() -> Self {
        let machine = Machine::new();
        let server = machine.start_with(|start| start.env("OSAPI_AGENT_NAME", "web-01"));
        Self { machine, server }
    }

    fn done(&self, script: &str) -> String {
        self.server.api().shell(script).is(200).json()["job_id"].as_str().unwrap().to_owned()
    }

    /// `osapi job output` with these words.
    fn output(&self, words: &[&str]) -> Invocation {
        self.machine.osapi(["job", "output"].into_iter().chain(words.iter().copied()))
    }
}

#[test]
fn all_that_was_kept_is_written_and_the_gap_is_told() {
    let here = Here::start();
    let job = here.done("seq 3000000; printf 'a\\0b\\377' >&2");
    let all: Vec<u8> = (1..=3_000_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let kept = [&all[..KEPT / 2], &all[all.len() - KEPT / 2..]].concat();

    let ran = here.output(&[&job, "web-01"]).run().exits(0);
    assert!(ran.stdout == kept, "{} bytes", ran.stdout.len());
    let dropped = all.len() - KEPT;
    let gap = format!(
        "osapi: web-01: {dropped} bytes of standard output were not kept, after the first 5242880 bytes"
    );
    ran.explains(&[&gap]);

    for (range, part) in [
        ("0-9", &kept[..10]),
        ("5242876-5242885", &kept[5_242_876..5_242_886]),
        ("10485750-", &kept[KEPT - 10..]),
        ("-10", &kept[KEPT - 10..]),
        ("1-3145728", &kept[1..3_145_729]),
    ] {
        let ran = here.output(&[&job, "web-01", "--range", range]).run().exits(0);
        assert!(ran.stdout == part, "{range}: {ran}");
    }
    let beyond = here.output(&[&job, "web-01", "--range", "10485760-"]).run();
    beyond.exits(125).prints("").explains(&["range_not_satisfiable", "10485760 bytes"]);

    let ran = here.output(&[&job, "web-01", "--stderr"]).run().exits(0).quietly();
    assert_eq!(ran.stdout, b"a\0b\xff");
}

#[test]
fn where_there_is_no_output_the_reason_is_told() {
    let here = Here::start();
    let quiet = here.done("true");
    here.output(&[&quiet, "web-01"]).run().exits(0).prints("").quietly();
    here.output(&[&quiet, "web-02"]).run().exits(125).explains(&["web-02", "job get"]);
    let unknown = "01a0c4c0-9c00-7000-8000-000000000001";
    here.output(&[unknown, "web-01"]).run().exits(125).explains(&["job_not_found", "job list"]);
    here.output(&["x", "web-01"]).run().exits(2).explains(&["<JOB>"]);

    let line = ["exec", "--detach", "--", "sleep", "60"];
    let running = here.machine.osapi(line).run().exits(0).line();
    until("it runs", || {
        let job = here.server.api().get(&format!("/v1/jobs/{running}")).is(200).json();
        (job["results"][0]["status"] == "running").then_some(())
    });
    let ran = here.output(&[&running, "web-01"]).run().exits(125).prints("");
    ran.explains(&["output_not_found", "still running"]);
    here.machine.osapi(["job", "cancel", &running]).run().exits(0);

    let generate = ["token", "generate", "-u", "reader", "-p", "job:read"];
    let reader = here.machine.osapi(generate).run().exits(0).line();
    let ran = here
        .output(&[&quiet, "web-01"])
        .env("OSAPI_URL", here.server.url())
        .env("OSAPI_TOKEN", reader)
        .run();
    ran.exits(125).prints("").explains(&["permission_denied", "command:execute"]);
}
