//! A control group of version 2 per execution (cgroups(7)), as far as it can be used here: it holds on to every descendant of a command,
//! also to those that left its process group and session, and ends them in one stroke.
//!
//! Putting a process into another group waits for an RCU grace period: 11 ms were seen. So it is done beside the
//! running command, and only for one that has been running for a moment.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::getxattr;

use super::Execution;
use crate::job::{Resource, ResourceLimit, ResourceLimits};

/// Over how long the use of processors is counted, in microseconds: what the kernel takes if nothing is said.
const CPU_PERIOD_US: u64 = 100_000;

/// The group in which this process is, under which it makes one for each execution.
#[derive(Debug, Clone)]
pub(super) struct Cgroups {
    /// Under which they are made.
    base: PathBuf,
    limitable: Vec<Resource>,
}

/// Groups of commands that have ended and left something that is to go on in them.
static LEFT: Mutex<Vec<Cgroup>> = Mutex::new(Vec::new());

/// The group of one execution. It may not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup(PathBuf);

impl Cgroups {
    /// Finds the own group. There is none without a mount of version 2 in which it can be seen.
    pub(super) fn detect() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let memberships = fs::read_to_string("/proc/self/cgroup").ok()?;
        let base = base(own_group(&mounts, &memberships)?, is_delegated);
        let limitable = limitable(&base);
        Some(Self { base, limitable })
    }

    /// What can be limited in them: of `memory`, `cpu` and `pids` the controllers that are passed on to groups below.
    pub(super) fn limitable(&self) -> &[Resource] {
        &self.limitable
    }

    /// The group of `execution`, made or not.
    pub(super) fn of(&self, execution: &Execution) -> Cgroup {
        Cgroup(self.base.join(name_of(execution)))
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

/// Where groups for executions are made: in the own one, or beside it in the one above, if that is what was handed over. Only a group without
/// processes passes controllers on, so whoever hands one over puts the agent into a group of its own below (systemd: `Delegate=yes` and
/// `DelegateSubgroup=`).
fn base(own: PathBuf, is_delegated: impl Fn(&Path) -> bool) -> PathBuf {
    match own.parent() {
        Some(above) if !is_delegated(&own) && is_delegated(above) => above.to_owned(),
        Some(_) | None => own,
    }
}

/// Whether systemd has handed the group over (it marks it so, systemd.resource-control(5)).
fn is_delegated(group: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].into_iter().any(|name| {
        let mut value = [0; 8];
        getxattr(group, name, &mut value[..]).is_ok_and(|len| value[..len] == *b"1")
    })
}

/// What groups below `base` can limit. What is there and not passed on is asked for: the kernel refuses that where it would be wrong.
fn limitable(base: &Path) -> Vec<Resource> {
    let control = base.join("cgroup.subtree_control");
    let listed = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let has = |list: &str, name: &str| list.split_whitespace().any(|one| one == name);
    let there = listed(&base.join("cgroup.controllers"));
    let wanted: Vec<_> = Resource::ALL
        .into_iter()
        .filter_map(|resource| Some((resource, resource.controller()?)))
        .filter(|(_, name)| has(&there, name))
        .collect();
    for (_, name) in &wanted {
        if !has(&listed(&control), name)
            && let Err(err) = fs::write(&control, format!("+{name}"))
        {
            tracing::debug!(error = %err, controller = name, "a controller is not passed on");
        }
    }
    let passed_on = listed(&control);
    wanted.into_iter().filter(|(_, name)| has(&passed_on, name)).map(|(one, _)| one).collect()
}

/// A group of another namespace shows as a path with `..`: out of reach.
fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Blanks and backslashes are written in octal there (proc(5)).
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

