//! Performing an operation: the trait, and two implementations, [`scripted`] for tests and benches and `process` for real commands.

#[cfg(feature = "process")]
pub mod process;
pub mod scripted;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::id::JobId;
use crate::job::report::Stream;
use crate::job::{Failure, Operation, Outcome, Submitter};

/// What is to be done now. It was checked, journaled and is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The job; a command sees it as `OSAPI_JOB_ID`.
    pub job: JobId,
    /// What is done.
    pub operation: Operation,
    /// Who asked, by the word of the controller that signed the order.
    pub submitter: Submitter,
}

/// How to find what an execution left behind after the agent crashed. Kept in the agent's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handle {
    /// The job.
    pub job: JobId,
    /// What the executor needs to know; `null` if the crash came before [`Events::started`].
    pub detail: Value,
}

/// Why an execution has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It ran past its timeout.
    Timeout,
    /// Somebody cancelled it.
    Cancel,
    /// The agent is shutting down and will not wait.
    Shutdown,
}

/// Tells an executor to stop, and up to when it may start.
#[derive(Clone)]
pub struct Stop {
    told: watch::Receiver<Option<StopReason>>,
    deadline: Option<Deadline>,
}

/// From when on something must not be started any more.
#[derive(Clone)]
struct Deadline {
    clock: Arc<dyn Clock>,
    /// Since boot.
    at: Duration,
}

/// The other end of a [`Stop`].
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<StopReason>>);

impl Stop {
    /// A connected pair.
    #[must_use]
    pub fn channel() -> (Stopper, Self) {
        let (tell, told) = watch::channel(None);
        (Stopper(tell), Self { told, deadline: None })
    }

    /// The same, for what must not be started any more once `clock` shows `at` since boot.
    #[must_use]
    pub fn with_deadline(mut self, clock: Arc<dyn Clock>, at: Duration) -> Self {
        self.deadline = Some(Deadline { clock, at });
        self
    }

    /// Whether what was not started yet may still be. Looking for a program can take any time, so that an executor asks this last, right
    /// before the start.
    ///
    /// # Errors
    /// How it ended instead: it was not started.
    pub fn permits_start(&self) -> Result<(), Outcome> {
        let refused = |code, why| Err(Outcome::Rejected(Failure::new(code, why)));
        match *self.told.borrow() {
            Some(StopReason::Cancel) => return Err(Outcome::Cancelled),
            Some(StopReason::Shutdown) => return refused("draining", "the agent is shutting down"),
            Some(StopReason::Timeout) => {
                return refused(
                    "start_failed",
                    "its timeout had passed before it could be started",
                );
            }
            None => {}
        }
        // Nobody would see to its end.
        if self.told.has_changed().is_err() {
            return refused("draining", "the agent has ended");
        }
        let has_passed = self.deadline.as_ref().is_some_and(Deadline::has_passed);
        if has_passed { Err(Outcome::Expired) } else { Ok(()) }
    }

    /// Waits until it has to stop and tells why. Pends for ever when the stopper is gone without a word.
    ///
    /// # Cancel safety
    /// It may be dropped and called again.
    pub async fn requested(&mut self) -> StopReason {
        match self.told.wait_for(Option::is_some).await.map(|reason| *reason) {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deadline = self.deadline.as_ref().map(|deadline| deadline.at);
        f.debug_struct("Stop")
            .field("told", &*self.told.borrow())
            .field("deadline", &deadline)
            .finish()
    }
}

impl Deadline {
    fn has_passed(&self) -> bool {
        self.clock.boottime() >= self.at
    }
}

impl Stopper {
    /// Asks to stop. The first reason stands.
    pub fn stop(&self, reason: StopReason) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(reason);
            is_first
        });
    }
}

/// What an executor tells while it works.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Events: Send + Sync {
    /// Of each stream, at most so many bytes may be kept, whatever the agent would. Called at most once, and before the start.
    fn keep_at_most(&self, bytes: u64);

    /// It has started; the handle finds it again. Called at most once, and never if it could not be started.
    async fn started(&self, handle: Handle);

    /// Bytes that it wrote, in the order in which they were written to that stream. Returns when there is room for more.
    async fn output(&self, stream: Stream, bytes: Bytes);

    /// Reading of `stream` ended before its end.
    async fn incomplete(&self, stream: Stream);
}

/// Performs operations. An implementation runs any number of them side by side.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Whether it would perform `operation` for `submitter`, as far as the order alone tells. Asked before anything is journaled; never
    /// blocks.
    ///
    /// # Errors
    /// Why it would not.
    fn admit(&self, operation: &Operation, submitter: &Submitter) -> Result<(), Failure>;

    /// Performs `task` to its end and tells how it ended. It returns [`Outcome::TimedOut`], [`Outcome::Cancelled`] or (on shutdown)
    /// [`Outcome::Lost`] when `stop` made it end, [`Outcome::Rejected`] when it could not be started, and what
    /// [`Stop::permits_start`] says when it must not be any more. Nothing of it is left when it returns. The future must be polled to its end: dropping it may leave processes behind.
    async fn execute(&self, task: Task, events: Arc<dyn Events>, stop: Stop) -> Outcome;

    /// Ends what is left of an execution that a crash interrupted. Safe to call again, and when nothing is left.
    ///
    /// # Errors
    /// When something is left that could not be ended.
    async fn end_leftovers(&self, handle: &Handle) -> std::io::Result<()>;
}

/// An executor cannot perform operations of this kind.
fn unsupported(operation: &Operation) -> Failure {
    let message = format!("this agent cannot perform '{}' operations", operation.kind());
    Failure::new("unsupported", message)
}
