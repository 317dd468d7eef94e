//! What a command may use, and what it may leave behind.

use super::*;
use crate::executor::StopReason;
use crate::job::ResourceLimits;
use crate::job::report::Step;

const EPERM: i32 = 1;

/// A user that is in no file, and whose processes nobody else's are.
const STRANGER: &str = "61003";

fn limits(texts: &[&str]) -> ResourceLimits {
    ResourceLimits::of(texts.iter().map(|text| text.parse().unwrap()))
}

fn limited(texts: &[&str], script: &str) -> Operation {
    Operation::Shell(Shell { limits: limits(texts), ..Shell::new(script) })
}

fn keeping(script: &str) -> Operation {
    Operation::Shell(Shell { keep_children: true, ..Shell::new(script) })
}

fn kill(pid: i32) {
    use rustix::process::{Pid, Signal, kill_process};
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_process_has_the_limits_that_were_asked_for_and_cannot_raise_them() {
    let asked = ["open-files=64", "file-size=1M", "core=0"];
    let (_, seen) = run(limited(&asked, "cat /proc/self/limits")).await;
    let line = |name: &str| {
        let lines = seen.lines();
        let line = lines.iter().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        let mut amounts = line.split_whitespace().map(ToOwned::to_owned);
        (amounts.next().unwrap(), amounts.next().unwrap())
    };
    assert_eq!(line("Max open files"), ("64".into(), "64".into()));
    assert_eq!(line("Max file size"), ("1048576".into(), "1048576".into()));
    assert_eq!(line("Max core file size"), ("0".into(), "0".into()));
    if is_root() {
        // Root may raise its own, by another capability than those that a user has.
        let limits = limits(&["open-files=64"]);
        let user = STRANGER.parse().ok();
        let shell = Shell { limits, user, ..Shell::new("ulimit -n 65") };
        assert_ne!(run(Operation::Shell(shell)).await.0, Outcome::Exited { code: 0 });
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn what_goes_beyond_a_limit_fails_as_the_system_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("large");
    let script = format!("exec head -c 2000000 /dev/zero > {}", file.display());
    let (outcome, _) = run(limited(&["file-size=1M"], &script)).await;
    let by_signal = Outcome::Signaled { signal: 25, killed_for_memory: false };
    assert_eq!(outcome, by_signal, "SIGXFSZ");
    assert_eq!(std::fs::metadata(file).unwrap().len(), 1 << 20);
    if is_root() {
        // The shell cannot fork a third time.
        let script = "sleep 1000 & sleep 1000 & sleep 1000 & wait";
        let user = Some("61004".parse().unwrap());
        let shell = Shell { user, limits: limits(&["processes=3"]), ..Shell::new(script) };
        let (outcome, seen) = run(Operation::Shell(shell)).await;
        assert!(matches!(outcome, Outcome::Exited { code } if code != 0), "{outcome:?}");
        let said = String::from_utf8(seen.0.borrow().stderr.clone()).unwrap();
        assert!(said.contains("fork"), "{said}");
    }
}

#[tokio::test]
async fn a_limit_that_cannot_be_held_to_is_refused_with_its_step() {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap();
    let more = format!("open-files={}", own + 1);
    let failure = rejected(run(limited(&[&more], "true")).await.0);
    assert_eq!((failure.step, failure.errno), (Some(Step::Limit), Some(EPERM)), "{failure}");
    if is_root() {
        let failure = rejected(run(limited(&["processes=9"], "true")).await.0);
        assert_eq!((failure.step, failure.errno), (Some(Step::Limit), Some(EPERM)), "{failure}");
        assert!(failure.message.contains("root"), "{failure}");
    }
    for (limit, controller) in [("memory=64M", "memory"), ("cpu=1", "cpu"), ("pids=9", "pids")] {
        let running = Run::begin(executor().without_cgroups(), limited(&[limit], "true"));
        let (outcome, seen) = within(running.end()).await;
        let failure = rejected(outcome);
        assert_eq!((failure.code.as_str(), failure.step), ("start_failed", Some(Step::Limit)));
        assert!(failure.message.contains(&format!("controller '{controller}'")), "{failure}");
        assert!(seen.0.borrow().handle.is_none(), "it never started");
    }
}

#[tokio::test]
async fn the_agents_limits_are_every_commands() {
    let bounded = || executor().with_resource_limits(limits(&["open-files=99", "core=0"]));
    let open_files = "grep 'open files' /proc/self/limits | tr -s ' ' | cut -d ' ' -f 4";
    for (asked, expected) in [(&[][..], "99\n"), (&["open-files=9"], "9\n")] {
        let operation = limited(asked, open_files);
        let (outcome, seen) = within(Run::begin(bounded(), operation).end()).await;
        assert_eq!((outcome, seen.stdout().as_str()), (Outcome::Exited { code: 0 }, expected));
    }
    let (outcome, _) = Run::begin(bounded(), limited(&["open-files=100"], "true")).end().await;
    let failure = rejected(outcome);
    assert_eq!(failure.step, Some(Step::Limit));
    assert!(failure.message.contains("open-files=99"), "{failure}");
}

#[tokio::test]
async fn what_is_to_go_on_goes_on_and_what_it_holds_is_incomplete() {
    for executor in impatient() {
        let running = Run::begin(executor, keeping("setsid sleep 1000 & echo $!; exit 3"));
        let (outcome, seen) = within(running.end()).await;
        let pid = seen.pids(1).await[0];
        assert!(is_alive(pid));
        assert_eq!(outcome, Outcome::Exited { code: 3 });
        assert_eq!(seen.0.borrow().incomplete, [Stream::Stdout, Stream::Stderr]);
        kill(pid);
    }
    let quiet = "sleep 1000 >/dev/null 2>&1 & echo $!";
    let (_, seen) = run(keeping(quiet)).await;
    assert!(seen.0.borrow().incomplete.is_empty());
    kill(seen.pids(1).await[0]);
}

#[tokio::test]
async fn a_stop_ends_also_what_was_to_go_on() {
    for reason in [StopReason::Timeout, StopReason::Cancel] {
        for executor in impatient() {
            let script = "setsid sleep 1000 & echo $!; sleep 1000 & echo $!; wait";
            let running = Run::begin(executor, keeping(script));
            let pids = within(running.seen.pids(2)).await;
            running.stopper.stop(reason);
            within(running.end()).await;
            assert!(!pids.into_iter().any(is_alive));
        }
    }
}

#[tokio::test]
async fn a_fork_bomb_ends_with_its_command() {
    if !is_root() {
        return;
    }
    for executor in impatient() {
        let user = Some("61005".parse().unwrap());
        let args = vec!["-c".to_owned(), BOMB.to_owned()];
        let exec = Exec { args, user, limits: limits(&["processes=40"]), ..Exec::new("python3") };
        let running = Run::begin(executor, Operation::Exec(exec));
        within(until(|| of_user(61_005) > 20)).await;
        running.stopper.stop(StopReason::Timeout);
        let (outcome, _) = within(running.end()).await;
        assert_eq!((outcome, of_user(61_005)), (Outcome::TimedOut, 0));
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

/// How many processes a user has that have not ended.
fn of_user(uid: u32) -> usize {
    use std::os::unix::fs::MetadataExt as _;
    let is_theirs = |pid: &i32| {
        let found = std::fs::metadata(format!("/proc/{pid}"));
        found.is_ok_and(|found| found.uid() == uid) && is_alive(*pid)
    };
    procfs::all().into_iter().filter(is_theirs).count()
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
