//! The agent at work: one task owns the [`Machine`], tells it what happens, one event at a time, and does what it says.
//!
//! The loop itself never waits for a disk, a command or the bus: commits, executions and messages are tasks of their own
//! (`writer`, `execution`, `voice`) that tell it when they are done.

mod execution;
mod line;
mod parts;
#[cfg(test)]
#[cfg(all(feature = "embedded", feature = "conformance", feature = "mock"))]
mod tests;
mod voice;
mod work;
mod writer;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::machine::{Action, Config, Drained, Event, Machine, Notice, Now};
use super::spool;
use crate::blocking::blocking;
use crate::executor::Stopper;
use crate::id::{InstanceId, JobId};
use crate::message::{Readiness, RegistrationRefusal};
use line::Line;
use voice::{Said, Voice};
use work::{Done, Work};
use writer::Writer;

pub use parts::{AgentError, AgentParts, Limits};

/// Events of executions that may wait for the loop. What tells them waits while it is full.
const EVENTS: usize = 256;

/// An agent that has not begun.
pub struct Agent {
    parts: AgentParts,
    told: Told,
}

/// What others are told about an agent, as it changes.
#[derive(Default)]
struct Told {
    readiness: watch::Sender<Readiness>,
    refusal: watch::Sender<Option<RegistrationRefusal>>,
}

impl Agent {
    /// An agent of these parts.
    #[must_use]
    pub fn new(parts: AgentParts) -> Self {
        #[cfg(feature = "crash-points")]
        let parts = parts.with_crash_points();
        Self { parts, told: Told::default() }
    }

    /// Whether it takes new jobs, as it changes.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.told.readiness.subscribe()
    }

    /// Why it is not let into the fleet, as that changes; `None` while nobody says so. It goes on asking.
    #[must_use]
    pub fn refusal(&self) -> watch::Receiver<Option<RegistrationRefusal>> {
        self.told.refusal.subscribe()
    }

    /// Works until `shutdown`, then drains: what runs may end within [`Limits::drain_grace`], the rest is stopped, reports are
    /// sent, and the result says what is left. What is left is in the journal.
    ///
    /// # Errors
    /// When it cannot begin. Once it has begun, it goes on: while its journal fails it takes no jobs and says so.
    ///
    /// # Cancel safety
    /// Dropping it is a crash of the agent: the next run recovers from the journal.
    pub async fn run(self, shutdown: CancellationToken) -> Result<Drained, AgentError> {
        let machine = self.machine().await?;
        let spooled = self.clean_spool(&machine).await?;
        let mut runner = Runner::new(machine, self.parts, self.told);
        runner.on_disk = spooled;
        let drained = runner.run(shutdown).await;
        tracing::info!(
            unanswered = drained.unanswered,
            waiting = drained.waiting,
            running = drained.running,
            "agent has ended"
        );
        Ok(drained)
    }

    async fn machine(&self) -> Result<Machine, AgentError> {
        let AgentParts { journal, key, root, executor, limits, .. } = &self.parts;
        let header = journal.header();
        if header.binding.key != key.public() {
            return Err(AgentError::OtherJournal("key"));
        }
        if header.binding.fleet != root.fleet() {
            return Err(AgentError::OtherJournal("fleet"));
        }
        let entries = journal.entries().await?;
        let executor = Arc::clone(executor);
        let config = Config {
            instance: InstanceId::random(),
            key: Arc::clone(key),
            root: *root,
            hostname: self.parts.hostname.clone(),
            version: self.parts.version.clone(),
            sealing: self.parts.sealing,
            labels: self.parts.labels.clone(),
            facts: self.parts.facts.clone(),
            slots: limits.slots,
            queue: limits.queue,
            admit: Arc::new(move |operation, submitter| executor.admit(operation, submitter)),
            drain_grace: limits.drain_grace,
        };
        Ok(Machine::new(config, header, entries))
    }

    /// Removes output that nobody needs any more, and tells of which jobs there is some.
    async fn clean_spool(&self, machine: &Machine) -> Result<HashSet<JobId>, AgentError> {
        let path = self.parts.spool.clone();
        let error = |source| AgentError::Spool { path: path.clone(), source };
        let dir = path.clone();
        let found = blocking(move || {
            std::fs::create_dir_all(&dir)?;
            spool::jobs_in(&dir)
        });
        let (needed, orphans): (Vec<_>, Vec<_>) =
            found.await.map_err(error)?.into_iter().partition(|job| machine.needs_output(*job));
        let dir = path.clone();
        let discard = move || orphans.into_iter().try_for_each(|job| spool::discard(&dir, job));
        blocking(discard).await.map_err(error)?;
        Ok(needed.into_iter().collect())
    }
}

/// The loop and what belongs to it.
struct Runner {
    machine: Machine,
    parts: AgentParts,
    outside: Told,
    line: Line,
    work: Work,
    writer: Writer,
    voice: Voice,
    /// Executions told the loop what happened to them.
    told: mpsc::Receiver<Event>,
    tell: mpsc::Sender<Event>,
    stoppers: HashMap<JobId, Stopper>,
    /// Jobs of which there may be output on disk.
    on_disk: HashSet<JobId>,
    drained: Option<Drained>,
}

/// What woke the loop.
#[expect(clippy::large_enum_variant, reason = "nearly all are events, and each is moved once")]
enum Woken {
    Event(Event),
    Work(Done),
    Line(line::Heard),
    Shutdown,
}

