//! The output of commands on a real host: how much memory and disk it takes, what it delays, and what is kept of it however they end.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::clients::{rows, runs, settled};
use super::fleet::{Fleet, Host};
use crate::world::{Api, Invocation, built, until};

const MIB: u64 = 1 << 20;
/// Bytes of output that pass through the agent.
const MUCH: u64 = 1024 * MIB;
/// Bytes that are kept of a stream by default.
const KEPT: u64 = 10 * MIB;
/// Executions at once by default.
const SLOTS: usize = 10;

/// Of proc_pid_status(5), in bytes.
fn memory(host: &Host, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib: u64 = line.expect(name).trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// Bytes of the files in a directory, as du(1) counts them.
fn on_disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let files = fs::read_dir(dir).expect("it is there").flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.blocks() * 512)).sum()
}

fn shell(api: &Api, host: &str, script: &str, timeout: u32) -> String {
    let body = json!({ "command": script, "timeout": timeout });
    let job = api.post(&format!("/v1/node/{host}/command/shell?wait=0"), &body).is(202).json();
    job["job_id"].as_str().expect("a text").to_owned()
}

fn row(api: &Api, job: &str) -> Value {
    rows(&settled(api, job)["results"]).next().expect("one host").clone()
}

fn until_running(api: &Api, job: &str) {
    until(&format!("{job} runs"), || {
        let job = api.get(&format!("/v1/jobs/{job}")).is(200).json();
        (job["results"][0]["status"] == "running").then_some(())
    });
}

/// Whether the bytes are somewhere in the file.
fn holds(file: &Path, bytes: &[u8]) -> bool {
    let all = fs::read(file).unwrap_or_default();
    all.windows(bytes.len()).any(|part| part == bytes)
}

#[test]
fn a_gibibyte_of_output_takes_little_memory_and_no_more_disk_than_is_kept() {
    let fleet = Fleet::start(1, &["a"]);
    let (api, host) = (fleet.apis().remove(0), &fleet.hosts[0]);
    runs(&api, &fleet, "a", "first");
    // The highest value is counted from here on (proc_pid_clear_refs(5)).
    fs::write(format!("/proc/{}/clear_refs", host.pid()), "5").expect("it is ours");
    let before = memory(host, "VmRSS");
    let script = format!("echo begin; head -c {MUCH} /dev/zero; echo end");
    let job = shell(&api, "a", &script, 120);
    let spool = host.data_dir.join("agent/spool");
    let mut most = 0;
    let path = format!("/v1/jobs/{job}");
    until("it ended", || {
        most = most.max(on_disk(&spool));
        (api.get(&path).is(200).json()["results"][0]["final"] == true).then_some(())
    });
    let row = row(&api, &job);
    let grown = memory(host, "VmHWM").saturating_sub(before);
    println!("{MUCH} bytes of output: {grown} more bytes of memory, {most} bytes of disk");
    assert!(grown < 20 * MIB, "{grown} bytes");
    assert!(most > 0 && most < KEPT + MIB, "{most} bytes on disk");
    assert_eq!(row["status"], "succeeded", "{row}");
    assert_eq!(row["stdout_bytes"], MUCH + 10, "{row}");

    let output = format!("/v1/jobs/{job}/output/a/stdout");
    let all = api.get(&output).is(200);
    assert_eq!(all.body.len() as u64, KEPT);
    assert!(all.body.starts_with(b"begin\n\0") && all.body.ends_with(b"\0end\n"));
    for (range, status, expected) in [
        ("bytes=0-5", 206, &b"begin\n"[..]),
        ("bytes=-4", 206, b"end\n"),
        ("bytes=10485756-", 206, b"end\n"),
    ] {
        let part = api.send("GET", &output, &[("Range", range)], b"").is(status);
        assert_eq!(part.body, expected, "{range}");
    }
    let beyond = api.send("GET", &output, &[("Range", "bytes=10485760-")], b"");
    beyond.refuses(416, "range_not_satisfiable");
    until("what was on its way is removed", || (on_disk(&spool) == 0).then_some(()));
}

