use osapi_core::job::{Exec, Failure, Shell, Step};

use super::*;
use crate::render::screen::testing::Paper;

fn job() -> JobId {
    "01a0c4c0-9c00-7000-8000-000000000001".parse().unwrap()
}

fn host(name: &str, status: ExecutionState, stdout: &[u8], stderr: &[u8]) -> Shown {
    let row = HostResult {
        stdout: Some(String::new()),
        duration_ms: Some(12),
        ..HostResult::bare(name.parse().unwrap(), status)
    };
    Shown { row, stdout: stdout.into(), stderr: stderr.into() }
}

fn written(hosts: &[Shown]) -> (String, String) {
    let paper = Paper::default();
    write(&mut paper.screen(false, false), job(), hosts).unwrap();
    (paper.out_text(), paper.err_text())
}

#[test]
fn one_host_gives_its_bytes_and_nothing_else() {
    let paper = Paper::default();
    let host = host("web-01", ExecutionState::Succeeded, b"a\xff\0no newline", b"warned\r\n");
    write(&mut paper.screen(false, false), job(), &[host]).unwrap();
    assert_eq!(paper.out(), b"a\xff\0no newline");
    assert_eq!(paper.err_text(), "warned\r\n");
}

#[test]
fn an_exit_code_needs_no_words() {
    let mut failed = host("web-01", ExecutionState::Failed, b"", b"no such file\n");
    failed.row.exit_code = Some(2);
    assert_eq!(written(&[failed]), (String::new(), "no such file\n".into()));
}

#[test]
fn several_hosts_give_a_block_each() {
    let mut failed = host("web-02", ExecutionState::Failed, b"half", b"broken\n");
    failed.row.exit_code = Some(3);
    let hosts = [
        host("web-01", ExecutionState::Succeeded, b"fine\n", b""),
        failed,
        host("web-03", ExecutionState::TimedOut, b"", b""),
    ];
    let (out, err) = written(&hosts);
    assert_eq!(
        out,
        "\
== web-01: succeeded, 12 ms
fine
== web-02: failed, exit code 3, 12 ms
half
== web-03: timed out, 12 ms
"
    );
    assert_eq!(
        err,
        "\
-- web-02: standard error
broken
osapi: web-03: ran past its timeout and was ended
"
    );
    assert_eq!(tally(&hosts), "3 hosts: 1 succeeded, 1 failed, 1 timed out");
}

#[test]
fn a_gap_is_told() {
    let mut cut = host("web-01", ExecutionState::Succeeded, b"headtail", b"");
    cut.row.stdout_gap = Some(Gap { offset: 4, bytes: 1000 });
    cut.row.stderr_incomplete = true;
    let (out, err) = written(&[cut]);
    assert_eq!(out, "headtail");
    assert_eq!(
        err,
        "\
osapi: web-01: 1000 bytes of standard output were not kept, after the first 4 bytes
osapi: web-01: standard error may go on: a process that outlived the command held it, or a part was lost on its way
"
    );
}

#[test]
fn every_ending_that_is_no_exit_is_told() {
    use ExecutionState as S;
    let all = [
        S::Pending,
        S::Accepted,
        S::Running,
        S::TimedOut,
        S::Cancelled,
        S::Rejected,
        S::Expired,
        S::Unreachable,
        S::NotStarted,
        S::Lost,
        S::NoAnswer,
    ];
    for state in all {
        let (out, err) = written(&[host("web-01", state, b"", b"")]);
        assert_eq!(out, "", "{state}");
        assert!(err.starts_with("osapi: web-01: ") && err.ends_with('\n'), "{state}: {err}");
    }
}

#[test]
fn a_refusal_says_what_the_agent_said() {
    let mut refused = host("web-01", ExecutionState::Rejected, b"", b"");
    let failure = Failure::new("start_failed", "no program 'nope' in PATH\x1b");
    refused.row.error = Some(Failure { step: Some(Step::Program), errno: Some(2), ..failure });
    let (_, err) = written(&[refused]);
    assert_eq!(err, "osapi: web-01: could not be started: no program 'nope' in PATH\\x1b\n");
}

