//! What concerns a whole process runs in one of its own: this test program again, with one of the ignored tests.

use super::*;
use crate::executor::StopReason;
use crate::executor::process::prepare_this_process;

/// Set in a process that runs one test only.
const ALONE: &str = "OSAPI_TEST_ALONE";

/// Runs the ignored test `name` of this module in a process that was started the way a careless parent does.
#[expect(clippy::disallowed_methods, reason = "this is the process executor")]
fn in_its_own_process(name: &str) {
    let careless = "import os, signal, sys
os.umask(0o077)
os.geteuid() == 0 and os.setgroups([4, 27])
os.dup2(0, 42, inheritable=True)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])
os.execv(sys.argv[1], sys.argv[1:])";
    let module = module_path!().split_once("::").unwrap().1;
    let status = std::process::Command::new("python3")
        .args(["-c", careless])
        .arg(std::env::current_exe().unwrap())
        .env(ALONE, "1")
        .args([&format!("{module}::{name}"), "--exact", "--ignored", "--quiet"])
        .status()
        .unwrap();
    assert!(status.success());
}

fn prepared(work: impl Future<Output = ()>) {
    assert!(std::env::var_os(ALONE).is_some(), "other tests of this process would suffer");
    prepare_this_process().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(within(work));
}

#[test]
fn commands_get_defaults_whatever_the_agent_got() {
    in_its_own_process("defaults");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn defaults() {
    prepared(async {
        assert_eq!(run(shell("umask")).await.1.stdout(), "0022\n");
        let signals = async |field: &str| {
            let (_, seen) = run(exec("grep", [field, "/proc/self/status"])).await;
            u64::from_str_radix(seen.stdout().split_whitespace().nth(1).unwrap(), 16).unwrap()
        };
        assert_eq!(signals("SigBlk").await, 0);
        // Two belong to the C library (nptl(7)), which lets nobody change them.
        let of_the_library = 1 << (32 - 1) | 1 << (33 - 1);
        assert_eq!(signals("SigIgn").await & !of_the_library, 0);
        // The last one is that of ls itself.
        assert_eq!(run(exec("ls", ["/proc/self/fd"])).await.1.lines(), ["0", "1", "2", "3"]);
        // What was to be ignored still does not end this process.
        let (outcome, _) = run(shell("kill -HUP $PPID; kill -USR1 $PPID")).await;
        assert_eq!(outcome, Outcome::Exited { code: 0 });
    });
}

#[test]
fn a_subreaper_finds_what_has_left_everything_behind() {
    in_its_own_process("subreaper");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn subreaper() {
    // No group, no session, no parent, no name: only that it fell to this process.
    let script = "env -i setsid sh -c 'sleep 1000 & echo $!' & wait; echo $$; ";
    prepared(async {
        for executor in impatient() {
            let (outcome, seen) = Run::begin(executor, shell(script)).end().await;
            assert_eq!(outcome, Outcome::Exited { code: 0 });
            assert!(!seen.pids(2).await.into_iter().any(is_alive));
        }
        for executor in impatient() {
            let running = Run::begin(executor, shell(&format!("{script} sleep 1000")));
            let pids = running.seen.pids(2).await;
            running.stopper.stop(StopReason::Timeout);
            assert_eq!(running.end().await.0, Outcome::TimedOut);
            assert!(!pids.into_iter().any(is_alive));
        }
        let children = procfs::children(std::process::id() as i32);
        assert_eq!(children, [0; 0], "every orphan is reaped");
    });
}

#[test]
fn no_group_of_the_agent_is_left_to_another_user() {
    in_its_own_process("stranger");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn stranger() {
    prepared(async {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let groups = |user: &str| {
            let user = Some(user.parse().unwrap());
            Operation::Shell(Shell { user, ..Shell::new("grep ^Groups /proc/self/status") })
        };
        assert_eq!(run(shell("id -G")).await.1.stdout(), "0 4 27\n", "the agent has some");
        assert_eq!(run(groups("61001")).await.1.stdout().trim(), "Groups:\t61001");
    });
}

#[test]
fn what_goes_on_survives_later_commands_and_is_reaped_when_it_ends() {
    in_its_own_process("kept");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn kept() {
    prepared(async {
        // Nothing tells whose they are but that they fell to this process.
        let script = "env -i setsid sh -c 'sleep 1000 & echo $!' & wait; sleep 1000 & echo $!";
        let keeping =
            |script| Operation::Shell(Shell { keep_children: true, ..Shell::new(script) });
        for executor in impatient() {
            let (_, seen) = Run::begin(executor, keeping(script)).end().await;
            let pids = seen.pids(2).await;
            for executor in impatient() {
                let (outcome, _) =
                    Run::begin(executor, shell("setsid sleep 1000 & exit 5")).end().await;
                assert_eq!(outcome, Outcome::Exited { code: 5 });
            }
            assert!(pids.iter().all(|pid| is_alive(*pid)), "later commands left them alone");
            for pid in pids {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            }
            // A zombie is gone once its end was seen.
            run(shell("true")).await;
            eventually_without_children().await;
        }
        // And then what escapes can only be the one command's again.
        let script = "env -i setsid sh -c 'sleep 1000 & echo $!' & wait";
        let (_, seen) = Run::begin(executor().without_cgroups(), shell(script)).end().await;
        assert!(!is_alive(seen.pids(1).await[0]));
    });
}

#[test]
fn what_goes_on_may_start_more_while_another_command_runs() {
    in_its_own_process("growing");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn growing() {
    prepared(async {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (go, first, second) = (file("go"), file("first"), file("second"));
        // What it starts later is younger than the other command, and nothing tells whose it is either.
        let script = format!(
            "env -i setsid sh -c 'echo $$ > {first}; while [ ! -e {go} ]; do sleep 0.02; done; (sleep 1000 & echo $! > {second}); exec sleep 1000' >/dev/null 2>&1 & while [ ! -s {first} ]; do sleep 0.02; done"
        );
        let keeping = Operation::Shell(Shell { keep_children: true, ..Shell::new(script) });
        Run::begin(executor().without_cgroups(), keeping).end().await;
        let script = format!("touch {go}; while [ ! -s {second} ]; do sleep 0.02; done");
        Run::begin(executor().without_cgroups(), shell(&script)).end().await;
        for file in [first, second] {
            let pid: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
            assert!(is_alive(pid));
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    });
}

async fn eventually_without_children() {
    while !procfs::children(std::process::id() as i32).is_empty() {
        run(shell("true")).await;
    }
}

#[test]
fn many_at_once_do_not_take_each_other_for_orphans() {
    in_its_own_process("many");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn many() {
    prepared(async {
        for _ in 0..10 {
            let script = "setsid sleep 1000 & echo $!; exit 4";
            let running: Vec<Run> = (0..10).map(|_| Run::shell(script)).collect();
            for running in running {
                let (outcome, seen) = running.end().await;
                assert_eq!(outcome, Outcome::Exited { code: 4 });
                assert!(!is_alive(seen.pids(1).await[0]));
            }
        }
        let (_, _) = run(exec("true", [])).await;
        let children = procfs::children(std::process::id() as i32);
        assert_eq!(children, [0; 0], "every orphan is reaped");
    });
}

#[test]
fn what_could_be_another_command_s_is_left_to_it() {
    in_its_own_process("two");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn two() {
    prepared(async {
        let bare = || executor().without_cgroups();
        let script = "env -i setsid sh -c 'sleep 1000 & echo $!' & wait; sleep 1000";
        let other = Run::begin(bare(), shell(script));
        let pid = other.seen.pids(1).await[0];
        Run::begin(bare(), shell("exit 0")).end().await;
        assert!(is_alive(pid));
        other.stopper.stop(StopReason::Cancel);
        other.end().await;
        assert!(!is_alive(pid));
    });
}
