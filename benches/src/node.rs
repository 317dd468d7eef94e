//! A running `osapi start`, in a data directory of its own.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use osapi_client::{Client, Target};
use osapi_service::credential::Credential;
use osapi_service::datadir::Layout;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::error::Failure;
use crate::plan::Plan;
use crate::program::{self, Program};

/// A running node. Dropping it kills it.
pub(crate) struct Node {
    child: Child,
    // Its reader: a program that writes to a closed pipe would end.
    _stdout: BufReader<ChildStdout>,
    home: PathBuf,
    client: Client,
    _dir: TempDir,
}

impl Node {
    /// Starts a node and waits until it takes jobs.
    ///
    /// # Errors
    /// When it does not get that far.
    pub(crate) fn start(plan: &Plan, program: &Program) -> Result<Self, Failure> {
        let dir = directory(plan)?;
        let home = dir.path().join("data");
        let log = dir.path().join("log");
        let stderr = File::create(&log).map_err(Failure::io("make a log file"))?;
        let mut call = program.call(&home);
        call.args(["start", "--listen", "127.0.0.1:0"]);
        call.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = program::start(&mut call)?;
        let stdout = child.stdout.take().ok_or(Failure::NoCredential)?;
        let mut stdout = BufReader::new(stdout);
        // It says where it listens once it takes jobs, and the credential is there before that.
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(Failure::io("read what 'osapi start' says"))?;
        if line.is_empty() {
            child.wait().map_err(Failure::io("wait for 'osapi start'"))?;
            let log = fs::read_to_string(&log).map_err(Failure::io("read the log"))?;
            return Err(Failure::Start { log });
        }
        let credential = Credential::load(&Layout::at(&home))?.ok_or(Failure::NoCredential)?;
        let client = Client::builder(credential.url).token(credential.token.as_str()).build()?;
        Ok(Self { child, _stdout: stdout, home, client, _dir: dir })
    }

    /// Its data directory.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// A client of it. Clones share their connections.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a person would, and waits for that.
    ///
    /// # Errors
    /// When it cannot be told to, or fails.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).map_err(|e| Failure::io("stop 'osapi start'")(e.into()))?;
        let status = self.child.wait().map_err(Failure::io("wait for 'osapi start'"))?;
        let failed = || Failure::Program { command: "osapi start".to_owned(), status };
        status.success().then_some(()).ok_or_else(failed)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end, and otherwise an error is being reported already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs `command args` on the host that `client` reaches.
///
/// # Errors
/// When it does not succeed.
pub(crate) async fn run(client: &Client, command: &str, args: &[&str]) -> Result<(), Failure> {
    let outcome = client.node(Target::Any).exec(command).args(args.iter().copied()).send().await?;
    outcome.success().then_some(()).ok_or(Failure::Command(outcome.job_id()))
}

/// A directory for what is measured, removed with its value.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn directory(plan: &Plan) -> Result<TempDir, Failure> {
    tempfile::Builder::new()
        .prefix("osapi-benches-")
        .tempdir_in(&plan.dir)
        .map_err(Failure::io("make a directory"))
}
