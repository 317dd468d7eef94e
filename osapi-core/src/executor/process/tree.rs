//! All processes of one job: who they are, and how they are ended. Whoever is signalled is held by a pidfd first, so that
//! the signal cannot reach a stranger with the same number.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use super::cgroup::Cgroup;
use super::procfs::{self, Stat};
use super::{children, prepare, system};
use crate::blocking::blocking;
use crate::id::JobId;

/// How often at most processes outside the control group are looked for: what forks faster is ended in the end all the same.
const ENTER_ROUNDS: u32 = 8;

/// The processes of one job.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) job: JobId,
    pub(super) leader: Option<LeaderMark>,
    pub(super) groups: Mutex<Groups>,
    pub(super) reach: Reach,
    /// Whether the leader is this process's own child and not reaped, so that its number still names its group.
    pub(super) holds_leader: bool,
}

/// The first process of the job, as it can be recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaderMark {
    pub(super) pid: Pid,
    /// In clock ticks since boot.
    pub(super) start: u64,
}

/// The control groups in which processes of the job may be.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Not made yet.
    pub(super) planned: Option<Cgroup>,
    /// May hold processes, and is removed at the end.
    pub(super) joined: Vec<Cgroup>,
}

/// Where processes of the job can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Below this process, which is their subreaper.
    Below,
    /// Anywhere: they were started by a process that is gone, or this one is no subreaper.
    Anywhere,
}

impl Reach {
    /// Where the processes are that this process starts.
    pub(super) fn of_this_process() -> Self {
        if prepare::is_prepared() && procfs::knows_children() {
            Self::Below
        } else {
            Self::Anywhere
        }
    }
}

/// A process that is held on to.
#[derive(Debug)]
struct Member {
    pid: i32,
    fd: OwnedFd,
}

