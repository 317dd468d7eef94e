//! Ending what an execution left behind when the agent was interrupted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::time::timeout;

use super::Execution;
use super::cgroup::{Cgroup, Cgroups};
use super::members::{LeaderMark, Reach};
use super::procfs;
use super::start::Detail;
use super::tree::{Groups, Tree};
use crate::blocking::blocking;
use crate::executor::Handle;
use crate::id::AgentName;

/// Ends everything that can be found of `handle`: by its control group, by its first process and that one's group and
/// session, and by whose the environment says that it is.
pub(super) async fn end(
    handle: &Handle,
    host: &AgentName,
    cgroups: Option<&Cgroups>,
    wait: Duration,
) -> io::Result<()> {
    let execution = Execution { job: handle.job, host: host.clone() };
    let (handle, cgroups) = (handle.clone(), cgroups.cloned());
    let tree = blocking(move || Arc::new(tree_of(execution, &handle, cgroups.as_ref()))).await;
    if timeout(wait, tree.kill()).await.is_err() {
        let message = format!("processes of job {} are left after SIGKILL", tree.execution.job);
        return Err(io::Error::new(io::ErrorKind::TimedOut, message));
    }
    blocking(move || tree.close()).await
}

fn tree_of(execution: Execution, handle: &Handle, cgroups: Option<&Cgroups>) -> Tree {
    let detail = detail_of(handle).filter(|detail| detail.boot_id == procfs::boot_id());
    let leader = detail.as_ref().and_then(|detail| {
        Some(LeaderMark { pid: Pid::from_raw(detail.pid)?, start: detail.start_time })
    });
    let noted = detail.and_then(|detail| Cgroup::known(&detail.cgroup?, &execution));
    // The agent may be in another group by now, or have crashed before it noted anything.
    let here = cgroups.map(|cgroups| cgroups.of(&execution));
    let mut joined: Vec<Cgroup> = noted.into_iter().chain(here).collect();
    joined.dedup();
    let groups = Groups { planned: None, joined };
    Tree { execution, leader, groups: groups.into(), reach: Reach::Anywhere, holds_leader: false }
}

fn detail_of(handle: &Handle) -> Option<Detail> {
    if handle.detail.is_null() {
        return None;
    }
    serde_json::from_value(handle.detail.clone())
        .inspect_err(|err| {
            tracing::warn!(job = %handle.job, error = %err, "the note of a command cannot be read");
        })
        .ok()
}
