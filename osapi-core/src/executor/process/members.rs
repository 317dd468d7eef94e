//! Who belongs to an execution. Whoever is to be signalled is held by a pidfd first, so that the signal cannot reach a stranger to
//! whom the number went.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::procfs::{self, StartedBy, Stat};
use super::{Execution, children, prepare, system};

/// The first process of an execution, as it can be recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaderMark {
    pub(super) pid: Pid,
    /// In clock ticks since boot.
    pub(super) start: u64,
}

/// Where its processes can be.
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

/// How the processes of an execution are found.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) execution: Execution,
    pub(super) leader: Option<LeaderMark>,
    pub(super) reach: Reach,
}

impl Search {
    /// Those that are alive, when the pids `inside` are known to belong to it. Blocks.
    pub(super) fn find(&self, inside: &[i32]) -> Vec<Stat> {
        let mut near = Near::default();
        match self.reach {
            Reach::Below => near.look(self.leader.map(|leader| leader.pid.as_raw_pid())),
            Reach::Anywhere => near.pids.extend(procfs::all()),
        }
        near.pids.extend(inside);
        near.pids.remove(&(std::process::id() as i32));
        let stats: BTreeMap<i32, Stat> =
            near.pids.iter().filter_map(|pid| Some((*pid, procfs::stat(*pid)?))).collect();
        let started_by = |pid: i32| procfs::started_by(pid, &self.execution);
        belonging(&stats, self.leader, inside, |pid| near.strays.contains(&pid), started_by)
    }
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

/// Those of `stats` that are alive and belong to the execution: its leader's group and session, what carries its names, what is `inside`
/// its control group, strays that no other one claims, and the descendants of all these.
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
            StartedBy::This => true,
            StartedBy::Other => false,
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

/// A process that is held on to.
#[derive(Debug)]
pub(super) struct Member {
    stat: Stat,
    fd: OwnedFd,
}

impl Member {
    /// Holds on to the process of `stat`, if it is still there.
    pub(super) fn hold(stat: Stat) -> Option<Self> {
        let fd = pidfd_open(Pid::from_raw(stat.pid)?, PidfdFlags::empty()).ok()?;
        // The number may have gone to somebody else before it was opened.
        let is_it = procfs::stat(stat.pid).is_some_and(|now| now.start == stat.start);
        is_it.then_some(Self { stat, fd })
    }

    /// The process group in which it was when it was found.
    pub(super) fn group(&self) -> i32 {
        self.stat.group
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Err(err) = pidfd_send_signal(&self.fd, signal)
            && err != rustix::io::Errno::SRCH
        {
            tracing::warn!(pid = self.stat.pid, error = %err, "a process was not signalled");
        }
    }
}

/// Waits until all of them have ended.
pub(super) async fn ended(members: Vec<Member>) {
    for Member { stat, fd } in members {
        // A pidfd is readable once its process has ended (pidfd_open(2)).
        let ended = match system::watch_readable(fd) {
            Ok(fd) => fd.readable().await.map(|_| ()),
            Err(err) => Err(err),
        };
        if let Err(err) = ended {
            tracing::debug!(pid = stat.pid, error = %err, "cannot wait for a process");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Between two looks when a process cannot be waited for.
const RETRY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: i32, parent: i32, group: i32, session: i32, start: u64) -> Stat {
        Stat { pid, parent, group, session, start, ended: false }
    }

    /// Those of `stats` that belong to the job of process 10, which was started at 100.
    fn found(stats: &[Stat], started_by: impl Fn(i32) -> StartedBy) -> Vec<i32> {
        let stats = stats.iter().map(|stat| (stat.pid, *stat)).collect();
        let leader = Some(LeaderMark { pid: Pid::from_raw(10).unwrap(), start: 100 });
        let found = belonging(&stats, leader, &[70], |pid| pid == 60, started_by);
        found.into_iter().map(|stat| stat.pid).collect()
    }

    #[test]
    fn all_signs_of_belonging_are_taken() {
        let stats = [
            stat(10, 1, 10, 5, 100),
            stat(11, 10, 11, 11, 101), // a child in a session of its own
            stat(12, 11, 11, 11, 102), // and its child
            stat(20, 1, 10, 5, 101),   // left by its parent, in the group
            stat(30, 1, 30, 30, 101),  // left, and carries the id
            stat(40, 1, 40, 40, 101),  // carries another job's
            stat(50, 1, 50, 50, 101),  // nobody's
            stat(51, 1, 51, 51, 99),   // carries the id, and is older than the job
            stat(60, 1, 60, 60, 101),  // can only be of this job
            stat(70, 1, 70, 70, 101),  // in its control group
            Stat { ended: true, ..stat(80, 10, 10, 5, 101) },
        ];
        let started_by = |pid| match pid {
            30 | 51 => StartedBy::This,
            40 => StartedBy::Other,
            _ => StartedBy::Unknown,
        };
        assert_eq!(found(&stats, started_by), [10, 11, 12, 20, 30, 60, 70]);
    }

    #[test]
    fn a_group_of_a_number_that_was_used_again_is_left_alone() {
        let again = [stat(10, 1, 10, 10, 500), stat(11, 10, 10, 10, 501)];
        assert_eq!(found(&again, |_| StartedBy::Unknown), [0; 0]);
        assert_eq!(found(&again[1..], |_| StartedBy::Unknown), [0; 0]);
    }
}
