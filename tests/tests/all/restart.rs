//! What is remembered over a restart, and what a crash leaves behind.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::world::{Answer, Api, Machine, Server, end_all_of, of_job, until};

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

/// The list of jobs, and all about each of them that is not the passing word of an agent, as some events are.
fn known(api: &Api) -> (Value, Vec<Value>) {
    let about = |job: String| {
        let mut job = api.get(&format!("/v1/jobs/{job}")).is(200).json();
        job.as_object_mut().and_then(|job| job.remove("timeline")).expect("a timeline");
        job
    };
    (api.get("/v1/jobs").is(200).json(), api.jobs().into_iter().map(about).collect())
}

#[test]
fn jobs_are_listed_after_a_restart_with_the_same_output() {
    let machine = Machine::new();
    let server = machine.start();
    let scripts = [
        r"printf 'a\377b'",
        "echo out; echo err >&2; exit 3",
        "head -c 300000 /dev/zero | tr '\\0' x",
    ];
    for script in scripts {
        server.api().shell(script).is(200);
    }
    let before = known(&server.api());
    assert_eq!(before.1.len(), scripts.len());
    assert_eq!(before.1[0]["results"][0]["stdout"].as_str().unwrap().len(), 300_000);
    let (status, said) = server.stop();
    assert!(status.success(), "{said}");
    assert!(known(&machine.start().api()) == before, "other after an orderly end");
    let server = machine.start();
    server.kill();
    assert!(known(&machine.start().api()) == before, "other after a crash");
}

#[test]
fn what_ran_in_a_crash_is_lost_and_ended_and_never_runs_again() {
    let machine = Machine::new();
    let marker = machine.path("marker");
    let server = machine.start();
    let script = format!(
        "echo run >> {0}; sleep 300 & setsid sleep 300 & echo run >> {0}.tree; exec sleep 300",
        marker.display()
    );
    let job =
        machine.osapi(["shell", "--detach", "--timeout", "300", &script]).run().exits(0).line();
    until("the command runs", || (lines(&machine.path("marker.tree")) == 1).then_some(()));
    server.kill();
    assert!(of_job(&job).len() >= 3, "a crash ends nothing by itself");

    let server = machine.start();
    let path = format!("/v1/jobs/{job}");
    let row = until("the job is settled", || {
        let row = server.api().get(&path).is(200).host();
        (row["final"] == true).then_some(row)
    });
    assert_eq!(row["status"], "lost", "{row}");
    until("its processes are gone", || of_job(&job).is_empty().then_some(()));
    // A second start, and work of another job, find nothing left to do for this one.
    server.stop();
    let server = machine.start();
    assert_eq!(server.api().shell("true").is(200).json()["status"], "completed");
    assert_eq!(server.api().get(&path).is(200).host(), row);
    assert_eq!(lines(&marker), 1, "it ran again");
}

#[test]
fn an_orderly_end_ends_what_runs_and_says_so() {
    let machine = Machine::new();
    let server = machine.start_with(|start| start.env("OSAPI_AGENT_DRAIN", "0s"));
    let marker = machine.path("marker");
    let script =
        format!("echo $OSAPI_JOB_ID >> {}; setsid sleep 300 & sleep 300", marker.display());
    let job =
        machine.osapi(["shell", "--detach", "--timeout", "300", &script]).run().exits(0).line();
    until("the command runs", || (lines(&marker) == 1).then_some(()));
    let (status, said) = server.stop();
    assert!(status.success(), "{said}");
    let left = of_job(&job);
    end_all_of(&job);
    assert!(left.is_empty(), "{left:?} outlived an orderly end:\n{said}");
    let server = machine.start();
    let row = server.api().get(&format!("/v1/jobs/{job}?wait=60")).is(200).host();
    assert_eq!((&row["final"], &row["status"]), (&true.into(), &"lost".into()), "{row}");
    assert_eq!(lines(&marker), 1);
}

#[test]
fn the_same_key_makes_one_job_also_over_a_crash() {
    let machine = Machine::new();
    let marker = machine.path("marker");
    let body =
        serde_json::json!({ "command": format!("echo run >> {}", marker.display()) }).to_string();
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "0123456789abcdef")];
    let ask = |api: &Api| {
        let answer = api.send("POST", "/v1/node/_any/command/shell", &headers, body.as_bytes());
        answer.is(200).json()["job_id"].clone()
    };
    let server = machine.start();
    let first = ask(&server.api());
    assert_eq!(ask(&server.api()), first);
    server.kill();
    let server = machine.start();
    assert_eq!(ask(&server.api()), first);
    assert_eq!((server.api().jobs().len(), lines(&marker)), (1, 1));
    let other = api_with_other_body(&server, &headers);
    other.refuses(409, "idempotency_conflict");
}

fn api_with_other_body(server: &Server, headers: &[(&str, &str)]) -> Answer {
    let body = br#"{"command":"true"}"#;
    server.api().send("POST", "/v1/node/_any/command/shell", headers, body)
}