impl Tree {
    /// Puts all of it into its control group, if one was planned. Blocks for milliseconds.
    pub(super) fn contain(&self) {
        let mut groups = self.groups();
        let Some(group) = groups.planned.take() else { return };
        let entered = group.create().and_then(|()| self.enter(&group));
        if let Err(err) = &entered {
            tracing::debug!(job = %self.job, error = %err, "the command runs without a control group");
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
            let found = self.find(&[]).into_iter().map(|stat| stat.pid);
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
        let elsewhere = |member: &Member| procfs::stat(member.pid).map(|stat| stat.group) != group;
        for member in self.members().iter().filter(|member| elsewhere(member)) {
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
            tracing::debug!(job = %self.job, error = %err, "the process group was not signalled");
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
                tracing::debug!(job = %self.job, error = %err, "the control group was not killed");
            }
        }
        members.iter().for_each(|member| member.signal(Signal::KILL));
        members
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

    /// Everything of it that is alive, held on to.
    fn members(&self) -> Vec<Member> {
        let inside: Vec<i32> = self.groups().joined.iter().flat_map(Cgroup::processes).collect();
        self.find(&inside).into_iter().filter_map(Member::hold).collect()
    }

    fn find(&self, inside: &[i32]) -> Vec<Stat> {
        let mut near = Near::default();
        match self.reach {
            Reach::Below => near.look(self.leader.map(|leader| leader.pid.as_raw_pid())),
            Reach::Anywhere => near.pids.extend(procfs::all()),
        }
        near.pids.extend(inside);
        near.pids.remove(&(std::process::id() as i32));
        let stats: BTreeMap<i32, Stat> =
            near.pids.iter().filter_map(|pid| Some((*pid, procfs::stat(*pid)?))).collect();
        let job = self.job.to_string();
        let started_by = |pid: i32| match procfs::job_of(pid) {
            Some(named) if named == job => StartedBy::Job,
            Some(_) => StartedBy::OtherJob,
            None => StartedBy::Unknown,
        };
        belonging(&stats, self.leader, inside, |pid| near.strays.contains(&pid), started_by)
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By whose environment a process was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StartedBy {
    Job,
    OtherJob,
    Unknown,
}

/// Those of `stats` that are alive and belong to the job: its leader's group and session, what carries its id, what is `inside` its
/// control group, strays that no other job claims, and the descendants of all these.
fn belonging(
    stats: &BTreeMap<i32, Stat>,
    leader: Option<LeaderMark>,
    inside: &[i32],
    is_stray: impl Fn(i32) -> bool,
    started_by: impl Fn(i32) -> StartedBy,
) -> Vec<Stat> {
    let since = leader.map_or(0, |mark| mark.start);
    // While the leader is there, ended or not, its number names its group and session, and nobody else's.
    let leader = leader
        .filter(|mark| stats.get(&mark.pid.as_raw_pid()).is_some_and(|s| s.start == mark.start))
        .map(|mark| mark.pid.as_raw_pid());
    let is_root = |stat: &Stat| {
        let near = leader.is_some_and(|pid| [stat.pid, stat.group, stat.session].contains(&pid));
        // Nothing of the job is older than its leader.
        let may_be = |found: StartedBy| match found {
            StartedBy::Job => true,
            StartedBy::OtherJob => false,
            StartedBy::Unknown => is_stray(stat.pid),
        };
        near || inside.contains(&stat.pid) || (stat.start >= since && may_be(started_by(stat.pid)))
    };
    let alive = || stats.values().filter(|stat| !stat.ended);
    let mut found: BTreeSet<i32> =
        alive().filter(|stat| is_root(stat)).map(|stat| stat.pid).collect();
    loop {
        let more: Vec<i32> = alive()
            .filter(|stat| !found.contains(&stat.pid) && found.contains(&stat.parent))
            .map(|stat| stat.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.into_iter().map(|pid| stats[&pid]).collect()
}

/// Where members may be found.
#[derive(Debug, Default)]
struct Near {
    pids: BTreeSet<i32>,
    /// Those of `pids` that can only belong to the one command that runs.
    strays: BTreeSet<i32>,
}

impl Near {
    /// Looks at what is below `leader` and below the orphans of this process.
    fn look(&mut self, leader: Option<i32>) {
        self.add_with_descendants(leader);
        // Orphans last, and until no other shows: what loses its parent while it is looked for falls to this process.
        loop {
            let orphans = children::orphans();
            if orphans.of_one {
                self.strays.extend(&orphans.pids);
            }
            let known = self.pids.len();
            self.add_with_descendants(orphans.pids);
            if self.pids.len() == known {
                return;
            }
        }
    }

    fn add_with_descendants(&mut self, roots: impl IntoIterator<Item = i32>) {
        let mut next: Vec<i32> = roots.into_iter().collect();
        while let Some(pid) = next.pop() {
            if self.pids.insert(pid) {
                next.extend(procfs::children(pid));
            }
        }
    }
}

impl Member {
    fn hold(stat: Stat) -> Option<Self> {
        let fd = pidfd_open(Pid::from_raw(stat.pid)?, PidfdFlags::empty()).ok()?;
        // The number may have gone to somebody else before it was opened.
        let is_it = procfs::stat(stat.pid).is_some_and(|now| now.start == stat.start);
        is_it.then_some(Self { pid: stat.pid, fd })
    }

    fn signal(&self, signal: Signal) {
        if let Err(err) = pidfd_send_signal(&self.fd, signal)
            && err != rustix::io::Errno::SRCH
        {
            tracing::warn!(pid = self.pid, error = %err, "a process was not signalled");
        }
    }
}

/// Waits until all of them have ended.
async fn ended(members: Vec<Member>) {
    for Member { pid, fd } in members {
        // A pidfd is readable once its process has ended (pidfd_open(2)).
        let ended = match system::watch_readable(fd) {
            Ok(fd) => fd.readable().await.map(|_| ()),
            Err(err) => Err(err),
        };
        if let Err(err) = ended {
            tracing::debug!(pid, error = %err, "cannot wait for a process");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Between two looks when a process cannot be waited for.
const RETRY: std::time::Duration = std::time::Duration::from_millis(10);