#[test]
fn hellos_and_cancels_go_on_while_every_slot_writes_as_fast_as_it_can() {
    let mut fleet = Fleet::start(1, &["a"]);
    let api = fleet.apis().remove(0);
    // All of them together are to fit into the store of these tests.
    fleet.hosts[0].stop();
    let agent = Invocation::new(built("osapi-agent")).env("OSAPI_AGENT_OUTPUT_KEPT", "1MiB");
    fleet.hosts[0].start_by(agent);
    fleet.hosts[0].until_ready();
    let jobs: Vec<_> =
        (0..SLOTS).map(|_| shell(&api, "a", "echo begin; exec cat /dev/zero", 300)).collect();
    jobs.iter().for_each(|job| until_running(&api, job));
    let heard = || api.get("/v1/agents/a").is(200).json();
    let mut hellos = std::collections::BTreeSet::new();
    until("three more hellos", || {
        let agent = heard();
        assert_eq!(agent["state"], "ready", "{agent}");
        hellos.insert(agent["last_heard"].as_str().expect("it was heard").to_owned());
        (hellos.len() > 3).then_some(())
    });
    for job in &jobs {
        api.cancel(job);
    }
    for job in &jobs {
        let row = row(&api, job);
        assert_eq!(row["status"], "cancelled", "{row}");
        assert!(row["stdout_bytes"].as_u64() > Some(MIB), "{row}");
        let output = format!("/v1/jobs/{job}/output/a/stdout");
        let begin = api.send("GET", &output, &[("Range", "bytes=0-6")], b"").is(206);
        assert_eq!(begin.body, b"begin\n\0", "what there was until then is kept");
    }
    runs(&api, &fleet, "a", "after");
}

#[test]
fn output_so_far_is_kept_on_timeout_cancel_and_loss() {
    let mut fleet = Fleet::start(1, &["a"]);
    let api = fleet.apis().remove(0);
    let script = "echo so far; echo trouble >&2; exec sleep 300";
    let timed_out = shell(&api, "a", script, 2);
    let [cancelled, lost] = [0; 2].map(|_| shell(&api, "a", script, 300));
    let flag = fleet.machine.path("written");
    let many = format!("seq 2000000; echo end; : >{}; exec sleep 300", flag.display());
    let lost_much = shell(&api, "a", &many, 300);
    for job in [&cancelled, &lost, &lost_much] {
        until_running(&api, job);
    }
    assert_eq!(row(&api, &timed_out)["status"], "timed_out");
    let spool = fleet.hosts[0].data_dir.join("agent/spool");
    for job in [&cancelled, &lost] {
        until("it is on disk", || spool.join(format!("{job}.err")).exists().then_some(()));
    }
    api.cancel(&cancelled);
    assert_eq!(row(&api, &cancelled)["status"], "cancelled");
    let file = spool.join(format!("{lost_much}.out"));
    until("all of it is on disk", || {
        let is_written = fs::metadata(&flag).is_ok();
        (is_written && holds(&file, b"2000000\nend\n")).then_some(())
    });
    fleet.hosts[0].kill();
    fleet.hosts[0].restart();
    for job in [&timed_out, &cancelled, &lost] {
        let row = row(&api, job);
        assert_eq!(
            (&row["stdout"], &row["stderr"]),
            (&json!("so far\n"), &json!("trouble\n")),
            "{row}"
        );
    }
    for job in [&lost, &lost_much] {
        let row = row(&api, job);
        assert_eq!(
            (&row["status"], &row["stdout_incomplete"]),
            (&json!("lost"), &json!(true)),
            "{row}"
        );
    }
    let output = api.get(&format!("/v1/jobs/{lost_much}/output/a/stdout")).is(200);
    assert_eq!(output.body.len() as u64, KEPT);
    assert!(output.body.starts_with(b"1\n2\n3\n") && output.body.ends_with(b"2000000\nend\n"));
}