fn left() -> MutexGuard<'static, Vec<Cgroup>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes those of the groups that were left in which nothing goes on any more. Blocks.
pub(super) fn remove_left() {
    left().retain(|group| group.remove().is_err());
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

    /// Sets those of `limits` that a group holds to.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub(super) fn limit(&self, limits: &ResourceLimits) -> io::Result<()> {
        for ResourceLimit { resource, amount } in limits.iter() {
            match resource {
                Resource::MemoryBytes => {
                    self.set("memory.max", &amount.to_string())?;
                    // All of it is killed, or none: half a command is worse than none.
                    if let Err(err) = self.set("memory.oom.group", "1") {
                        tracing::debug!(error = %err, "the kernel kills single processes for memory");
                    }
                }
                Resource::CpuMillis => {
                    let quota = amount * CPU_PERIOD_US / 1000;
                    self.set("cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
                }
                Resource::Pids => self.set("pids.max", &amount.to_string())?,
                Resource::OpenFiles
                | Resource::Processes
                | Resource::FileSizeBytes
                | Resource::CoreBytes => {}
            }
        }
        Ok(())
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.0.join(file), value)
    }

    /// The list of its processes, to be written to.
    ///
    /// # Errors
    /// When it may not be.
    pub(super) fn open(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.0.join("cgroup.procs"))
    }

    /// Whether the kernel has killed a process of it because there was no memory left for it.
    pub(super) fn was_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        let killed = |line: &str| {
            let (name, count) = line.split_once(' ')?;
            (matches!(name, "oom_kill" | "oom_group_kill") && count.trim() != "0").then_some(())
        };
        events.lines().any(|line| killed(line).is_some())
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

    /// Leaves it to be removed once nothing goes on in it.
    pub(super) fn leave(self) {
        left().push(self);
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
    fn groups_are_made_where_they_were_handed_over() {
        let own = || PathBuf::from("/cg/agent.service/main");
        let under = |delegated: &'static str| base(own(), |path| path == Path::new(delegated));
        assert_eq!(under("/cg/agent.service"), Path::new("/cg/agent.service"));
        assert_eq!(under("/cg/agent.service/main"), own());
        assert_eq!(under("/cg"), own(), "nobody else's");
        assert_eq!(base(own(), |_| true), own());
    }

    /// A directory with these files stands for a group.
    fn group(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let group = Cgroup(dir.path().to_owned());
        (dir, group)
    }

    #[test]
    fn only_what_is_passed_on_can_be_limited() {
        let there = ("cgroup.controllers", "cpuset cpu io memory pids\n");
        let passed_on = ("cgroup.subtree_control", "cpu pids memory_x\n");
        let (dir, _) = group(&[there, passed_on]);
        // In a directory the question takes the place of the answer, and nothing is passed on afterwards.
        assert_eq!(limitable(dir.path()), Vec::<Resource>::new());
        let there = ("cgroup.controllers", "cpuset pids cpu\n");
        let (dir, _) = group(&[there, ("cgroup.subtree_control", "cpu pids memory\n")]);
        assert_eq!(limitable(dir.path()), [Resource::CpuMillis, Resource::Pids]);
        let (dir, _) = group(&[("cgroup.subtree_control", "pids")]);
        assert_eq!(limitable(dir.path()), Vec::<Resource>::new());
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let (dir, group) = group(&[]);
        let limits = ["memory=512M", "cpu=1.5", "pids=7", "open-files=9"];
        let limits = ResourceLimits::of(limits.map(|text| text.parse().unwrap()));
        group.limit(&limits).unwrap();
        let mut files: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_owned(), fs::read_to_string(path).unwrap()))
            .collect();
        files.sort();
        let expected = [
            ("cpu.max", "150000 100000"),
            ("memory.max", "536870912"),
            ("memory.oom.group", "1"),
            ("pids.max", "7"),
        ];
        assert_eq!(files, expected.map(|(name, text)| (name.into(), text.to_owned())));
    }

    #[test]
    fn a_kill_for_memory_is_read_from_the_events() {
        for (events, killed) in [
            ("low 0\nhigh 0\nmax 9\noom 1\noom_kill 0\noom_group_kill 0\n", false),
            ("low 0\nmax 9\noom 1\noom_kill 3\n", true),
            ("oom_kill 0\noom_group_kill 1\n", true),
            ("", false),
        ] {
            assert_eq!(
                group(&[("memory.events", events)]).1.was_out_of_memory(),
                killed,
                "{events}"
            );
        }
        assert!(!group(&[]).1.was_out_of_memory());
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
