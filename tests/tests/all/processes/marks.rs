//! What says that a command ran: a line in a file for each start, with the job and the host.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A command that leaves a mark, and the marks that it has left.
pub(super) struct Marks {
    program: PathBuf,
    file: PathBuf,
}

impl Marks {
    /// In a directory of a test's own.
    pub(super) fn in_dir(dir: &Path) -> Self {
        let (program, file) = (dir.join("mark"), dir.join("marks"));
        // The agent that runs it is known by the directory of its host, its last argument. One write of a short line is whole (O_APPEND).
        let script = format!(
            "#!/bin/sh\nread -r agent </proc/$PPID/cmdline\necho \"$OSAPI_JOB_ID ${{agent##*/host-}}\" >>{}\n",
            file.display()
        );
        fs::write(&program, script).expect("the directory is there");
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("it is ours");
        Self { program, file }
    }

    /// The body of a request that runs the command.
    pub(super) fn command(&self) -> Value {
        json!({ "command": self.program })
    }

    /// The hosts on which each job ran, one entry for each time.
    pub(super) fn all(&self) -> BTreeMap<String, Vec<String>> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let mut marks = BTreeMap::<_, Vec<_>>::new();
        for line in text.lines() {
            let (job, host) = line.split_once(' ').expect("a job and a host");
            marks.entry(job.to_owned()).or_default().push(host.to_owned());
        }
        marks.values_mut().for_each(|hosts| hosts.sort());
        marks
    }

    /// The hosts on which `job` ran, one entry for each time.
    pub(super) fn of(&self, job: &str) -> Vec<String> {
        self.all().remove(job).unwrap_or_default()
    }
}
