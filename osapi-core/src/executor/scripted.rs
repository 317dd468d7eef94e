//! A programmable executor for tests and benches. It starts nothing and uses no timer, so that it works with tokio's clock paused.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Events, Executor, Handle, Stop, StopReason, Task};
use crate::id::JobId;
use crate::job::report::{Failure, Step, Stream};
use crate::job::{Operation, Outcome, Submitter};

/// Performs each operation as a [`Script`] says, and remembers what it was asked.
///
/// Scripts are chosen by name: the program of an `Exec`, the whole text of a `Shell`, `facts`, or the name of a custom operation.
#[derive(Debug)]
pub struct ScriptedExecutor {
    scripts: Mutex<Scripts>,
    log: watch::Sender<Log>,
}

#[derive(Debug)]
struct Scripts {
    default: Script,
    named: BTreeMap<String, Script>,
    unsupported: Vec<String>,
    leftovers_stay: bool,
}

#[derive(Debug, Default)]
struct Log {
    starts: Vec<JobId>,
    returned: Vec<JobId>,
    ended: Vec<JobId>,
}

/// What happens when an operation is performed.
#[derive(Debug, Clone)]
pub struct Script {
    output: Vec<(Stream, Bytes)>,
    incomplete: Vec<Stream>,
    hold: Hold,
    outcome: Outcome,
}

/// What a script waits for between its output and its end.
#[derive(Debug, Clone)]
enum Hold {
    Nothing,
    Gate(Gate),
    Stop,
}

/// Holds executions until a test opens it. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets through whoever waits and whoever comes later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        // The sender is alive as long as `self`, so that waiting cannot fail.
        drop(self.0.subscribe().wait_for(|open| *open).await);
    }
}

impl Script {
    /// Starts, writes nothing, and ends so. A [`Outcome::Rejected`] does not start.
    #[must_use]
    pub fn ends(outcome: Outcome) -> Self {
        Self { output: Vec::new(), incomplete: Vec::new(), hold: Hold::Nothing, outcome }
    }

    /// Starts and exits with `code`.
    #[must_use]
    pub fn exits(code: i32) -> Self {
        Self::ends(Outcome::Exited { code })
    }

    /// Starts and returns `value`.
    #[must_use]
    pub fn returns(value: Value) -> Self {
        Self::ends(Outcome::Returned { value })
    }

    /// Cannot be started because of `errno`.
    #[must_use]
    pub fn fails_to_start(errno: i32) -> Self {
        let failure = Failure::new("start_failed", "the program cannot be started");
        let (step, errno) = (Some(Step::Program), Some(errno));
        Self::ends(Outcome::Rejected(Failure { step, errno, ..failure }))
    }

    /// Starts and goes on until it is stopped.
    #[must_use]
    pub fn runs_until_stopped() -> Self {
        Self { hold: Hold::Stop, ..Self::exits(0) }
    }

    /// Ends only once `gate` is open, or when it is stopped.
    #[must_use]
    pub fn held_by(self, gate: &Gate) -> Self {
        Self { hold: Hold::Gate(gate.clone()), ..self }
    }

    /// Writes `bytes` to standard output in one piece, after what was given before.
    #[must_use]
    pub fn stdout(self, bytes: impl Into<Bytes>) -> Self {
        self.output(Stream::Stdout, bytes)
    }

    /// Writes `bytes` to standard error in one piece, after what was given before.
    #[must_use]
    pub fn stderr(self, bytes: impl Into<Bytes>) -> Self {
        self.output(Stream::Stderr, bytes)
    }

    /// Tells that reading of `stream` ended before its end.
    #[must_use]
    pub fn incomplete(mut self, stream: Stream) -> Self {
        self.incomplete.push(stream);
        self
    }

    fn output(mut self, stream: Stream, bytes: impl Into<Bytes>) -> Self {
        self.output.push((stream, bytes.into()));
        self
    }

