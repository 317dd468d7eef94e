//! All processes of one execution, and how they are ended.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Signal, kill_process_group};

use super::Execution;
use super::cgroup::Cgroup;
use super::members::{LeaderMark, Member, Reach, Search, ended};
use crate::blocking::blocking;

/// How often at most processes outside the control group are looked for: what forks faster is ended in the end all the same.
const ENTER_ROUNDS: u32 = 8;

/// The processes of one execution.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) execution: Execution,
    pub(super) leader: Option<LeaderMark>,
    pub(super) groups: Mutex<Groups>,
    pub(super) reach: Reach,
    /// Whether the leader is this process's own child and not reaped, so that its number still names its group.
    pub(super) holds_leader: bool,
}

/// The control groups in which its processes may be.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Not made yet.
    pub(super) planned: Option<Cgroup>,
    /// May hold processes, and is removed at the end.
    pub(super) joined: Vec<Cgroup>,
}

impl Tree {
    /// Puts all of it into its control group, if one was planned. Blocks for milliseconds.
    pub(super) fn contain(&self) {
        let mut groups = self.groups();
        let Some(group) = groups.planned.take() else { return };
        let entered = group.create().and_then(|()| self.enter(&group));
        if let Err(err) = &entered {
            tracing::debug!(job = %self.execution.job, error = %err, "the command runs without a control group");
        }
        // It may exist, and even hold a process, also when something failed on the way.
        groups.joined.push(group);
    }

    fn enter(&self, group: &Cgroup) -> io::Result<()> {
        if let Some(leader) = self.leader {
            group.enter(leader.pid.as_raw_pid())?;
        }
        // What a process outside forked meanwhile is outside too.
        for _ in 0..ENTER_ROUNDS {
            let inside: BTreeSet<i32> = group.processes().into_iter().collect();
            let found = self.search().find(&[]).into_iter().map(|stat| stat.pid);
            let outside: Vec<i32> = found.filter(|pid| !inside.contains(pid)).collect();
            // A process that cannot be moved stays outside, where it is found by other means.
            if outside.into_iter().filter(|pid| group.enter(*pid).is_ok()).count() == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Asks all of it to end: SIGTERM, and SIGCONT for what is stopped. Blocks.
    pub(super) fn terminate(&self) {
        self.signal_process_group(Signal::TERM);
        self.signal_process_group(Signal::CONT);
        let group = self.leader.map(|leader| leader.pid.as_raw_pid());
        for member in self.members().iter().filter(|member| Some(member.group()) != group) {
            member.signal(Signal::TERM);
            member.signal(Signal::CONT);
        }
    }

    fn signal_process_group(&self, signal: Signal) {
        if self.holds_leader
            && let Some(leader) = self.leader
            && let Err(err) = kill_process_group(leader.pid, signal)
        {
            // There is always the leader at least, ended or not: its number is still its own.
            tracing::debug!(job = %self.execution.job, error = %err, "the process group was not signalled");
        }
    }

    /// Waits until nothing of it is left.
    ///
    /// # Cancel safety
    /// It may be dropped and called again.
    pub(super) async fn gone(self: &Arc<Self>) {
        loop {
            let tree = Arc::clone(self);
            let members = blocking(move || tree.members()).await;
            if members.is_empty() {
                return;
            }
            ended(members).await;
        }
    }

    /// Ends all of it with SIGKILL and waits until nothing is left.
    ///
    /// # Cancel safety
    /// It may be dropped and called again.
    pub(super) async fn kill(self: &Arc<Self>) {
        loop {
            let tree = Arc::clone(self);
            let members = blocking(move || tree.kill_once()).await;
            if members.is_empty() {
                return;
            }
            ended(members).await;
        }
    }

    fn kill_once(&self) -> Vec<Member> {
        // Held on to first: what is dying can no longer be recognised, and is to be waited for too.
        let members = self.members();
        self.signal_process_group(Signal::KILL);
        for group in &self.groups().joined {
            if let Err(err) = group.kill()
                && err.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(job = %self.execution.job, error = %err, "the control group was not killed");
            }
        }
        members.iter().for_each(|member| member.signal(Signal::KILL));
        members
    }

    /// Whether the kernel has killed a process of it for memory, as far as it is in a control group. Blocks.
    pub(super) fn was_out_of_memory(&self) -> bool {
        self.groups().joined.iter().any(Cgroup::was_out_of_memory)
    }

    /// Removes the control groups, which must be empty; none is made from now on. Blocks.
    ///
    /// # Errors
    /// When processes are still in one of them.
    pub(super) fn close(&self) -> io::Result<()> {
        let mut groups = self.groups();
        groups.planned = None;
        groups.joined.drain(..).try_for_each(|group| group.remove())
    }

    /// Leaves everything of it alone from now on. Its control groups are removed once nothing goes on in them.
    pub(super) fn leave(&self) {
        let mut groups = self.groups();
        groups.planned = None;
        groups.joined.drain(..).for_each(Cgroup::leave);
    }

    /// Everything of it that is alive, held on to.
    fn members(&self) -> Vec<Member> {
        let inside: Vec<i32> = self.groups().joined.iter().flat_map(Cgroup::processes).collect();
        self.search().find(&inside).into_iter().filter_map(Member::hold).collect()
    }

    fn search(&self) -> Search {
        Search { execution: self.execution.clone(), leader: self.leader, reach: self.reach }
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
