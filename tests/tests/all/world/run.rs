//! Running a program to its end, within a limit, and what it left behind.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::program;
use osapi_tests::wait::PATIENCE;

/// A program that is about to be run, with an environment of its own.
pub(crate) struct Invocation {
    command: Command,
    stdin: Vec<u8>,
}

impl Invocation {
    /// `program` without an environment.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = program::command(program);
        command.env_clear();
        Self { command, stdin: Vec::new() }
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn in_dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.into();
        self
    }

    /// Lets `change` do what has no method here.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// Starts it with its three streams as pipes.
    pub(crate) fn spawn(mut self) -> Child {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.start();
        let mut stdin = child.stdin.take().expect("it is a pipe");
        // A program that ends without reading is told by its own exit code.
        if let Err(error) = stdin.write_all(&self.stdin) {
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        }
        child
    }

    /// Starts it with the streams that `with` gave it.
    pub(crate) fn start(&mut self) -> Child {
        let started = self.command.spawn();
        started.unwrap_or_else(|error| panic!("cannot start {:?}: {error}", self.command))
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Ran {
        let shown = format!("{:?}", self.command.get_args().collect::<Vec<_>>());
        finish(self.spawn(), shown)
    }
}

/// Waits for the end of `child`, and reads what it writes.
pub(crate) fn finish(child: Child, shown: String) -> Ran {
    let pid = pid(&child);
    let (done, end) = mpsc::channel();
    let reader = thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = end.recv_timeout(PATIENCE) else {
        kill_process(pid, Signal::KILL).expect("it was not waited for, so the id is its own");
        panic!("{shown} did not end within {PATIENCE:?}");
    };
    reader.join().expect("it only waits").expect("somebody listens");
    let Output { status, stdout, stderr } = output.expect("a child can be waited for");
    Ran { shown, status, stdout, stderr }
}

pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// How a program ended, and what it wrote.
pub(crate) struct Ran {
    shown: String,
    status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Ran {
    /// Asserts that it exited with `code`.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let found = self.status.code();
        assert_eq!(found, Some(code), "exit code of {self}");
        self
    }

    /// The exit code, as a shell says it.
    pub(crate) fn code(&self) -> i32 {
        let by_signal = self.status.signal().map(|signal| 128 + signal);
        self.status.code().or(by_signal).expect("it has ended")
    }

    /// Asserts what it wrote to standard output.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert_eq!(self.out(), text, "standard output of {self}");
        self
    }

    /// Asserts that these words are on its standard output.
    #[track_caller]
    pub(crate) fn shows(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.out().contains(word), "'{word}' is not shown by {self}");
        }
        self
    }

    /// Asserts that it explains itself by these words on standard error.
    #[track_caller]
    pub(crate) fn explains(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err().contains(word), "'{word}' is not said by {self}");
        }
        self
    }

    /// Asserts that it wrote nothing to standard error.
    #[track_caller]
    pub(crate) fn quietly(self) -> Self {
        assert!(self.stderr.is_empty(), "{self}");
        self
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The only line of standard output.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        let out = self.out();
        let line = out.strip_suffix('\n').filter(|line| !line.is_empty() && !line.contains('\n'));
        line.unwrap_or_else(|| panic!("not one line from {self}")).to_owned()
    }

    /// The JSON document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}) from {self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |text: String| text.chars().take(4_000).collect::<String>();
        let Self { shown, status, .. } = self;
        write!(f, "{shown}: {status}\nout: {}\nerr: {}", cut(self.out()), cut(self.err()))
    }
}
