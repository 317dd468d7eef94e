//! Everything that a command can do so as not to end with its job, through the whole way: on a timeout and on a cancel nothing of it survives, and the
//! answer is there in time.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::world::{Answer, Api, Machine, end_all_of, of_job, until};

/// What is tried, and how many processes it has once it is there.
const ESCAPES: [(&str, usize); 7] = [
    // Forked twice, so that its parent is gone.
    ("sh -c '(sleep 300 &) &'; exec sleep 300", 2),
    // In sessions of their own.
    ("setsid sleep 300 & setsid sh -c 'setsid sleep 300 & wait' & wait", 4),
    // Deaf to SIGTERM, and to what a terminal's end sends.
    ("trap '' TERM HUP INT; setsid sleep 300 & sleep 300 & wait; wait; wait", 3),
    ("nohup setsid sleep 300 >/dev/null 2>&1 & nohup sleep 300 >/dev/null 2>&1 & wait", 3),
    // Stopped, the leader too.
    ("setsid sleep 300 & kill -STOP $!; kill -STOP $$", 2),
    // Without its pipes.
    ("exec <&- >&- 2>&-; setsid sleep 300 & sleep 300", 3),
    // With pipes that somebody else holds who has left.
    ("(setsid sleep 300 &); (trap '' TERM; sleep 300 & wait; wait) & exec sleep 300", 4),
];

/// What there is from SIGTERM to SIGKILL.
const GRACE_MS: u64 = 5_000;

fn job_of(machine: &Machine, timeout: &str, script: &str) -> String {
    machine.osapi(["shell", "--detach", "--timeout", timeout, script]).run().exits(0).line()
}

/// The row of the only host, once it is final, which is within `seconds`.
fn end_of(api: &Api, job: &str, seconds: u64) -> Answer {
    let answer = api.get(&format!("/v1/jobs/{job}?wait={seconds}")).is(200);
    assert_eq!(answer.host()["final"], true, "it took longer: {answer}");
    answer
}

#[track_caller]
fn nothing_is_left(job: &str, what: &str) {
    let left = of_job(job);
    end_all_of(job);
    assert!(left.is_empty(), "{left:?} outlived {what}");
}

#[test]
fn nothing_escapes_a_timeout() {
    for machine in [Machine::new(), Machine::of_a_person()] {
        let server = machine.start();
        let jobs = ESCAPES.map(|(script, _)| job_of(&machine, "1", script));
        for ((script, _), job) in ESCAPES.iter().zip(&jobs) {
            let row = end_of(&server.api(), job, 60).host();
            assert_eq!(row["status"], "timed_out", "{script}: {row}");
            let took = row["duration_ms"].as_u64().unwrap();
            assert!(took <= 1_000 + GRACE_MS + 1_000, "{script} took {took} ms");
            nothing_is_left(job, script);
        }
    }
}

#[test]
fn nothing_escapes_a_cancel() {
    for machine in [Machine::new(), Machine::of_a_person()] {
        let server = machine.start();
        let jobs = ESCAPES.map(|(script, _)| job_of(&machine, "300", script));
        for ((script, count), job) in ESCAPES.iter().zip(&jobs) {
            until(script, || (of_job(job).len() >= *count).then_some(()));
        }
        for job in &jobs {
            server.api().send("POST", &format!("/v1/jobs/{job}/cancel"), &[], b"").is(200);
        }
        for ((script, _), job) in ESCAPES.iter().zip(&jobs) {
            let row = end_of(&server.api(), job, GRACE_MS / 1_000 + 1).host();
            assert_eq!(row["status"], "cancelled", "{script}: {row}");
            nothing_is_left(job, script);
        }
    }
}

/// It forks until its user may not, and again as soon as it may; nothing that asks it to end does it any harm.
const BOMB: &str = "import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        os.fork() or os.setsid()
    except OSError:
        time.sleep(0.01)";

/// How many processes a user has, ended ones too.
fn of_user(uid: u32) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|entry| entry.metadata().is_ok_and(|found| found.uid() == uid)).count()
}

#[test]
fn a_fork_bomb_of_a_user_ends_with_its_job() {
    const BOMBER: u32 = 61_006;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let machine = Machine::new();
    let server = machine.start();
    let bomb = |timeout: &str| {
        let user = BOMBER.to_string();
        let options =
            ["--detach", "--timeout", timeout, "--user", &user, "--limit", "processes=50"];
        let command = ["--", "python3", "-c", BOMB];
        let job = machine.osapi(["exec"]).args(options).args(command).run().exits(0).line();
        until("the bomb", || (of_user(BOMBER) > 25).then_some(()));
        job
    };
    let job = bomb("2");
    let row = end_of(&server.api(), &job, 60).host();
    assert_eq!(row["status"], "timed_out", "{row}");
    let took = row["duration_ms"].as_u64().unwrap();
    assert!(took <= 2_000 + GRACE_MS + 1_000, "it took {took} ms");
    assert_eq!(of_user(BOMBER), 0);
    let job = bomb("300");
    server.api().send("POST", &format!("/v1/jobs/{job}/cancel"), &[], b"").is(200);
    let row = end_of(&server.api(), &job, GRACE_MS / 1_000 + 1).host();
    assert_eq!((&row["status"], of_user(BOMBER)), (&"cancelled".into(), 0), "{row}");
}
