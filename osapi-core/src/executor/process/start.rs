//! Starting a command: everything that can block, in one go, on a thread where it may.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use rustix::process::{PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::unix::AsyncFd;

use super::bounds::{Bounds, need_group};
use super::cgroup::Cgroup;
use super::child::Plan;
use super::children::Leader;
use super::guard::{Guard, Terms, Way};
use super::input::Input;
use super::members::LeaderMark;
use super::pipes::Pipes;
use super::procfs;
use super::program::Command;
use super::system;
use crate::executor::Stop;
use crate::job::{Outcome, Stdin};

/// A command that was started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) leader: Leader,
    pub(super) mark: LeaderMark,
    /// Readable once the leader has ended.
    pub(super) exit: AsyncFd<OwnedFd>,
    pub(super) pipes: Pipes,
    /// What it was given to read.
    pub(super) input: Option<Input>,
    /// Whether it has been in its control group from the beginning.
    pub(super) is_contained: bool,
    /// Within which bounds the rules allow it.
    pub(super) terms: Terms,
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

/// Starts `command`, unless `stop` does not permit that any more once everything was looked up. Blocks until its program is executed.
///
/// # Errors
/// `Rejected` if it was not started: which step, and the system's error; or what `stop` says. `Lost` if it was, and could not be watched.
pub(super) fn start(
    command: &Command,
    guard: &Guard,
    group: Option<&Cgroup>,
    stop: &Stop,
) -> Result<Started, Outcome> {
    let program = command.locate().map_err(Outcome::Rejected)?;
    let way = guard.way(command, program).map_err(Outcome::Rejected)?;
    let bounds = Bounds::prepare(&command.limits, &command.account, group);
    let bounds = bounds.map_err(Outcome::Rejected)?;
    let limited = group.filter(|_| need_group(&command.limits));
    let started = start_within(command, &way, bounds, limited.is_some(), stop);
    if let (Err(_), Some(group)) = (&started, limited)
        && let Err(err) = group.remove()
    {
        tracing::warn!(error = %err, "a control group without a command stays behind");
    }
    started
}

fn start_within(
    command: &Command,
    way: &Way,
    bounds: Bounds,
    is_contained: bool,
    stop: &Stop,
) -> Result<Started, Outcome> {
    let not_started = |err: io::Error| Outcome::Rejected(command.failure(&way.program, &err));
    let (stdin, to) = stdin(command).map_err(not_started)?;
    // A directory of a server that is away can take minutes to be looked up.
    stop.permits_start()?;
    let mut leader = Leader::start(|| spawn(command, way, bounds, stdin)).map_err(not_started)?;
    match watch(&mut leader, to.zip(command.stdin.clone())) {
        Ok((mark, exit, pipes, input)) => {
            Ok(Started { leader, mark, exit, pipes, input, is_contained, terms: way.terms })
        }
        Err(err) => {
            tracing::error!(job = %command.execution.job, error = %err, "a command cannot be watched and is ended");
            abandon(leader);
            Err(Outcome::Lost)
        }
    }
}

fn abandon(mut leader: Leader) {
    let killed = kill_process_group(leader.pid(), Signal::KILL);
    let reaped = leader.wait();
    tracing::debug!(?killed, ?reaped, "a command was ended unwatched");
}

/// What the command reads, and where that is to be written. A request that gives nothing gives nothing of the agent's own either.
fn stdin(command: &Command) -> io::Result<(Stdio, Option<OwnedFd>)> {
    if command.stdin.is_none() {
        return Ok((Stdio::null(), None));
    }
    let (from, to) = io::pipe()?;
    Ok((from.into(), Some(to.into())))
}

/// Unless more is needed, there is no `pre_exec` and no look-up in PATH here: with either, std forks and executes through execvp(3), which
/// runs a script without `#!` under `/bin/sh`, silently. Without them it uses posix_spawn(3), which does not, and which costs the same
/// from a process of any size. Where a [`Plan`] is needed, that executes the program itself. Descriptors are all close-on-exec.
#[expect(clippy::disallowed_methods, reason = "this is the process executor")]
fn spawn(
    command: &Command,
    way: &Way,
    bounds: Bounds,
    stdin: Stdio,
) -> io::Result<std::process::Child> {
    let mut process = std::process::Command::new(&way.program);
    process.process_group(0).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    if command.needs_preparation() {
        system::follow(&mut process, Plan::new(command, way, bounds)?);
    } else {
        process.arg0(&way.arg0).args(&command.args).current_dir(&way.cwd);
        process.env_clear().envs(&command.env);
    }
    process.spawn()
}

fn watch(
    leader: &mut Leader,
    input: Option<(OwnedFd, Stdin)>,
) -> io::Result<(LeaderMark, AsyncFd<OwnedFd>, Pipes, Option<Input>)> {
    let pid = leader.pid();
    let exit = system::watch_readable(pidfd_open(pid, PidfdFlags::empty())?)?;
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let start = procfs::stat(pid.as_raw_pid()).ok_or_else(missing)?.start;
    let (stdout, stderr) = leader.take_output().ok_or_else(missing)?;
    let input = input.map(|(to, bytes)| Input::new(to, bytes)).transpose()?;
    Ok((LeaderMark { pid, start }, exit, Pipes::new(stdout, stderr)?, input))
}
