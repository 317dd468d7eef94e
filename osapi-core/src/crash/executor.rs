//! An executor that crashes around a start, an end, and what a crash left behind.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::point::{Place, Side};
use super::trap::pass;
use crate::executor::{Events, Executor, Handle, Stop, Task};
use crate::id::JobId;
use crate::job::report::Stream;
use crate::job::{Failure, Operation, Outcome, Submitter};

pub(super) struct CrashingExecutor {
    inner: Arc<dyn Executor>,
}

struct CrashingEvents {
    inner: Arc<dyn Events>,
    job: JobId,
}

impl CrashingExecutor {
    pub(super) fn new(inner: Arc<dyn Executor>) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl Executor for CrashingExecutor {
    fn admit(&self, operation: &Operation, submitter: &Submitter) -> Result<(), Failure> {
        self.inner.admit(operation, submitter)
    }

    async fn execute(&self, task: Task, events: Arc<dyn Events>, stop: Stop) -> Outcome {
        let job = task.job;
        pass(Place::Execution, Side::Before, Some(job));
        let events = Arc::new(CrashingEvents { inner: events, job });
        let outcome = self.inner.execute(task, events, stop).await;
        pass(Place::Execution, Side::After, Some(job));
        outcome
    }

    async fn end_leftovers(&self, handle: &Handle) -> std::io::Result<()> {
        pass(Place::Leftovers, Side::Before, Some(handle.job));
        let ended = self.inner.end_leftovers(handle).await;
        pass(Place::Leftovers, Side::After, Some(handle.job));
        ended
    }
}

#[async_trait]
impl Events for CrashingEvents {
    fn keep_at_most(&self, bytes: u64) {
        self.inner.keep_at_most(bytes);
    }

    async fn started(&self, handle: Handle) {
        pass(Place::Spawned, Side::Before, Some(self.job));
        self.inner.started(handle).await;
        pass(Place::Spawned, Side::After, Some(self.job));
    }

    async fn output(&self, stream: Stream, bytes: Bytes) {
        self.inner.output(stream, bytes).await;
    }

    async fn incomplete(&self, stream: Stream) {
        self.inner.incomplete(stream).await;
    }
}
