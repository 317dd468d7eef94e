//! One execution: the executor at work, its output in the spool, its events to the loop.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
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
    clock: Arc<dyn Clock>,
    /// Since when it runs, by the boottime clock: finding what to start may have taken any time.
    since: OnceLock<Duration>,
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
        let (clock, since, tells) = (Arc::clone(&self.clock), OnceLock::new(), self.tell.clone());
        let events = Arc::new(Reporter { job, spool, clock, since, tell: tells });
        let begun = self.clock.boottime();
        let reporter: Arc<dyn Events> = Arc::<Reporter>::clone(&events);
        let execution = self.executor.execute(self.task, reporter, stop);
        let outcome = watch(execution, &events.spool).await;
        let since = events.since.get().copied().unwrap_or(begun);
        let duration = self.clock.boottime().saturating_sub(since);
        let output = output(events.spool.finish().await).await;
        let finished = Finished { outcome, duration, output };
        let finished = Box::new(finished);
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
    fn keep_at_most(&self, bytes: u64) {
        self.spool.keep_at_most(bytes);
    }

    async fn started(&self, handle: Handle) {
        self.since.get_or_init(|| self.clock.boottime());
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
        Ok(bytes) => StreamReport { inline: Some(STANDARD.encode(bytes)), parts: None, ..report },
        Err(err) => {
            tracing::warn!(error = %err, "kept output cannot be read back");
            report
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Timestamp, TokioClock};
    use crate::job::record::Submitter;
    use crate::job::{Exec, Failure, Operation, Outcome};

    const LOOKING: Duration = Duration::from_secs(7);
    const RUNNING: Duration = Duration::from_secs(2);

    /// Takes a while to find what it is to start.
    struct SlowToStart;

    #[async_trait]
    impl Executor for SlowToStart {
        fn admit(&self, _: &Operation, _: &Submitter) -> Result<(), Failure> {
            Ok(())
        }

        async fn execute(&self, task: Task, events: Arc<dyn Events>, _: Stop) -> Outcome {
            tokio::time::sleep(LOOKING).await;
            events.started(Handle { job: task.job, detail: serde_json::Value::Null }).await;
            tokio::time::sleep(RUNNING).await;
            Outcome::Exited { code: 0 }
        }

        async fn end_leftovers(&self, _: &Handle) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_ran_is_measured_from_its_start() {
        let (tell, mut told) = mpsc::channel(2);
        let at = Timestamp::from_unix_millis(1_800_000_000_000);
        let submitter = Submitter { subject: "a".into(), token_id: "b".into(), roles: Vec::new() };
        let operation = Operation::Exec(Exec::new("true"));
        let execution = Execution {
            executor: Arc::new(SlowToStart),
            clock: Arc::new(TokioClock::starting_at(at)),
            task: Task { job: JobId::new(at), operation, submitter },
            spool: tempfile::tempdir().unwrap().path().to_owned(),
            output_kept: 4096,
            tell,
        };
        let (_stopper, stop) = Stop::channel();
        execution.run(stop).await;
        assert!(matches!(told.recv().await, Some(Event::Started { .. })));
        let Some(Event::Ended { finished, .. }) = told.recv().await else { panic!("it ended") };
        assert_eq!(finished.duration, RUNNING);
    }
}
