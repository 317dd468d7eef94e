//! Starting a command: everything that can block, in one go, on a thread where it may.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use rustix::process::{PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::unix::AsyncFd;

use super::cgroup::Cgroup;
use super::children::Leader;
use super::guard::{Guard, Way};
use super::members::LeaderMark;
use super::pipes::Pipes;
use super::procfs;
use super::program::Command;
use super::system;
use crate::job::{Failure, Outcome};

/// A command that was started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) leader: Leader,
    pub(super) mark: LeaderMark,
    /// Readable once the leader has ended.
    pub(super) exit: AsyncFd<OwnedFd>,
    pub(super) pipes: Pipes,
}

/// What a later run of the agent needs to find the processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Detail {
    /// The boot in which the rest is true.
    pub(super) boot_id: String,
    /// The first process.
    pub(super) pid: i32,
    /// When it was started, in clock ticks since boot.
    pub(super) start_time: u64,
    /// The control group that it has, or would have got.
    pub(super) cgroup: Option<String>,
}

impl Detail {
    pub(super) fn new(mark: LeaderMark, group: Option<&Cgroup>) -> Self {
        Self {
            boot_id: procfs::boot_id(),
            pid: mark.pid.as_raw_pid(),
            start_time: mark.start,
            cgroup: group.and_then(|group| group.path().to_str()).map(ToOwned::to_owned),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a struct of texts and numbers has a JSON form")
    }
}

/// Starts `command`. Blocks until its program is executed.
///
/// # Errors
/// `Rejected` if it was not started: which step, and the system's error. `Lost` if it was, and could not be watched.
pub(super) fn start(command: &Command, guard: Option<&Guard>) -> Result<Started, Outcome> {
    let way = way(command, guard).map_err(Outcome::Rejected)?;
    let mut leader = Leader::start(|| spawn(command, &way))
        .map_err(|err| Outcome::Rejected(command.failure(&way.program, &err)))?;
    match watch(&mut leader) {
        Ok((mark, exit, pipes)) => Ok(Started { leader, mark, exit, pipes }),
        Err(err) => {
            tracing::error!(job = %command.execution.job, error = %err, "a command cannot be watched and is ended");
            abandon(leader);
            Err(Outcome::Lost)
        }
    }
}

fn way(command: &Command, guard: Option<&Guard>) -> Result<Way, Failure> {
    let program = command.locate()?;
    match guard {
        Some(guard) => guard.way(command, program),
        None => Ok(Way { program, arg0: command.name.clone().into(), cwd: command.cwd.clone() }),
    }
}

fn abandon(mut leader: Leader) {
    let killed = kill_process_group(leader.pid(), Signal::KILL);
    let reaped = leader.wait();
    tracing::debug!(?killed, ?reaped, "a command was ended unwatched");
}

/// There is no `pre_exec` and no look-up in PATH here: with either, std forks and executes through execvp(3), which runs a script
/// without `#!` under `/bin/sh`, silently. Without them it uses posix_spawn(3), which does not, and which costs the same from a
/// process of any size. Descriptors are all close-on-exec.
#[expect(clippy::disallowed_methods, reason = "this is the process executor")]
fn spawn(command: &Command, way: &Way) -> io::Result<std::process::Child> {
    std::process::Command::new(&way.program)
        .arg0(&way.arg0)
        .args(&command.args)
        .current_dir(&way.cwd)
        .env_clear()
        .envs(&command.env)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn watch(leader: &mut Leader) -> io::Result<(LeaderMark, AsyncFd<OwnedFd>, Pipes)> {
    let pid = leader.pid();
    let exit = system::watch_readable(pidfd_open(pid, PidfdFlags::empty())?)?;
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let start = procfs::stat(pid.as_raw_pid()).ok_or_else(missing)?.start;
    let (stdout, stderr) = leader.take_output().ok_or_else(missing)?;
    Ok((LeaderMark { pid, start }, exit, Pipes::new(stdout, stderr)?))
}
