//! What a command is given beyond its arguments: input, a user, a umask.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::executor::process::Execution;
use crate::executor::process::account::Account;
use crate::executor::process::environment::environment;
use crate::job::Stdin;
use crate::job::limits::STDIN_MAX;
use crate::job::report::Step;

const ENOENT: i32 = 2;
const E2BIG: i32 = 7;
const ENOEXEC: i32 = 8;
const EACCES: i32 = 13;

/// A user that is in no file, and that nobody else on this machine is.
const STRANGER: u32 = 61_001;

/// The program `command` with another umask than usual: its process has to be prepared for it.
fn with_umask<const N: usize>(command: &str, args: [&str; N]) -> Exec {
    let args = args.map(ToOwned::to_owned).into();
    Exec { args, umask: Some("0027".parse().unwrap()), ..Exec::new(command) }
}

fn script_as(user: impl ToString, script: &str) -> Operation {
    let user = Some(user.to_string().parse().unwrap());
    Operation::Shell(Shell { user, ..Shell::new(script) })
}

fn script_reading(stdin: impl AsRef<[u8]>, script: &str) -> Operation {
    Operation::Shell(Shell { stdin: Some(Stdin::from(stdin)), ..Shell::new(script) })
}

/// Whether tests may become somebody else. What then happens to the others has a test with a whole agent.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn input_arrives_byte_for_byte_while_output_is_drained() {
    let bytes: Vec<u8> = (0..STDIN_MAX).map(|n| (n % 251) as u8).collect();
    let (outcome, seen) = run(script_reading(&bytes, "cat; cat >&2")).await;
    assert_eq!(outcome, Outcome::Exited { code: 0 });
    assert!(seen.0.borrow().stdout == bytes, "it came as it was given");
    let (_, seen) = run(script_reading("", "wc -c")).await;
    assert_eq!(seen.stdout().trim(), "0");
}

#[tokio::test]
async fn input_that_nobody_reads_costs_nothing() {
    let much = vec![b'x'; STDIN_MAX];
    for script in ["exit 3", "exec 0<&-; sleep 0.1; exit 3", "head -c 1 >/dev/null; exit 3"] {
        let (outcome, seen) = run(script_reading(&much, script)).await;
        assert_eq!(outcome, Outcome::Exited { code: 3 }, "{script}");
        assert!(seen.0.borrow().incomplete.is_empty());
    }
    for executor in impatient() {
        let operation = script_reading(&much, "sleep 1000 & echo $!; exit 4");
        let (outcome, seen) = within(Run::begin(executor, operation).end()).await;
        assert_eq!(outcome, Outcome::Exited { code: 4 });
        assert!(!is_alive(seen.pids(1).await[0]));
    }
}

#[tokio::test]
async fn what_waits_for_more_input_than_there_is_sees_the_end() {
    let (outcome, seen) =
        run(script_reading("a b\nc", "while read -r x; do echo \"<$x>\"; done; echo end $x")).await;
    assert_eq!((outcome, seen.stdout().as_str()), (Outcome::Exited { code: 0 }, "<a b>\nend c\n"));
}

#[tokio::test]
async fn a_umask_is_the_commands_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made");
    let exec = with_umask("sh", ["-c", "umask; : > \"$0\"", path.to_str().unwrap()]);
    assert_eq!(run(Operation::Exec(exec)).await.1.stdout(), "0027\n");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(run(shell("umask")).await.1.stdout(), run(exec_umask()).await.1.stdout());
}

/// As another program than the shell sees it, which is started without preparation.
fn exec_umask() -> Operation {
    exec("sh", ["-c", "umask"])
}

#[tokio::test]
async fn a_prepared_process_is_as_any_other() {
    let plain = |script: &str| exec("sh", ["-c", script, "$0", "two words"]);
    let prepared =
        |script: &str| Operation::Exec(with_umask("sh", ["-c", script, "$0", "two words"]));
    for script in [
        "echo \"$0|$1\"; tr '\\0' '|' < /proc/$$/cmdline",
        "grep -e SigBlk -e SigCgt -e NoNew /proc/self/status; pwd; readlink /proc/$$/fd/0",
        "exec ls /proc/self/fd",
        "test $(cut -d ' ' -f 5 /proc/$$/stat) = $$ && echo a group of its own",
        "env | grep -v OSAPI_JOB_ID | sort",
        "exit 9",
    ] {
        let (plain, prepared) = (run(plain(script)).await, run(prepared(script)).await);
        assert_eq!((prepared.0, prepared.1.stdout()), (plain.0, plain.1.stdout()), "{script}");
    }
}

