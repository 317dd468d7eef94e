//! A program that runs until it is told to end.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use osapi_tests::wait::until;
use rustix::process::{Signal, kill_process};

use super::run::{Invocation, pid};

/// A running program. Dropping it ends it.
pub(crate) struct Daemon {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Daemon {
    /// Starts it.
    pub(crate) fn start(invocation: Invocation) -> Self {
        let mut child = invocation.spawn();
        let said = Arc::<Mutex<String>>::default();
        let stdout = child.stdout.take().expect("it is a pipe");
        let stderr = child.stderr.take().expect("it is a pipe");
        let readers = vec![follow(stdout, &said), follow(stderr, &said)];
        Self { child, said, readers }
    }

    /// Starts it, and waits until it says `words`.
    pub(crate) fn until(invocation: Invocation, words: &str) -> Self {
        let mut daemon = Self::start(invocation);
        daemon.until_says(words);
        daemon
    }

    /// The line in which it says `words`, as soon as it does.
    #[track_caller]
    pub(crate) fn until_says(&mut self, words: &str) -> String {
        until(&format!("a line with '{words}'"), || {
            let said = self.said();
            let line = said.lines().find(|line| line.contains(words)).map(ToOwned::to_owned);
            if line.is_none()
                && let Some(status) = self.child.try_wait().expect("it is ours")
            {
                self.readers.drain(..).for_each(|reader| reader.join().expect("it only reads"));
                let said = self.said();
                let line = said.lines().find(|line| line.contains(words)).map(ToOwned::to_owned);
                assert!(line.is_some(), "it ended ({status}) and never said '{words}':\n{said}");
                return line;
            }
            line
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has written so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).expect("it was not waited for, so it is there");
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    /// Ends it by SIGTERM, and returns how it ended and all that it wrote.
    pub(crate) fn stop(self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// Waits for its end, and returns how it ended and all that it wrote.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = until("its end", || self.child.try_wait().expect("it is ours"));
        // What it started may still hold its output; a daemon of ours starts nothing that outlives it.
        self.readers.drain(..).for_each(|reader| reader.join().expect("it only reads"));
        (status, self.said())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            self.child.wait().expect("it is ours");
        }
    }
}

/// Adds every line that is written to `said`, until the end.
fn follow(pipe: impl Read + Send + 'static, said: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let said = Arc::clone(said);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut said = said.lock().expect("nobody panics with it");
            said.push_str(&line);
            said.push('\n');
        }
    })
}
