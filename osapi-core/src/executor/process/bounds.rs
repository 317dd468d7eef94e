//! How much a command may use, made ready before its process exists, and taken on by that process before it executes its program.

use std::fs::File;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource as Kind, Rlimit, getrlimit, setrlimit};

use super::account::Account;
use super::cgroup::Cgroup;
use super::program::reason;
use crate::job::report::{Failure, Step};
use crate::job::{Resource, ResourceLimits};

/// The bounds of one command.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    rlimits: Vec<(Kind, u64)>,
    /// The list of processes of its control group, to be written to.
    group: Option<File>,
}

/// Whether a control group is needed to hold to `limits`.
pub(super) fn need_group(limits: &ResourceLimits) -> bool {
    limits.iter().any(|limit| limit.resource.controller().is_some())
}

impl Bounds {
    /// Makes `limits` ready for a command of `account`, in `group` where that is needed. Blocks.
    ///
    /// # Errors
    /// When one of them could not be held to.
    pub(super) fn prepare(
        limits: &ResourceLimits,
        account: &Account,
        group: Option<&Cgroup>,
    ) -> Result<Self, Failure> {
        let mut rlimits = Vec::new();
        for limit in limits.iter() {
            let Some(kind) = kind(limit.resource) else { continue };
            let most = getrlimit(kind).maximum;
            if most.is_some_and(|most| limit.amount > most) {
                let what = format!("cannot set the limit {limit}: more than the agent itself has");
                return Err(failure(&what, &Errno::PERM.into()));
            }
            if limit.resource == Resource::Processes && account.uid == 0 {
                let what = "cannot limit the processes of root, which the kernel does not hold to: name another user, or use pids";
                return Err(failure(what, &Errno::PERM.into()));
            }
            rlimits.push((kind, limit.amount));
        }
        let group = group.filter(|_| need_group(limits)).map(|group| into(group, limits));
        Ok(Self { rlimits, group: group.transpose()? })
    }

    /// Takes them on for this process. System calls only: see [`super::child`].
    pub(super) fn take_on(&self) -> Result<(), Errno> {
        if let Some(group) = &self.group {
            // Whoever writes 0 puts itself into it (cgroups(7)).
            rustix::io::write(group, b"0")?;
        }
        for (kind, amount) in &self.rlimits {
            setrlimit(*kind, Rlimit { current: Some(*amount), maximum: Some(*amount) })?;
        }
        Ok(())
    }
}

fn kind(resource: Resource) -> Option<Kind> {
    match resource {
        Resource::OpenFiles => Some(Kind::Nofile),
        Resource::Processes => Some(Kind::Nproc),
        Resource::FileSizeBytes => Some(Kind::Fsize),
        Resource::CoreBytes => Some(Kind::Core),
        Resource::MemoryBytes | Resource::CpuMillis | Resource::Pids => None,
    }
}

/// A group that is limited before anybody is in it.
fn into(group: &Cgroup, limits: &ResourceLimits) -> Result<File, Failure> {
    let made = group.create().and_then(|()| group.limit(limits)).and_then(|()| group.open());
    made.map_err(|err| {
        if let Err(err) = group.remove() {
            tracing::debug!(error = %err, "a control group without a command stays behind");
        }
        failure(&format!("cannot make a control group with the limits {limits}"), &err)
    })
}

/// Says why a command is not limited as it has to be.
pub(super) fn failure(what: &str, err: &io::Error) -> Failure {
    let message = format!("{what}: {}", reason(err));
    let (step, errno) = (Some(Step::Limit), err.raw_os_error());
    Failure { step, errno, ..Failure::new("start_failed", message) }
}

/// The limits that are asked for, within those of the agent, where all of them can be held to: `limitable` is what control groups can limit
/// here.
///
/// # Errors
/// When more is asked for than a command may have, or a controller is missing.
pub(super) fn within(
    asked: &ResourceLimits,
    most: &ResourceLimits,
    limitable: &[Resource],
) -> Result<ResourceLimits, Failure> {
    let refused =
        |message| Failure { step: Some(Step::Limit), ..Failure::new("start_failed", message) };
    let limits = asked.within(most).map_err(|bound| {
        refused(format!("more {} is asked for than this agent allows: {bound}", bound.resource))
    })?;
    let missing = limits.iter().find_map(|limit| {
        let controller = limit.resource.controller()?;
        (!limitable.contains(&limit.resource)).then_some((limit, controller))
    });
    match missing {
        Some((limit, controller)) => Err(refused(format!(
            "the limit {limit} cannot be held to on this host: the controller '{controller}' of cgroup v2 is not there for the agent"
        ))),
        None => Ok(limits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(texts: &[&str]) -> ResourceLimits {
        ResourceLimits::of(texts.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn less_than_the_agents_own_may_be_asked_for_and_never_more() {
        let most = limits(&["open-files=100", "core=0"]);
        let asked = |texts: &[&str]| within(&limits(texts), &most, &[]);
        assert_eq!(asked(&[]).unwrap(), most);
        assert_eq!(asked(&["open-files=9"]).unwrap(), limits(&["open-files=9", "core=0"]));
        let failure = asked(&["open-files=101"]).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.step), ("start_failed", Some(Step::Limit)));
        assert!(failure.message.ends_with("than this agent allows: open-files=100"), "{failure}");
    }

    #[test]
    fn what_no_controller_holds_to_is_not_promised() {
        let here = [Resource::Pids];
        assert!(within(&limits(&["pids=9"]), &limits(&[]), &here).is_ok());
        for (asked, most) in [("memory=1G", ""), ("", "memory=1G")] {
            let some = |text: &str| limits(&Vec::from_iter((!text.is_empty()).then_some(text)));
            let failure = within(&some(asked), &some(most), &here).unwrap_err();
            assert_eq!(failure.step, Some(Step::Limit));
            assert!(failure.message.contains("controller 'memory' of cgroup v2"), "{failure}");
        }
    }
}
