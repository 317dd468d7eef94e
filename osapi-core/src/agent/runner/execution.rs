//! One execution: the executor at work, its output in the spool, its events to the loop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::AgentParts;
use crate::agent::machine::{Event, Finished, Output};
use crate::agent::spool::{self, Spool};
use crate::clock::Clock;
use crate::executor::{Events, Executor, Handle, Stop, Task};
use crate::id::JobId;
use crate::job::limits::INLINE_OUTPUT_MAX;
use crate::job::report::Stream;
use crate::job::{Outcome, StreamReport};

/// Output of what has ended by then touches no disk, unless it is large.
const OUTLIVES_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Execution {
    executor: Arc<dyn Executor>,
    clock: Arc<dyn Clock>,
    task: Task,
    spool: PathBuf,
    output_kept: usize,
    tell: mpsc::Sender<Event>,
}

/// Tells the loop what the executor tells.
struct Reporter {
    job: JobId,
    spool: Spool,
    tell: mpsc::Sender<Event>,
}

impl Execution {
    pub(super) fn new(parts: &AgentParts, task: Task, tell: mpsc::Sender<Event>) -> Self {
        Self {
            executor: Arc::clone(&parts.executor),
            clock: Arc::clone(&parts.clock),
            task,
            spool: parts.spool.clone(),
            output_kept: parts.limits.output_kept,
            tell,
        }
    }

    pub(super) fn job(&self) -> JobId {
        self.task.job
    }

    /// Performs the task. Start and end go through one channel, so that they arrive in this order.
    pub(super) async fn run(self, stop: Stop) {
        let job = self.task.job;
        let spool = Spool::new(&self.spool, job, self.output_kept);
        let events = Arc::new(Reporter { job, spool, tell: self.tell.clone() });
        let begun = self.clock.boottime();
        let reporter: Arc<dyn Events> = Arc::<Reporter>::clone(&events);
        let execution = self.executor.execute(self.task, reporter, stop);
        let outcome = watch(execution, &events.spool).await;
        let duration = self.clock.boottime().saturating_sub(begun);
        let output = output(events.spool.finish().await).await;
        let finished = Finished { outcome, duration, output };
        tell(&self.tell, Event::Ended { job, finished }).await;
    }
}

/// What takes longer than a moment may outlive the agent, and what it writes is put where it does, too.
async fn watch(execution: impl Future<Output = Outcome>, spool: &Spool) -> Outcome {
    tokio::pin!(execution);
    // The execution goes on where it was, whichever comes first.
    if let Ok(outcome) = tokio::time::timeout(OUTLIVES_AFTER, &mut execution).await {
        return outcome;
    }
    let (outcome, ()) = tokio::join!(execution, spool.outlive());
    outcome
}

#[async_trait]
impl Events for Reporter {
    async fn started(&self, handle: Handle) {
        tell(&self.tell, Event::Started { job: self.job, handle }).await;
    }

    async fn output(&self, stream: Stream, bytes: Bytes) {
        self.spool.write(stream, bytes).await;
    }

    async fn incomplete(&self, stream: Stream) {
        self.spool.incomplete(stream);
    }
}

async fn tell(loop_: &mpsc::Sender<Event>, event: Event) {
    if loop_.send(event).await.is_err() {
        // The agent is gone; the next one finds the execution in its journal.
        tracing::debug!("an execution ended after its agent");
    }
}

/// What an execution wrote before a crash of the agent.
pub(super) async fn recovered(spool: &Path, job: JobId) -> Output {
    output(spool::recover(spool, job).await).await
}

/// What goes into the report: all of it if it is small enough. A stream that fits into memory always is, and may not outlive the process.
async fn output(collected: spool::Collected) -> Output {
    let total = collected.stdout.kept.len() + collected.stderr.kept.len();
    let is_small = total <= INLINE_OUTPUT_MAX as u64;
    Output {
        stdout: stream(collected.stdout, is_small).await,
        stderr: stream(collected.stderr, is_small).await,
    }
}

async fn stream(output: spool::Output, is_small: bool) -> StreamReport {
    let spool::Output { report, kept } = output;
    if kept.len() > spool::MEMORY_MAX as u64 && !is_small {
        return report;
    }
    match kept.read(0, INLINE_OUTPUT_MAX).await {
        Ok(bytes) => StreamReport { inline: Some(STANDARD.encode(bytes)), ..report },
        Err(err) => {
            tracing::warn!(error = %err, "kept output cannot be read back");
            report
        }
    }
}