#[tokio::test]
async fn a_prepared_process_tells_why_it_could_not_be_started() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let script = format!(
        "cd {path}; echo 'echo run by a shell' > plain; printf '#!/no/such\\n' > odd; chmod +x *"
    );
    assert_eq!(run(shell(&script)).await.0, Outcome::Exited { code: 0 });
    let much = "x".repeat(128 * 1024);
    for (exec, step, errno, named) in [
        (with_umask(&format!("{path}/plain"), []), Step::Program, ENOEXEC, "'#!'"),
        (
            Exec { env: env([("PATH", path)]), ..with_umask("plain", []) },
            Step::Program,
            ENOEXEC,
            "'#!'",
        ),
        (with_umask(&format!("{path}/odd"), []), Step::Program, ENOENT, "interpreter"),
        (with_umask("/no/such/program", []), Step::Program, ENOENT, "/no/such/program"),
        (with_umask("/etc/passwd", []), Step::Program, EACCES, "/etc/passwd"),
        (with_umask("true", [&much]), Step::Program, E2BIG, "too large"),
        (
            Exec { cwd: Some("/no/such".into()), ..with_umask("true", []) },
            Step::Cwd,
            ENOENT,
            "/no/such",
        ),
    ] {
        let (outcome, seen) = run(Operation::Exec(exec)).await;
        let failure = rejected(outcome);
        assert_eq!(failure.code, "start_failed");
        assert_eq!((failure.step, failure.errno), (Some(step), Some(errno)), "{failure}");
        assert!(
            failure.message.contains(named) && !failure.message.contains("os error"),
            "{failure}"
        );
        assert!(seen.0.borrow().handle.is_none(), "it never started");
    }
}

#[tokio::test]
async fn a_user_has_its_own_ids_and_nothing_of_roots() {
    if !is_root() {
        return;
    }
    let script = "id -u; id -g; id -G; echo \"$HOME $USER $LOGNAME\"; grep -e ^Uid -e ^Gid -e ^Groups -e ^Cap[IPEA] /proc/self/status";
    let (outcome, seen) = run(script_as(STRANGER, script)).await;
    assert_eq!(outcome, Outcome::Exited { code: 0 });
    let lines = seen.lines();
    let id = STRANGER.to_string();
    assert_eq!(lines[..3], [id.as_str(), &id, &id]);
    assert_eq!(lines[3], format!("/ {id} {id}"));
    for line in &lines[4..] {
        let (name, values) = line.split_once(':').unwrap();
        let expected = if name.starts_with("Cap") { "0000000000000000" } else { id.as_str() };
        assert!(values.split_whitespace().all(|value| value == expected), "{line}");
    }
    assert_eq!(lines.len(), 4 + 3 + 4);
}

#[tokio::test]
async fn a_user_is_found_by_name() {
    let (root, nobody) = ("root".parse().unwrap(), "nobody".parse().unwrap());
    let own = Account::current();
    if is_root() {
        assert_eq!(Account::named(&root).unwrap(), own, "nothing has to be taken on");
        let (_, seen) = run(script_as("nobody", "id -un; id -u; echo $HOME")).await;
        let Account { name, uid, home, .. } = Account::named(&nobody).unwrap();
        assert_eq!(seen.lines(), [name, uid.to_string(), home]);
    } else {
        let failure = Account::named(&root).unwrap_err();
        assert_eq!((failure.step, failure.errno), (Some(Step::User), Some(1)));
    }
    let (outcome, seen) = run(script_as("no-such-user", "true")).await;
    let failure = rejected(outcome);
    assert_eq!((failure.step, failure.errno), (Some(Step::User), Some(ENOENT)));
    assert!(failure.message.contains("no-such-user"), "{failure}");
    assert!(seen.0.borrow().handle.is_none(), "it never started");
}

#[tokio::test]
async fn directory_and_program_are_reached_as_the_user() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap().to_owned();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    let mut exec = Exec { user: Some(STRANGER.to_string().parse().unwrap()), ..Exec::new("true") };
    exec.cwd = Some(path.clone());
    let failure = rejected(run(Operation::Exec(exec.clone())).await.0);
    assert_eq!((failure.step, failure.errno), (Some(Step::Cwd), Some(EACCES)), "{failure}");
    assert!(failure.message.contains(&path), "{failure}");
    let script = format!("printf '#!/bin/sh\\n' > {path}/mine; chmod +x {path}/mine");
    assert_eq!(run(shell(&script)).await.0, Outcome::Exited { code: 0 });
    (exec.cwd, exec.command) = (None, format!("{path}/mine"));
    let failure = rejected(run(Operation::Exec(exec)).await.0);
    assert_eq!((failure.step, failure.errno), (Some(Step::Program), Some(EACCES)), "{failure}");
}

#[tokio::test]
async fn what_runs_as_another_user_is_ended_like_everything_else() {
    if !is_root() {
        return;
    }
    for executor in impatient() {
        let script =
            "echo $$; setsid sh -c 'trap \"\" TERM; echo $$; sleep 1000 & wait; sleep 1000' & wait";
        let running = Run::begin(executor, script_as(STRANGER, script));
        let pids = within(running.seen.pids(2)).await;
        running.stopper.stop(crate::executor::StopReason::Cancel);
        assert_eq!(within(running.end()).await.0, Outcome::Cancelled);
        assert!(!pids.into_iter().any(is_alive));
    }
}

#[tokio::test]
async fn the_environment_of_a_user_is_the_clean_one_of_theirs() {
    if !is_root() {
        return;
    }
    let account = Account::named(&"nobody".parse().unwrap()).unwrap();
    let operation =
        Operation::Exec(Exec { user: Some("nobody".parse().unwrap()), ..Exec::new("env") });
    let running = Run::begin(executor(), operation);
    let execution = Execution { job: running.job, host: "local".parse().unwrap() };
    let expected = environment(&account, &execution, &BTreeMap::new());
    let (_, seen) = within(running.end()).await;
    let lines = seen.lines();
    let seen = lines.iter().map(|line| line.split_once('=').unwrap());
    let seen: BTreeMap<_, _> = seen.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    assert_eq!(seen, expected);
}
