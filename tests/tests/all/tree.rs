//! Process trees, pipes and output, through the whole way.

use crate::world::{Machine, end_all_of, of_job, until};

#[test]
fn a_timeout_ends_the_whole_tree() {
    // Root has control groups where there are any; nobody else has.
    for machine in [Machine::new(), Machine::of_a_person()] {
        let server = machine.start();
        let script = "echo $OSAPI_JOB_ID; setsid sh -c 'sleep 300 & setsid sleep 300' & trap '' TERM; sleep 300 & wait; wait";
        let ran = machine.osapi(["shell", "--timeout", "1", script]).run().exits(124);
        let job = ran.line();
        let left = of_job(&job);
        end_all_of(&job);
        assert!(left.is_empty(), "{left:?} outlived the timeout");
        let row = server.api().get(&format!("/v1/jobs/{job}")).is(200).host();
        assert_eq!((&row["status"], &row["stdout"]), (&"timed_out".into(), &ran.out().into()));
    }
}

#[test]
fn a_cancel_ends_the_whole_tree() {
    for machine in [Machine::new(), Machine::of_a_person()] {
        let server = machine.start();
        let job = machine.osapi(["shell", "--detach", "setsid sleep 300 & sleep 300"]).run().line();
        until("the tree is there", || (of_job(&job).len() >= 3).then_some(()));
        machine.osapi(["job", "cancel", &job]).run().exits(0);
        let row = server.api().get(&format!("/v1/jobs/{job}?wait=60")).is(200).host();
        assert_eq!((&row["status"], &row["final"]), (&"cancelled".into(), &true.into()), "{row}");
        let left = of_job(&job);
        end_all_of(&job);
        assert!(left.is_empty(), "{left:?} outlived the cancel");
    }
}

#[test]
fn a_pipe_that_a_grandchild_holds_delays_nothing() {
    let machine = Machine::new();
    let server = machine.start();
    // The grandchild would hold the pipes for longer than the test has patience.
    let answer = server.api().shell("echo $OSAPI_JOB_ID; setsid sleep 300 & exit 3").is(200);
    let row = answer.host();
    let job = row["stdout"].as_str().unwrap().trim().to_owned();
    end_all_of(&job);
    assert_eq!((&row["status"], &row["exit_code"]), (&"failed".into(), &3.into()), "{row}");
    assert_eq!(answer.json()["job_id"], *job);
}

#[test]
fn of_much_output_head_and_tail_are_kept_and_all_is_counted() {
    const FILL: u64 = 50 << 20;
    const KEPT: u64 = 10 << 20;
    let machine = Machine::new();
    let _server = machine.start();
    let script =
        format!("echo HEAD; head -c {FILL} /dev/zero | tr '\\0' x; echo; echo TAIL; echo done >&2");
    let ran = machine.osapi(["shell", "--timeout", "120", "--json", &script]).run().exits(0);
    let row = ran.json()["results"][0].clone();
    let written = FILL + 5 + 1 + 5;
    assert_eq!((&row["stdout_bytes"], &row["stderr_bytes"]), (&written.into(), &5.into()), "{ran}");
    assert_eq!(row["stdout_gap"]["bytes"], written - KEPT, "{ran}");
    assert_eq!((&row["stderr"], &row["stdout_incomplete"]), (&"done\n".into(), &false.into()));

    let ran = machine.osapi(["shell", "--timeout", "120", &script]).run().exits(0);
    assert_eq!(ran.stdout.len() as u64, KEPT);
    assert!(ran.stdout.starts_with(b"HEAD\nxxx") && ran.stdout.ends_with(b"xxx\nTAIL\n"));
    ran.explains(&["done\n", &(written - KEPT).to_string(), "were not kept"]);
}

#[test]
fn every_stream_has_its_own_count() {
    let machine = Machine::new();
    let server = machine.start();
    let script = "head -c 700000 /dev/zero | tr '\\0' x; head -c 300001 /dev/urandom >&2";
    let row = server.api().shell(script).is(200).host();
    assert_eq!((&row["stdout_bytes"], &row["stderr_bytes"]), (&700_000.into(), &300_001.into()));
    assert_eq!(row["stderr_encoding"], "base64");
    assert_eq!(row["stdout"].as_str().unwrap().len(), 700_000);
}