#[test]
fn a_signal_has_its_name() {
    let mut killed = host("web-01", ExecutionState::Failed, b"", b"");
    killed.row.signal = Some(9);
    assert_eq!(written(&[killed]).1, "osapi: web-01: ended by signal 9 (SIGKILL)\n");
}

#[test]
fn how_it_ended_is_said_in_words() {
    let ended = |status, change: &dyn Fn(&mut HostResult)| {
        let mut host = host("web-01", status, b"", b"");
        change(&mut host.row);
        written(&[host]).1
    };
    let not_started = |step, message: &'static str| {
        move |row: &mut HostResult| {
            let failure = Failure::new("start_failed", message);
            row.error = Some(Failure { step: Some(step), errno: Some(13), ..failure });
        }
    };
    use ExecutionState as S;
    for (said, words) in [
        (ended(S::Failed, &|row| row.exit_code = Some(3)), ""),
        (ended(S::Failed, &|row| row.signal = Some(25)), "ended by signal 25 (SIGXFSZ)"),
        (
            ended(S::Failed, &|row| (row.signal, row.killed_for_memory) = (Some(9), true)),
            "ended by signal 9 (SIGKILL): the kernel ended it because it had reached its limit of memory",
        ),
        (ended(S::TimedOut, &|_| ()), "ran past its timeout and was ended"),
        (
            ended(
                S::Rejected,
                &not_started(Step::Cwd, "cannot enter /x: No such file or directory"),
            ),
            "could not be started: cannot enter /x: No such file or directory",
        ),
        (
            ended(
                S::Rejected,
                &not_started(Step::Program, "cannot find x: No such file or directory"),
            ),
            "could not be started: cannot find x: No such file or directory",
        ),
        (
            ended(S::Rejected, &not_started(Step::User, "there is no user 'x' in /etc/passwd")),
            "could not be started: there is no user 'x' in /etc/passwd",
        ),
        (
            ended(S::Rejected, &not_started(Step::Limit, "cannot set the limits pids=9: no")),
            "could not be started: cannot set the limits pids=9: no",
        ),
        (
            ended(S::Succeeded, &|row| row.stdout_incomplete = true),
            "standard output may go on: a process that outlived the command held it, or a part was lost on its way",
        ),
    ] {
        let expected = match words {
            "" => String::new(),
            words => format!("osapi: web-01: {words}\n"),
        };
        assert_eq!(said, expected);
    }
}

#[test]
fn operations_read_as_they_are_typed() {
    let exec =
        Exec { args: vec!["%s".into(), "|>*$HOME".into(), String::new()], ..Exec::new("printf") };
    assert_eq!(operation(&Operation::Exec(exec)), "exec -- printf %s '|>*$HOME' ''");
    let shell = Shell::new("echo 'hi'");
    assert_eq!(operation(&Operation::Shell(shell)), r"shell 'echo '\''hi'\'''");
}

#[test]
fn a_host_that_is_waited_for_says_until_when() {
    let paper = Paper::default();
    let mut taken = host("web-02", ExecutionState::Accepted, b"", b"");
    taken.row.stdout = None;
    let hosts = [host("db-03", ExecutionState::Pending, b"", b""), taken];
    let until = Timestamp::from_unix_millis(1_800_000_000_000);
    blocks(&mut paper.screen(false, false), job(), &hosts, Some(until)).unwrap();
    let err = paper.err_text();
    let (first, second) = err.split_once('\n').unwrap();
    assert!(
        first.starts_with("osapi: db-03: still pending, waited for until 2027-01-15 08:00:00Z; "),
        "{first}"
    );
    assert!(second.starts_with("osapi: web-02: still accepted; "), "{second}");
}