    async fn perform(self, job: JobId, events: &dyn Events, mut stop: Stop) -> Outcome {
        if matches!(self.outcome, Outcome::Rejected(_)) {
            return self.outcome;
        }
        events.started(Handle { job, detail: json!({ "scripted": true }) }).await;
        for (stream, bytes) in self.output {
            events.output(stream, bytes).await;
        }
        for stream in self.incomplete {
            events.incomplete(stream).await;
        }
        let released = async {
            match &self.hold {
                Hold::Nothing => {}
                Hold::Gate(gate) => gate.passed().await,
                Hold::Stop => std::future::pending().await,
            }
        };
        // Both branches only wait. What is free to end, ends: a stop that comes at the same moment is too late.
        tokio::select! {
            biased;
            () = released => self.outcome,
            reason = stop.requested() => stopped(reason),
        }
    }
}

fn stopped(reason: StopReason) -> Outcome {
    match reason {
        StopReason::Timeout => Outcome::TimedOut,
        StopReason::Cancel => Outcome::Cancelled,
        StopReason::Shutdown => Outcome::Lost,
    }
}

impl ScriptedExecutor {
    /// Performs everything as `default` says.
    #[must_use]
    pub fn new(default: Script) -> Self {
        let (named, unsupported) = (BTreeMap::new(), Vec::new());
        let scripts = Scripts { default, named, unsupported, leftovers_stay: false };
        Self { scripts: Mutex::new(scripts), log: watch::Sender::default() }
    }

    /// Performs what is called `name` as `script` says, from now on.
    pub fn on(&self, name: impl Into<String>, script: Script) {
        self.scripts().named.insert(name.into(), script);
    }

    /// Does not support what is called `name`, from now on.
    pub fn does_not_support(&self, name: impl Into<String>) {
        self.scripts().unsupported.push(name.into());
    }

    /// From now on, fails to end leftovers if `stay` is true.
    pub fn leftovers_stay(&self, stay: bool) {
        self.scripts().leftovers_stay = stay;
    }

    /// The job of every call of [`Executor::execute`], in order: also of those that could not start, and of repeated ones.
    #[must_use]
    pub fn starts(&self) -> Vec<JobId> {
        self.log.borrow().starts.clone()
    }

    /// The job of every call of [`Executor::execute`] that came to its end, in that order.
    #[must_use]
    pub fn returned(&self) -> Vec<JobId> {
        self.log.borrow().returned.clone()
    }

    /// The job of every call of [`Executor::end_leftovers`] that succeeded, in order.
    #[must_use]
    pub fn ended(&self) -> Vec<JobId> {
        self.log.borrow().ended.clone()
    }

    /// Waits until [`Executor::execute`] has been called at least `count` times in all.
    ///
    /// # Cancel safety
    /// It may be dropped and called again.
    pub async fn wait_for_starts(&self, count: usize) {
        // The sender is alive as long as `self`, so that waiting cannot fail.
        drop(self.log.subscribe().wait_for(|log| log.starts.len() >= count).await);
    }

    fn scripts(&self) -> MutexGuard<'_, Scripts> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ScriptedExecutor {
    /// Everything exits 0 at once.
    fn default() -> Self {
        Self::new(Script::exits(0))
    }
}

fn name_of(operation: &Operation) -> &str {
    match operation {
        Operation::Exec(exec) => &exec.command,
        Operation::Shell(shell) => &shell.command,
        Operation::Facts => "facts",
        Operation::Custom(custom) => &custom.name,
    }
}

#[async_trait]
impl Executor for ScriptedExecutor {
    fn admit(&self, operation: &Operation, _: &Submitter) -> Result<(), Failure> {
        let name = name_of(operation);
        match self.scripts().unsupported.iter().any(|unsupported| unsupported == name) {
            true => Err(super::unsupported(operation)),
            false => Ok(()),
        }
    }

