//! What says that a command ran: a line in a file for each start, with the job, the host and the time.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use osapi_core::clock::{Clock as _, SystemClock, Timestamp};
use rustix::param::clock_ticks_per_second;
use serde_json::{Value, json};

/// A command that leaves a mark, and the marks that it has left.
pub(super) struct Marks {
    program: PathBuf,
    file: PathBuf,
}

/// A start of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) job: String,
    pub(super) host: String,
    /// When the kernel made the process.
    pub(super) at: Timestamp,
}

impl Marks {
    /// In a directory of a test's own.
    pub(super) fn in_dir(dir: &Path) -> Self {
        let (program, file) = (dir.join("mark"), dir.join("marks"));
        // When it was started is the 22nd field of proc_pid_stat(5). One write of a short line is whole (O_APPEND).
        let script = format!(
            "#!/bin/sh\nread -r stat </proc/$$/stat\ntime=$1\nbytes=$2\nset -- $stat\n\
             echo \"$OSAPI_JOB_ID $OSAPI_HOST ${{22}}\" >>{}\n[ -z \"$bytes\" ] || head -c \"$bytes\" /dev/zero\n\
             [ -z \"$time\" ] || exec sleep \"$time\"\n",
            file.display()
        );
        fs::write(&program, script).expect("the directory is there");
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("it is ours");
        Self { program, file }
    }

    /// The body of a request that runs the command and has it take so many seconds.
    pub(super) fn long_command(&self, seconds: &str) -> Value {
        json!({ "command": self.program, "args": [seconds] })
    }

    /// The body of a request that runs the command and has it write so many bytes.
    pub(super) fn large_command(&self, bytes: usize) -> Value {
        json!({ "command": self.program, "args": ["0", bytes.to_string()] })
    }

    /// The body of a request that runs the command.
    pub(super) fn command(&self) -> Value {
        json!({ "command": self.program })
    }

    /// Every start, in the order in which they were written down.
    pub(super) fn starts(&self) -> Vec<Mark> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(mark).collect()
    }

    /// The hosts on which each job ran, one entry for each time.
    pub(super) fn all(&self) -> BTreeMap<String, Vec<String>> {
        let mut marks = BTreeMap::<_, Vec<_>>::new();
        for Mark { job, host, .. } in self.starts() {
            marks.entry(job).or_default().push(host);
        }
        marks.values_mut().for_each(|hosts| hosts.sort());
        marks
    }

    /// The hosts on which `job` ran, one entry for each time.
    pub(super) fn of(&self, job: &str) -> Vec<String> {
        self.all().remove(job).unwrap_or_default()
    }
}

fn mark(line: &str) -> Mark {
    let mut words = line.split(' ');
    let mut word = || words.next().expect("a job, a host and a time").to_owned();
    let (job, host, ticks) = (word(), word(), word());
    let since_boot = Duration::from_secs(ticks.parse().expect("it is a number"));
    let boot = SystemClock.wall() - SystemClock.boottime();
    Mark {
        job,
        host,
        at: boot + since_boot / u32::try_from(clock_ticks_per_second()).expect("it is small"),
    }
}
