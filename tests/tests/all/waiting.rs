//! Ctrl-C while the outcome of a job is waited for: somebody at a terminal is asked, and elsewhere the job goes on.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::{Machine, Server, Terminal, finish, until};

/// The part of the question that is always the same.
const QUESTION: &str = "[D/c] ";

/// A job that `osapi` waits for, on a terminal.
struct Waited {
    machine: Machine,
    server: Server,
    terminal: Terminal,
    child: Child,
    job: String,
}

/// A machine on which somebody has typed `osapi start`.
fn started() -> (Machine, Server) {
    let machine = Machine::of_a_person();
    let server = Server::start(machine.typed("exec osapi start"), machine.data_dir());
    (machine, server)
}

impl Waited {
    fn by(line: &str) -> Self {
        let (machine, server) = started();
        let (terminal, child) = Terminal::run(&machine, line);
        let job = running(&server, 0);
        Self { machine, server, terminal, child, job }
    }

    fn interrupted(mut self) -> Self {
        self.terminal.types_ctrl_c();
        self.terminal.until_shown(QUESTION, 1);
        assert!(self.terminal.shown().contains(&self.job), "{}", self.terminal.shown());
        self
    }
}

/// The job that runs beside `before` others.
fn running(server: &Server, before: usize) -> String {
    until("the command runs", || {
        let jobs = server.api().jobs();
        let job = jobs.first().filter(|_| jobs.len() > before)?;
        (row(server, job)["status"] == "running").then(|| job.clone())
    })
}

fn row(server: &Server, job: &str) -> Value {
    server.api().get(&format!("/v1/jobs/{job}")).is(200).json()["results"][0].clone()
}

/// Asserts that `job` runs, and ends it: a server waits for what runs when it ends.
#[track_caller]
fn goes_on(server: &Server, job: &str) {
    assert_eq!(row(server, job)["status"], "running");
    server.api().cancel(job).is(200);
    until("it has ended", || (row(server, job)["final"] == true).then_some(()));
}

const SLEEP: &str = "osapi exec -- sleep 60";

#[test]
fn ctrl_c_asks_and_who_cancels_is_shown_the_end() {
    let Waited { machine: _machine, server, mut terminal, child, job } =
        Waited::by(SLEEP).interrupted();
    terminal.types("what\n");
    terminal.until_shown(QUESTION, 2);
    assert_eq!(row(&server, &job)["status"], "running", "it was only asked");
    terminal.types("c\n");
    finish(child, terminal.shown()).exits(125).prints("");
    terminal.until_shown("was cancelled", 1);
    let row = row(&server, &job);
    assert_eq!((&row["status"], &row["final"]), (&"cancelled".into(), &true.into()), "{row}");
}

#[test]
fn ctrl_c_asks_and_who_detaches_is_told_where_the_job_is() {
    for answer in ["d\n", "\n", "\x04", "\x03"] {
        let Waited { machine: _machine, server, mut terminal, child, job } =
            Waited::by(SLEEP).interrupted();
        terminal.types(answer);
        finish(child, terminal.shown()).exits(130).prints("");
        terminal.until_shown(&format!("osapi job cancel {job}"), 1);
        goes_on(&server, &job);
    }
}

#[test]
fn a_cancel_that_comes_too_late_shows_how_it_ended() {
    // Whoever runs the command has to reach it.
    let marker = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    fs::set_permissions(marker.path(), Permissions::from_mode(0o644)).unwrap();
    let line = format!(
        "osapi shell 'until grep . {}; do sleep 0.05; done; exit 3'",
        marker.path().display()
    );
    let Waited { machine: _machine, server, mut terminal, child, job } =
        Waited::by(&line).interrupted();
    fs::write(marker.path(), "it has ended\n").unwrap();
    until("it has ended", || (row(&server, &job)["final"] == true).then_some(()));
    terminal.types("c\n");
    finish(child, terminal.shown()).exits(3).prints("it has ended\n");
}

#[test]
fn a_retry_is_asked_about_too() {
    let (machine, server) = started();
    let first = server.api().shell("sleep 1; exit 1").is(200).json();
    assert_eq!(first["status"], "failed", "{first}");
    let line = format!("osapi job retry {}", first["job_id"].as_str().unwrap());
    let (mut terminal, child) = Terminal::run(&machine, &line);
    let job = running(&server, 1);
    terminal.types_ctrl_c();
    terminal.until_shown(QUESTION, 1);
    assert!(terminal.shown().contains(&job), "{}", terminal.shown());
    terminal.types("c\n");
    finish(child, terminal.shown()).exits(125);
}

#[test]
fn without_a_terminal_the_job_goes_on_and_is_named() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (machine, server) = started();
        let child = machine.typed(&format!("exec {SLEEP}")).spawn();
        let job = running(&server, 0);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ran = finish(child, format!("{SLEEP}, ended by {signal:?}")).exits(code).prints("");
        ran.explains(&[&format!("osapi job get {job}"), &format!("osapi job cancel {job}")]);
        goes_on(&server, &job);
    }
}

#[test]
fn a_job_that_nobody_has_confirmed_is_not_named() {
    let machine = Machine::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let child = machine
        .typed(&format!("exec {SLEEP}"))
        .env("OSAPI_URL", url)
        .env("OSAPI_TOKEN", "v4.public.x")
        .spawn();
    let interrupt = || kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let _sent = silent.accept().unwrap();
    interrupt();
    // It asks which job it is; another interrupt ends that.
    let _asked = silent.accept().unwrap();
    interrupt();
    finish(child, SLEEP.into()).exits(130).prints("").explains(&["interrupted", "osapi job list"]);
}
