//! The life of one command, from its start to the moment when nothing of it is left.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join3;
use rustix::process::Signal;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cgroup::{self, Cgroup};
use super::children::{self, Leader};
use super::guard::Guard;
use super::members::Reach;
use super::program::{Children, Command};
use super::start::{Detail, Started, start};
use super::tree::{Groups, Tree};
use crate::blocking::blocking;
use crate::executor::{Events, Handle, Stop, StopReason};
use crate::job::Outcome;

/// How long things take at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Between SIGTERM and SIGKILL.
    pub(super) kill_grace: Duration,
    /// After the command's exit, for what it left in the background to write and end; and after that was ended, for each pipe
    /// that is still held.
    pub(super) drain_grace: Duration,
    /// A command that runs longer is put into its control group: not the short ones, because that takes milliseconds.
    pub(super) contain_after: Duration,
    /// For what was sent SIGKILL to be gone. A process in an uninterruptible sleep may take longer, or for ever.
    pub(super) kill_wait: Duration,
}

/// Starts `command`, follows it to its end, and ends what it leaves behind.
pub(super) async fn run(
    command: Command,
    guard: Guard,
    group: Option<Cgroup>,
    limits: Limits,
    events: &dyn Events,
    stop: Stop,
) -> Outcome {
    let execution = command.execution.clone();
    let (job, asked) = (execution.job, stop.clone());
    let (planned, children) = (group.clone(), command.children);
    let started = blocking(move || start(&command, &guard, planned.as_ref(), &asked)).await;
    let Started { leader, mark, exit, pipes, input, is_contained, terms } = match started {
        Ok(started) => started,
        Err(outcome) => return outcome,
    };
    if let Some(bytes) = terms.max_output {
        events.keep_at_most(bytes);
    }
    let detail = Detail::new(mark, group.as_ref()).to_value();
    let groups = match is_contained {
        true => Groups { planned: None, joined: group.into_iter().collect() },
        false => Groups { planned: group, joined: Vec::new() },
    };
    let reach = Reach::of_this_process();
    let tree =
        Tree { execution, leader: Some(mark), groups: groups.into(), reach, holds_leader: true };
    let running = Running { tree: Arc::new(tree), leader, exit, limits, children };
    events.started(Handle { job, detail }).await;

    let (drained, gone) = (CancellationToken::new(), CancellationToken::new());
    let drain = async {
        pipes.drain(events, &gone, limits.drain_grace).await;
        drained.cancel();
    };
    let feed = async {
        if let Some(input) = input {
            input.feed(&gone).await;
        }
    };
    let life = async {
        let stopped = running.until_end(stop).await;
        if stopped.is_none() {
            // What it started in the background may have a last word: `cmd > >(tee log)` is common.
            drop(timeout(limits.drain_grace, drained.cancelled()).await);
        }
        if stopped.is_some() || children == Children::End {
            running.kill().await;
        }
        gone.cancel();
        stopped
    };
    let ((), (), stopped) = join3(drain, feed, life).await;
    let keeps = stopped.is_none() && children == Children::Keep;
    let (status, for_memory) = running.close(keeps).await;
    outcome(stopped, status, for_memory)
}

/// A command that was started.
struct Running {
    tree: Arc<Tree>,
    leader: Leader,
    exit: AsyncFd<OwnedFd>,
    limits: Limits,
    children: Children,
}

impl Running {
    /// Waits for the leader's exit, or until it had its time to end after it was told to stop, and why.
    async fn until_end(&self, mut stop: Stop) -> Option<StopReason> {
        // All branches only wait.
        let reason = tokio::select! {
            biased;
            () = self.exited() => return None,
            reason = stop.requested() => reason,
            () = self.contain() => pending().await,
        };
        // A command that has ended has ended, also if the runtime has not heard of it yet: the stop is too late.
        if self.leader.has_ended() {
            return None;
        }
        let tree = Arc::clone(&self.tree);
        blocking(move || {
            // From within its control group nothing escapes by forking faster than it is found.
            tree.contain();
            tree.terminate();
        })
        .await;
        if timeout(self.limits.kill_grace, self.tree.gone()).await.is_err() {
            tracing::info!(job = %self.tree.execution.job, "the command did not end when asked, and is killed");
        }
        Some(reason)
    }

    async fn exited(&self) {
        if let Err(err) = self.exit.readable().await {
            // Only when the runtime shuts down: nobody waits for an answer any more.
            tracing::debug!(job = %self.tree.execution.job, error = %err, "cannot wait for the command");
            pending().await
        }
    }

    /// Puts the command into its control group once that is worth while, and then pends for ever. If it is dropped while it does,
    /// the rest happens behind the lock that the end waits for.
    async fn contain(&self) {
        sleep(self.limits.contain_after).await;
        if self.children == Children::Keep {
            // What goes on later is not to be in a group of a command that has ended.
            pending::<()>().await;
        }
        let tree = Arc::clone(&self.tree);
        blocking(move || tree.contain()).await;
        pending().await
    }

    async fn kill(&self) {
        if timeout(self.limits.kill_wait, self.tree.kill()).await.is_err() {
            tracing::error!(job = %self.tree.execution.job, "processes of the command are left after SIGKILL");
        }
    }

    /// Reaps the leader and removes the control group, unless what the command left goes on in it. Also whether the kernel killed some of it
    /// for memory.
    async fn close(self, keeps: bool) -> (io::Result<Option<ExitStatus>>, bool) {
        let Self { tree, mut leader, .. } = self;
        blocking(move || {
            let for_memory = tree.was_out_of_memory();
            if keeps {
                children::keep_orphans();
                tree.leave();
            }
            if let Err(err) = tree.close() {
                tracing::warn!(job = %tree.execution.job, error = %err, "the control group stays behind");
            }
            cgroup::remove_left();
            (leader.reap(), for_memory)
        })
        .await
    }
}

fn outcome(
    stopped: Option<StopReason>,
    status: io::Result<Option<ExitStatus>>,
    for_memory: bool,
) -> Outcome {
    match (stopped, status) {
        (Some(StopReason::Timeout), _) => Outcome::TimedOut,
        (Some(StopReason::Cancel), _) => Outcome::Cancelled,
        (Some(StopReason::Shutdown), _) => Outcome::Lost,
        (None, Ok(Some(status))) => match (status.code(), status.signal()) {
            (Some(code), _) => Outcome::Exited { code },
            (None, Some(signal)) => {
                let killed_for_memory = for_memory && signal == Signal::KILL.as_raw();
                Outcome::Signaled { signal, killed_for_memory }
            }
            (None, None) => Outcome::Lost,
        },
        (None, status) => {
            tracing::error!(?status, "the command ended, and somebody else took its exit status");
            Outcome::Lost
        }
    }
}
