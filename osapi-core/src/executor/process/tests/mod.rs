//! Real processes. Limits are there to end a test that hangs; nothing asserts how long something takes.

mod guard;
mod late;
mod leftovers;
mod limits;
mod output;
mod prepared;
mod start;
mod stop;
mod surroundings;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::{ProcessExecutor, procfs};
use crate::clock::{Clock, SystemClock};
use crate::executor::{Events, Executor, Handle, Stop, Stopper, Task};
use crate::id::JobId;
use crate::job::report::{Failure, Stream};
use crate::job::{Exec, Operation, Outcome, Shell, Submitter};

/// Everything that a command told.
#[derive(Default)]
struct Seen(watch::Sender<Told>);

#[derive(Default, Clone)]
struct Told {
    handle: Option<Handle>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    incomplete: Vec<Stream>,
    kept: Option<u64>,
}

#[async_trait]
impl Events for Seen {
    fn keep_at_most(&self, bytes: u64) {
        self.0.send_modify(|told| {
            assert!(told.handle.is_none(), "too late");
            told.kept = Some(bytes);
        });
    }
    async fn started(&self, handle: Handle) {
        self.0.send_modify(|told| assert!(told.handle.replace(handle).is_none(), "started twice"));
    }
    async fn output(&self, stream: Stream, bytes: Bytes) {
        self.0.send_modify(|told| {
            assert!(told.handle.is_some(), "output before the start");
            match stream {
                Stream::Stdout => told.stdout.extend_from_slice(&bytes),
                Stream::Stderr => told.stderr.extend_from_slice(&bytes),
            }
        });
    }
    async fn incomplete(&self, stream: Stream) {
        self.0.send_modify(|told| told.incomplete.push(stream));
    }
}

impl Seen {
    fn stdout(&self) -> String {
        String::from_utf8(self.0.borrow().stdout.clone()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        self.stdout().lines().map(ToOwned::to_owned).collect()
    }

    /// The numbers that the command printed, once there are `count` whole lines.
    async fn pids(&self, count: usize) -> Vec<i32> {
        let lines = |told: &Told| told.stdout.iter().filter(|byte| **byte == b'\n').count();
        self.0.subscribe().wait_for(|told| lines(told) >= count).await.unwrap();
        self.lines().iter().map(|line| line.trim().parse().unwrap()).collect()
    }

    async fn handle(&self) -> Handle {
        let mut told = self.0.subscribe();
        let told = told.wait_for(|told| told.handle.is_some()).await.unwrap();
        told.handle.clone().unwrap()
    }
}

/// One execution that a test follows.
struct Run {
    job: JobId,
    seen: Arc<Seen>,
    stopper: Stopper,
    task: tokio::task::JoinHandle<Outcome>,
}

impl Run {
    fn begin(executor: ProcessExecutor, operation: Operation) -> Self {
        Self::of(JobId::new(SystemClock.wall()), executor, operation)
    }

    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    fn of(job: JobId, executor: ProcessExecutor, operation: Operation) -> Self {
        let (seen, (stopper, stop)) = (Arc::new(Seen::default()), Stop::channel());
        let events = Arc::clone(&seen);
        let task = Task { job, operation, submitter: submitter() };
        let task = tokio::spawn(async move { executor.execute(task, events, stop).await });
        Self { job, seen, stopper, task }
    }

    fn shell(script: &str) -> Self {
        Self::begin(executor(), shell(script))
    }

    async fn end(self) -> (Outcome, Arc<Seen>) {
        (self.task.await.unwrap(), self.seen)
    }
}

fn submitter() -> Submitter {
    Submitter { subject: "ann".into(), token_id: "t".into(), roles: vec!["admin".into()] }
}

fn shell(script: &str) -> Operation {
    Operation::Shell(Shell::new(script))
}

fn exec<const N: usize>(command: &str, args: [&str; N]) -> Operation {
    Operation::Exec(Exec { args: args.map(ToOwned::to_owned).into(), ..Exec::new(command) })
}

async fn run(operation: Operation) -> (Outcome, Arc<Seen>) {
    within(Run::begin(executor(), operation).end()).await
}

fn rejected(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Rejected(failure) => failure,
        outcome => panic!("{outcome:?}"),
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it hangs")
}

fn executor() -> ProcessExecutor {
    ProcessExecutor::new("local".parse().unwrap())
}

/// With a grace that a test can wait for, with control groups and without.
fn impatient() -> [ProcessExecutor; 2] {
    let impatient = || executor().with_kill_grace(Duration::from_millis(100));
    [impatient(), impatient().without_cgroups()]
}

fn is_alive(pid: i32) -> bool {
    procfs::stat(pid).is_some_and(|stat| !stat.ended)
}

fn env<const N: usize>(variables: [(&str, &str); N]) -> BTreeMap<String, String> {
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
