use super::*;
use crate::executor::process::Execution;
use crate::executor::process::account::Account;
use crate::executor::process::environment::environment;
use crate::job::HostFacts;
use crate::job::report::Step;

const ENOENT: i32 = 2;
const E2BIG: i32 = 7;
const ENOEXEC: i32 = 8;
const EACCES: i32 = 13;
const ENOTDIR: i32 = 20;

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let (outcome, seen) = run(exec("printf", ["%s", "|>*$HOME `x` 'é\n"])).await;
    assert_eq!(outcome, Outcome::Exited { code: 0 });
    assert_eq!(seen.stdout(), "|>*$HOME `x` 'é\n");
}

#[tokio::test]
async fn a_program_is_called_by_the_name_that_was_given() {
    let (_, seen) = run(exec("cat", ["/proc/self/cmdline"])).await;
    assert_eq!(seen.stdout(), "cat\0/proc/self/cmdline\0");
}

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    assert_eq!(run(shell("exit 7")).await.0, Outcome::Exited { code: 7 });
    assert_eq!(
        run(shell("kill -USR1 $$")).await.0,
        Outcome::Signaled { signal: 10, killed_for_memory: false }
    );
}

#[tokio::test]
async fn the_environment_is_the_clean_one_and_nothing_else() {
    let given = env([("LANG", "C"), ("X", "a b"), ("OSAPI_JOB_ID", "forged")]);
    let operation = Operation::Exec(Exec { env: given.clone(), ..Exec::new("env") });
    let running = Run::begin(executor(), operation);
    let execution = Execution { job: running.job, host: "local".parse().unwrap() };
    let expected = environment(&Account::current(), &execution, &given);
    let (_, seen) = within(running.end()).await;
    let lines = seen.lines();
    let seen: BTreeMap<String, String> = lines
        .iter()
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn it_runs_where_it_is_told_in_a_group_of_its_own_without_input() {
    assert_eq!(run(exec("pwd", [])).await.1.stdout(), "/\n");
    let cwd = Operation::Exec(Exec { cwd: Some("/usr".into()), ..Exec::new("pwd") });
    assert_eq!(run(cwd).await.1.stdout(), "/usr\n");
    let (_, seen) = run(shell("cut -d ' ' -f 1,5 /proc/$$/stat; readlink /proc/$$/fd/0")).await;
    let lines = seen.lines();
    let (pid, group) = lines[0].split_once(' ').unwrap();
    assert_eq!((pid, lines[1].as_str()), (group, "/dev/null"));
}

#[tokio::test]
async fn no_descriptor_of_the_agent_is_inherited() {
    // What this process itself inherited is another matter: see `prepared`.
    let open = tempfile::NamedTempFile::new().unwrap();
    let (_, seen) = run(exec("ls", ["-l", "/proc/self/fd"])).await;
    assert!(!seen.stdout().contains(open.path().to_str().unwrap()), "{}", seen.stdout());
}

#[tokio::test]
async fn a_missing_directory_is_not_taken_for_a_missing_program() {
    let at = |cwd: &str, program: &str| {
        Operation::Exec(Exec { cwd: Some(cwd.into()), ..Exec::new(program) })
    };
    for (operation, step, errno, named) in [
        (at("/nonexistent", "true"), Step::Cwd, ENOENT, "/nonexistent"),
        (at("/etc/passwd", "true"), Step::Cwd, ENOTDIR, "/etc/passwd"),
        (at("/", "no-such-program"), Step::Program, ENOENT, "no-such-program"),
        (at("/", "/bin/no-such-program"), Step::Program, ENOENT, "/bin/no-such-program"),
        (at("/", "/etc/passwd"), Step::Program, EACCES, "/etc/passwd"),
        (at("/", "/etc"), Step::Program, EACCES, "/etc"),
    ] {
        let (outcome, seen) = run(operation).await;
        let failure = rejected(outcome);
        assert_eq!((failure.code.as_str(), failure.step), ("start_failed", Some(step)));
        assert_eq!(failure.errno, Some(errno), "{}", failure.message);
        assert!(failure.message.contains(named), "{}", failure.message);
        assert!(!failure.message.contains("os error"), "{}", failure.message);
        assert!(seen.0.borrow().handle.is_none(), "it never started");
    }
}

#[tokio::test]
async fn programs_are_looked_up_in_the_path_of_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    // Written by another process: one that is open for writing here could not be executed (ETXTBSY).
    let script = format!("cd {path}; printf '#!/bin/sh\\necho mine $0\\n' > uname; chmod +x uname");
    assert_eq!(run(shell(&script)).await.0, Outcome::Exited { code: 0 });
    let own =
        |path: &str| Operation::Exec(Exec { env: env([("PATH", path)]), ..Exec::new("uname") });
    let (_, seen) = run(own(&format!("/nonexistent:{path}:/usr/bin"))).await;
    assert_eq!(seen.stdout(), format!("mine {path}/uname\n"));
    let relative = Exec { cwd: Some(path.into()), ..Exec::new("./uname") };
    assert_eq!(run(Operation::Exec(relative)).await.1.stdout(), format!("mine {path}/./uname\n"));
    let failure = rejected(run(own("/nonexistent:/etc")).await.0);
    assert_eq!(failure.errno, Some(ENOENT));
    assert!(failure.message.contains("/nonexistent:/etc"), "{}", failure.message);
}

