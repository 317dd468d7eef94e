//! A program that crashes at a point, and how it is seen that it did.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::ExitStatus;

use osapi_core::crash::{Point, STOP_VARIABLE, VARIABLE};
use rustix::process::Signal;

use crate::world::Invocation;

/// That a process has ended itself.
pub(super) struct Crash {
    pub(super) point: Point,
    /// The job with which it passed the point, where there is one.
    pub(super) job: Option<String>,
}

/// The program `name` that crashes at this pass of `point`.
pub(super) fn program(name: &str, point: Point, pass: usize) -> Invocation {
    crashing(name, &format!("{point}:{pass}"))
}

/// The program `name` that stops itself at the first pass of `point`.
pub(in crate::processes) fn stopping(name: &str, point: Point) -> Invocation {
    armed(name, STOP_VARIABLE, &point.to_string())
}

fn crashing(name: &str, at: &str) -> Invocation {
    armed(name, VARIABLE, at)
}

fn armed(name: &str, variable: &str, at: &str) -> Invocation {
    let program = Invocation::new(env!("CARGO_BIN_EXE_osapi-crashing")).env(variable, at);
    program.with(|command| {
        command.arg0(name);
    })
}

impl Crash {
    /// What a process that ended says of it.
    #[track_caller]
    pub(super) fn of((status, said): (ExitStatus, String)) -> Self {
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{said}");
        let mut lines = said.lines().filter_map(|line| line.strip_prefix("crashes at "));
        let line = lines.next_back().unwrap_or_else(|| panic!("somebody else killed it: {said}"));
        let (point, job) = match line.split_once(" with job ") {
            Some((point, job)) => (point, Some(job.to_owned())),
            None => (line, None),
        };
        Self { point: point.parse().expect("it has a name"), job }
    }
}

#[test]
fn a_point_that_there_is_not_is_an_error_at_the_start() {
    for name in ["osapi-agent", "osapi-server"] {
        let ran = crashing(name, "agent.journal.nothing.before").run().exits(2);
        ran.explains(&["no crash point is called 'agent.journal.nothing.before'"]);
    }
}