    async fn execute(&self, task: Task, events: std::sync::Arc<dyn Events>, stop: Stop) -> Outcome {
        let script = {
            let scripts = self.scripts();
            scripts.named.get(name_of(&task.operation)).unwrap_or(&scripts.default).clone()
        };
        self.log.send_modify(|log| log.starts.push(task.job));
        let outcome = script.perform(task.job, &*events, stop).await;
        self.log.send_modify(|log| log.returned.push(task.job));
        outcome
    }

    async fn end_leftovers(&self, handle: &Handle) -> std::io::Result<()> {
        if self.scripts().leftovers_stay {
            return Err(std::io::Error::other("scripted leftovers stay"));
        }
        self.log.send_modify(|log| log.ended.push(handle.job));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;
    use crate::job::Exec;

    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);

    #[async_trait]
    impl Events for Seen {
        fn keep_at_most(&self, _: u64) {}
        async fn started(&self, _: Handle) {
            self.0.lock().unwrap().push("started".into());
        }
        async fn output(&self, stream: Stream, bytes: Bytes) {
            self.0.lock().unwrap().push(format!("{stream:?} {}", String::from_utf8_lossy(&bytes)));
        }
        async fn incomplete(&self, stream: Stream) {
            self.0.lock().unwrap().push(format!("{stream:?} incomplete"));
        }
    }

    fn task(program: &str) -> Task {
        let job = JobId::new(Timestamp::from_unix_millis(1));
        let submitter = Submitter { subject: "a".into(), token_id: "t".into(), roles: Vec::new() };
        Task { job, operation: Operation::Exec(Exec::new(program)), submitter }
    }

    #[tokio::test(start_paused = true)]
    async fn it_follows_the_script_without_a_timer() {
        let executor = ScriptedExecutor::default();
        executor.on("ls", Script::exits(3).stdout("a").stderr("b").incomplete(Stream::Stderr));
        let before = tokio::time::Instant::now();
        let (seen, task) = (Arc::new(Seen::default()), task("ls"));
        let outcome = executor.execute(task.clone(), seen.clone(), Stop::channel().1).await;
        assert_eq!(outcome, Outcome::Exited { code: 3 });
        assert_eq!(
            *seen.0.lock().unwrap(),
            ["started", "Stdout a", "Stderr b", "Stderr incomplete"]
        );
        assert_eq!((executor.starts(), executor.returned()), (vec![task.job], vec![task.job]));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_start_never_says_that_it_did() {
        let executor = ScriptedExecutor::new(Script::fails_to_start(2));
        let seen = Arc::new(Seen::default());
        let outcome = executor.execute(task("x"), seen.clone(), Stop::channel().1).await;
        assert!(matches!(outcome, Outcome::Rejected(Failure { errno: Some(2), .. })));
        assert!(seen.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_holds_until_it_is_opened_and_a_stop_ends_it() {
        let gate = Gate::closed();
        let executor = ScriptedExecutor::new(Script::exits(0).held_by(&gate));
        let held = executor.execute(task("x"), Arc::new(Seen::default()), Stop::channel().1);
        let opens = async {
            executor.wait_for_starts(1).await;
            assert!(executor.returned().is_empty());
            gate.open();
        };
        assert_eq!(tokio::join!(held, opens).0, Outcome::Exited { code: 0 });

        executor.on("x", Script::runs_until_stopped());
        let (stopper, stop) = Stop::channel();
        stopper.stop(StopReason::Cancel);
        let outcome = executor.execute(task("x"), Arc::new(Seen::default()), stop).await;
        assert_eq!(outcome, Outcome::Cancelled);
    }

    #[tokio::test(start_paused = true)]
    async fn leftovers_are_recorded_once_they_are_ended() {
        let executor = ScriptedExecutor::default();
        let handle = Handle { job: task("x").job, detail: Value::Null };
        executor.leftovers_stay(true);
        assert!(executor.end_leftovers(&handle).await.is_err());
        assert!(executor.ended().is_empty());
        executor.leftovers_stay(false);
        executor.end_leftovers(&handle).await.unwrap();
        assert_eq!(executor.ended(), [handle.job]);
    }
}