#[tokio::test]
async fn a_script_without_an_interpreter_is_not_run_by_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let script = format!(
        "cd {path}; echo 'echo run by a shell' > plain; printf '#!/no/such\\n' > odd; chmod +x *"
    );
    assert_eq!(run(shell(&script)).await.0, Outcome::Exited { code: 0 });
    for program in [format!("{path}/plain"), "plain".to_owned()] {
        let path = env([("PATH", path)]);
        let operation = Operation::Exec(Exec { env: path, ..Exec::new(program) });
        let failure = rejected(run(operation).await.0);
        assert_eq!((failure.step, failure.errno), (Some(Step::Program), Some(ENOEXEC)));
    }
    let failure = rejected(run(exec(&format!("{path}/odd"), [])).await.0);
    assert_eq!(failure.errno, Some(ENOENT));
    assert!(failure.message.contains("interpreter"), "{}", failure.message);
}

#[tokio::test]
async fn too_much_is_refused_by_the_system_with_its_number() {
    // One argument may have 128 KiB less one byte, execve(2).
    let failure = rejected(run(exec("true", [&"x".repeat(128 * 1024)])).await.0);
    assert_eq!((failure.step, failure.errno), (Some(Step::Program), Some(E2BIG)));
}

#[tokio::test]
async fn the_handle_names_the_process() {
    let running = Run::shell("echo $$; exec sleep 1000");
    let pid = within(running.seen.pids(1)).await[0];
    let handle = within(running.seen.handle()).await;
    assert_eq!(handle.job, running.job);
    assert_eq!(handle.detail["pid"], pid);
    assert_eq!(handle.detail["start_time"], procfs::stat(pid).unwrap().start);
    assert_eq!(handle.detail["boot_id"], procfs::boot_id());
    running.stopper.stop(crate::executor::StopReason::Cancel);
    within(running.end()).await;
}

#[tokio::test]
async fn facts_are_returned_as_a_value() {
    let (outcome, _) = run(Operation::Facts).await;
    let Outcome::Returned { value } = outcome else { panic!("{outcome:?}") };
    let facts: HostFacts = serde_json::from_value(value).unwrap();
    assert_eq!(facts.hostname, run(exec("uname", ["-n"])).await.1.stdout().trim());
    assert_eq!(facts.kernel, run(exec("uname", ["-r"])).await.1.stdout().trim());
}

#[tokio::test]
async fn what_is_unknown_is_refused() {
    let custom = crate::job::Custom {
        name: "reboot".into(),
        permission: crate::auth::permission::Permission::COMMAND_EXECUTE,
        input: serde_json::Value::Null,
        timeout: 1,
    };
    let operation = Operation::Custom(custom);
    assert_eq!(executor().admit(&operation, &submitter()).unwrap_err().code, "unsupported");
    assert_eq!(rejected(run(operation).await.0).code, "unsupported");
}
