//! A running `osapi start`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::http::Api;
use super::run::{Invocation, pid};
use osapi_tests::wait::{PATIENCE, until};

/// A running server, store and agent. Dropping it ends it.
pub(crate) struct Server {
    child: Child,
    url: String,
    data_dir: PathBuf,
    said: Receiver<String>,
}

impl Server {
    /// Starts `invocation`, and waits until it says where it listens, which it does when it takes commands.
    pub(crate) fn start(invocation: Invocation, data_dir: PathBuf) -> Self {
        let mut child = invocation.spawn();
        let stdout = child.stdout.take().expect("it is a pipe");
        let mut stderr = child.stderr.take().expect("it is a pipe");
        let (told, said) = mpsc::channel();
        let (found, listens) = mpsc::channel();
        // The threads end with the pipes, which end with the program.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(url) = address_in(&line)
                    && found.send(url).is_err()
                {
                    break;
                }
            }
        });
        thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before an error is worth as much.
            if stderr.read_to_end(&mut text).is_ok() {
                told.send(String::from_utf8_lossy(&text).into_owned()).ok();
            }
        });
        let Ok(url) = listens.recv_timeout(PATIENCE) else {
            child.kill().expect("it is ours");
            let status = child.wait().expect("it is ours");
            let said = said.recv_timeout(PATIENCE).unwrap_or_default();
            panic!("'osapi start' never said where it listens ({status}):\n{said}");
        };
        Self { child, url, data_dir, said }
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The token of the local command line, which may do everything.
    pub(crate) fn token(&self) -> String {
        let file = fs::read(self.data_dir.join("cli.json")).expect("a running server keeps one");
        let credential: Value = serde_json::from_slice(&file).expect("it is a document");
        credential["token"].as_str().expect("it is a text").to_owned()
    }

    /// Its API with the token of the local command line.
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.url, &self.token())
    }

    /// Ends it as Ctrl-C does, and returns how it ended and what it wrote to standard error.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::INT);
        let status = self.ended();
        (status, self.said.recv_timeout(PATIENCE).unwrap_or_default())
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).expect("it was not waited for, so it is there");
    }

    fn ended(&mut self) -> ExitStatus {
        until("the server ends", || self.child.try_wait().expect("it is ours"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            self.ended();
        }
    }
}

fn address_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("listens on ")?;
    let url = rest.split([';', ' ', '\n']).next()?;
    url.starts_with("http://").then(|| url.to_owned())
}