impl Runner {
    fn new(machine: Machine, parts: AgentParts, outside: Told) -> Self {
        let (tell, told) = mpsc::channel(EVENTS);
        let name = machine.identity().name.clone();
        let line = Line::new(Arc::clone(&parts.bus), name);
        let voice = Voice::new(machine.identity().clone(), &parts, tell.clone());
        Self {
            machine,
            line,
            work: Work::default(),
            writer: Writer::new(Arc::clone(&parts.journal)),
            voice,
            told,
            tell,
            stoppers: HashMap::new(),
            on_disk: HashSet::new(),
            drained: None,
            parts,
            outside,
        }
    }

    async fn run(mut self, shutdown: CancellationToken) -> Drained {
        self.tell(Event::Begin);
        let denied = self.parts.denials.borrow_and_update().count;
        self.tell(Event::Denied(denied));
        self.line.open(&mut self.work);
        let mut is_draining = false;
        loop {
            if let Some(drained) = self.drained {
                self.voice.finish().await;
                self.work.finish().await;
                return drained;
            }
            match self.next(&shutdown, is_draining).await {
                Woken::Event(event) => self.heard(event),
                Woken::Work(done) => self.done(done),
                Woken::Line(heard) => {
                    if let Some(event) = self.line.heard(heard, &mut self.work) {
                        self.tell(event);
                    }
                }
                Woken::Shutdown => {
                    is_draining = true;
                    self.tell(Event::Drain);
                }
            }
        }
    }

    /// Waits for whatever comes first. Every branch only takes what is there once it wins, so that nothing is lost with the others.
    async fn next(&mut self, shutdown: &CancellationToken, is_draining: bool) -> Woken {
        let now = self.now();
        let due = self.machine.next_due(now);
        let pause = due.map(|due| due.saturating_sub(now.boottime));
        let due = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = self.told.recv() => Woken::Event(event),
            Some(done) = self.work.next() => Woken::Work(done),
            heard = self.line.next() => Woken::Line(heard),
            () = due => Woken::Event(Event::Due),
            // Who watches the broker may be gone, or never have been there; then there is nothing more to hear.
            Ok(()) = self.parts.denials.changed() => {
                Woken::Event(Event::Denied(self.parts.denials.borrow_and_update().count))
            }
            () = shutdown.cancelled(), if !is_draining => Woken::Shutdown,
        }
    }

    fn now(&self) -> Now {
        Now { wall: self.parts.clock.wall(), boottime: self.parts.clock.boottime() }
    }

    fn heard(&mut self, event: Event) {
        if let Event::Ended { job, .. } = &event {
            self.stoppers.remove(job);
        }
        self.tell(event);
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Committed(ids, result) => {
                self.writer.is_free();
                for id in ids {
                    self.tell(match &result {
                        Ok(()) => Event::Committed(id),
                        Err(why) => Event::CommitFailed(id, why.clone()),
                    });
                }
            }
            Done::Subscribed(subscribed) => {
                if let Some(event) = self.line.subscribed(subscribed, &mut self.work) {
                    self.tell(event);
                }
            }
            Done::Reopened(result) => {
                if let Err(why) = &result {
                    tracing::warn!(why, "the journal cannot be used yet");
                }
                self.tell(Event::JournalReopened(result));
            }
            Done::Leftovers(job, result, output) => {
                self.tell(Event::LeftoversEnded { job, result, output: *output });
            }
            Done::Broke(job) => {
                self.stoppers.remove(&job);
                self.tell(Event::Broke(job));
            }
        }
        self.writer.write(&mut self.work);
    }

    /// Tells the machine and does what it says.
    fn tell(&mut self, event: Event) {
        let now = self.now();
        for action in self.machine.on(event, now) {
            self.act(action);
        }
        self.writer.write(&mut self.work);
        let readiness = self.machine.readiness();
        let known = &self.outside.readiness;
        known.send_if_modified(|known| std::mem::replace(known, readiness) != readiness);
        let refusal = self.machine.refusal();
        self.outside.refusal.send_if_modified(|known| {
            let is_news = known.as_ref() != refusal;
            if is_news {
                *known = refusal.cloned();
            }
            is_news
        });
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(message) => self.voice.say(Said::Message(message)),
            Action::SendReport(job) => self.voice.say(Said::Report(job)),
            Action::SendChunk { job, chunk, of } => self.voice.send_chunk(job, chunk, of),
            Action::Commit { id, changes } => self.writer.queue(id, changes),
            Action::ReopenJournal => self.work.reopen(Arc::clone(&self.parts.journal)),
            Action::Start { task, start_by } => {
                self.on_disk.insert(task.job);
                let (stopper, stop) = crate::executor::Stop::channel();
                let stop = stop.with_deadline(Arc::clone(&self.parts.clock), start_by);
                self.stoppers.insert(task.job, stopper);
                let execution = execution::Execution::new(&self.parts, task, self.tell.clone());
                self.work.execute(execution.job(), execution.run(stop));
            }
            Action::Stop(job, reason) => {
                if let Some(stopper) = self.stoppers.get(&job) {
                    stopper.stop(reason);
                }
            }
            Action::EndLeftovers(handle) => {
                let executor = Arc::clone(&self.parts.executor);
                self.work.end_leftovers(executor, self.parts.spool.clone(), handle);
            }
            Action::DiscardOutput(job) => {
                if self.on_disk.remove(&job) {
                    self.work.discard(self.parts.spool.clone(), job);
                }
            }
            Action::Notice(notice) => log(&notice),
            Action::Done(drained) => self.drained = Some(drained),
        }
    }
}

fn log(notice: &Notice) {
    let job = notice.job().map(|job| job.to_string());
    if notice.is_alarm() {
        tracing::error!(job, "{notice}");
    } else {
        tracing::warn!(job, "{notice}");
    }
}
