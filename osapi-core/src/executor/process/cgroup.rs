//! A control group of version 2 per execution (cgroups(7)), as far as it can be used here: it holds on to every descendant of a command,
//! also to those that left its process group and session, and ends them in one stroke.
//!
//! Putting a process into another group waits for an RCU grace period: 11 ms were seen. So it is done beside the
//! running command, and only for one that has been running for a moment.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::Execution;

/// The group in which this process is, under which it makes one for each execution.
#[derive(Debug, Clone)]
pub(super) struct Cgroups {
    own: PathBuf,
}

/// The group of one execution. It may not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup(PathBuf);

impl Cgroups {
    /// Finds the own group. There is none without a mount of version 2 in which it can be seen.
    pub(super) fn detect() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let memberships = fs::read_to_string("/proc/self/cgroup").ok()?;
        own_group(&mounts, &memberships).map(|own| Self { own })
    }

    /// The group of `execution`, made or not.
    pub(super) fn of(&self, execution: &Execution) -> Cgroup {
        Cgroup(self.own.join(name_of(execution)))
    }
}

/// Agents of several hosts may run in one group, and get the same job.
fn name_of(Execution { job, host }: &Execution) -> String {
    format!("osapi-{job}-{host}")
}

/// Where the group of `memberships` (/proc/self/cgroup) is, by `mounts` (/proc/self/mountinfo, proc(5)).
fn own_group(mounts: &str, memberships: &str) -> Option<PathBuf> {
    let group = memberships.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        if filesystem.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
        let below = Path::new(group).strip_prefix(&root).ok()?;
        is_plain(below).then(|| Path::new(&point).join(below))
    })
}

/// A group of another namespace shows as a path with `..`: out of reach.
fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Blanks and backslashes are written in octal there (proc(5)).
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

impl Cgroup {
    /// The group of `execution` at `path`, which was read from a disk: only if it is named by it and is a group.
    pub(super) fn known(path: &str, execution: &Execution) -> Option<Self> {
        let path = PathBuf::from(path);
        let named = path.file_name().is_some_and(|name| *name == *name_of(execution));
        let plain = path.strip_prefix("/").is_ok_and(is_plain);
        (named && plain && path.join("cgroup.kill").exists()).then_some(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it.
    ///
    /// # Errors
    /// When groups cannot be made here, or cannot be killed (before Linux 5.14).
    pub(super) fn create(&self) -> io::Result<()> {
        fs::create_dir(&self.0)?;
        let can_kill = self.0.join("cgroup.kill").exists();
        if can_kill { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    /// Puts the process `pid` into it, without its descendants.
    ///
    /// # Errors
    /// When it is gone, or may not be moved.
    pub(super) fn enter(&self, pid: i32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }

    /// The processes in it and in groups that they made beneath it.
    pub(super) fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        let mut pids: Vec<i32> = text.lines().filter_map(|pid| pid.parse().ok()).collect();
        for below in self.below() {
            pids.extend(below.processes());
        }
        // 0 is a process that cannot be seen from here.
        pids.retain(|pid| *pid > 0);
        pids
    }

    /// Sends SIGKILL to everything in it and beneath, at once, also to what is just being forked.
    ///
    /// # Errors
    /// When it is gone, or may not be written.
    pub(super) fn kill(&self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.kill"), "1")
    }

    /// Removes it, with what its processes made beneath it. No error if it is gone.
    ///
    /// # Errors
    /// When processes are still in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        for below in self.below() {
            below.remove()?;
        }
        match fs::remove_dir(&self.0) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn below(&self) -> impl Iterator<Item = Self> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| Self(entry.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
        41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_group_is_found_by_mount_and_membership() {
        let found = |mounts, memberships| own_group(mounts, memberships);
        let at = |path: &str| Some(PathBuf::from(path));
        assert_eq!(found(HYBRID, "1:cpu:/x\n0::/\n"), at("/sys/fs/cgroup/uni fied"));
        assert_eq!(found(HYBRID, "0::/a/b\n"), at("/sys/fs/cgroup/uni fied/a/b"));
        let container = "5 4 0:3 /pod/7 /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(found(container, "0::/pod/7/x\n"), at("/sys/fs/cgroup/x"));
        assert_eq!(found(container, "0::/elsewhere\n"), None);
        assert_eq!(found(HYBRID, "0::/../up\n"), None);
        assert_eq!(found(HYBRID, "1:cpu:/x\n"), None);
    }

    #[test]
    fn a_path_from_a_disk_is_taken_only_for_the_execution_s_own_group() {
        let job = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let execution = Execution { job, host: "web-01".parse().unwrap() };
        let name = format!("osapi-{job}-web-01");
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path().join(&name);
        let known = |path: &Path| Cgroup::known(path.to_str().unwrap(), &execution).is_some();
        fs::create_dir(&group).unwrap();
        assert!(!known(&group), "a directory is no group");
        fs::write(group.join("cgroup.kill"), "").unwrap();
        fs::write(dir.path().join("cgroup.kill"), "").unwrap();
        assert!(known(&group));
        assert!(!known(dir.path()));
        assert!(!known(&group.join("..").join(&name)));
    }
}
