//! The agent's mind: a state machine without I/O, without a clock and without waiting.
//!
//! It is told one [`Event`] at a time and answers with [`Action`]s. Everything that decides is here; what decides whether a command
//! may start is never asked of anything else. The order of writes: `starting` is journaled and synced, then deadline and cancel are
//! checked once more, then comes [`Action::Start`]; an outcome is journaled and synced, then comes its report. Where an order asks for
//! a claim, `accepted` with its nonce is journaled and synced before the claim is asked for, and `starting` follows its grant.

mod check;
mod claim;
mod delivery;
mod drain;
mod event;
mod intake;
mod job;
mod outcome;
mod recover;
mod repair;
mod seen;
mod session;
mod start;
#[cfg(test)]
mod tests;
mod timers;
mod words;
mod writes;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::journal::{Change, Header, Record};
use crate::auth::keys::SigningKey;
use crate::clock::Timestamp;
use crate::id::{Digest, Identity, InstanceId, JobId, PublicKey, SealingKey};
use crate::job::limits::HELLO_EVERY;
use crate::job::{AgentFacts, Failure, Labels, Operation, Submitter};
use crate::message::{Readiness, RegistrationRefusal, ToAgent};
use check::Clocks;
use drain::Drain;
use job::{Delivery, Job, Phase};
use session::Session;
use timers::{Timers, Wake};
use writes::Writes;

pub use event::{Action, CommitId, Drained, Event, Finished, Notice, Now, Output};
pub(in crate::agent) use timers::pause_after;

/// What decides, on this host alone, whether an operation may be performed here at all, for who asked.
pub type Admit = Arc<dyn Fn(&Operation, &Submitter) -> Result<(), Failure> + Send + Sync>;

/// What a machine is given beside its journal.
#[derive(Clone)]
pub struct Config {
    /// This run of the agent.
    pub instance: InstanceId,
    /// The agent's key: the one that its journal names.
    pub key: Arc<SigningKey>,
    /// The fleet's root key.
    pub root: PublicKey,
    /// The host's full host name.
    pub hostname: String,
    /// Version of the agent's build.
    pub version: String,
    /// The public half of its sealing key.
    pub sealing: SealingKey,
    /// By which targets find the host.
    pub labels: Labels,
    /// What kind of host it is.
    pub facts: AgentFacts,
    /// Executions at once.
    pub slots: usize,
    /// Accepted jobs that may wait for a slot.
    pub queue: usize,
    /// The local policy.
    pub admit: Admit,
    /// How long running commands may go on after [`Event::Drain`].
    pub drain_grace: Duration,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, slots, queue, .. } = self;
        write!(f, "Config({instance}, {slots} slots, queue of {queue})")
    }
}

/// The agent's state machine.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    identity: Identity,
    /// As it will be once every commit under way is synced.
    header: Header,
    /// At least the header's: orders that were refused count as well.
    highest_iat: Timestamp,
    jobs: BTreeMap<JobId, Job>,
    bodies: HashMap<Digest, JobId>,
    /// Jobs whose last word is not their report yet: a hello names them.
    open: BTreeSet<JobId>,
    /// Queued jobs, first come first served; those that have left the queue are skipped.
    queue: VecDeque<JobId>,
    /// Queued jobs that came to a slot while their claim could not be asked for, in the order in which they did.
    parked: VecDeque<JobId>,
    /// Queued jobs, and those that claim a start, by start deadline.
    deadlines: BTreeSet<(Timestamp, JobId)>,
    /// Jobs whose acceptance is being synced.
    accepting: usize,
    /// Slots in use.
    busy: usize,
    /// Answered reports and closed jobs, by when they may be forgotten.
    kept: BTreeSet<(Timestamp, JobId)>,
    session: Session,
    writes: Writes,
    timers: Timers,
    drain: Drain,
    /// Hellos that were said.
    hellos: u64,
    /// What the broker has denied.
    denied: u64,
    actions: Vec<Action>,
    now: Now,
}

impl Machine {
    /// The agent whose journal holds `header` and `entries`, as it is right after a crash or a shutdown.
    #[must_use]
    pub fn new(config: Config, header: Header, entries: Vec<(JobId, Record)>) -> Self {
        let mut machine = Self {
            config,
            identity: header.identity(),
            highest_iat: header.highest_iat,
            session: Session::new(header.ring),
            header,
            jobs: BTreeMap::new(),
            bodies: HashMap::new(),
            open: BTreeSet::new(),
            queue: VecDeque::new(),
            parked: VecDeque::new(),
            deadlines: BTreeSet::new(),
            accepting: 0,
            busy: 0,
            kept: BTreeSet::new(),
            writes: Writes::default(),
            timers: Timers::default(),
            drain: Drain::No,
            hellos: 0,
            denied: 0,
            actions: Vec::new(),
            now: Now { wall: Timestamp::from_unix_millis(0), boottime: Duration::ZERO },
        };
        for (job, record) in entries {
            machine.restore(job, record);
        }
        machine
    }

    /// What to do about `event`, in order. `now` never goes back in its boot time.
    #[must_use]
    pub fn on(&mut self, event: Event, now: Now) -> Vec<Action> {
        self.now = now;
        let readiness = self.readiness();
        match event {
            Event::Begin => self.begin(),
            Event::LinkUp => self.link_up(),
            Event::LinkDown => self.link_down(),
            Event::Message(message) => self.told(message),
            Event::Pinged => self.say_hello(),
            Event::KeysChanged(ring) => self.keys_changed(&ring),
            Event::Committed(id) => self.committed(id),
            Event::CommitFailed(id, why) => self.commit_failed(id, why),
            Event::JournalReopened(result) => self.journal_reopened(result),
            Event::Started { job, handle } => self.started(job, handle),
            Event::Ended { job, finished } => self.ended(job, *finished),
            Event::Broke(job) => self.broke(job),
            Event::LeftoversEnded { job, result, output } => {
                self.leftovers_ended(job, result, output);
            }
            Event::ChunkLost { job, chunk } => self.chunk_lost(job, chunk),
            // Told with the next hello. One for its sake could be denied in its turn.
            Event::Denied(count) => self.denied = count,
            Event::Due => {}
            Event::Drain => self.start_draining(),
        }
        self.wake_up();
        self.expire_queued();
        self.fill_slots();
        if self.readiness() != readiness {
            self.say_hello();
        }
        self.write();
        self.check_drained();
        std::mem::take(&mut self.actions)
    }

    /// The time since boot at which [`Event::Due`] is to be told, unless another event comes first.
    #[must_use]
    pub fn next_due(&self, now: Now) -> Option<Duration> {
        let deadline = self.deadlines.first().map(|(not_after, _)| {
            let clocks = self.session.clocks(now);
            let latest = clocks.latest();
            now.boottime + not_after.since(latest)
        });
        self.timers.next().into_iter().chain(deadline).min()
    }

    /// Whether it takes new jobs.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if self.drain != Drain::No {
            Readiness::Draining
        } else if self.session.is_welcome()
            && self.session.refusal().is_none()
            && !self.writes.is_broken()
        {
            Readiness::Ready
        } else {
            Readiness::NotReady
        }
    }

    /// Why it is not let in, if that is the last word.
    #[must_use]
    pub fn refusal(&self) -> Option<&RegistrationRefusal> {
        self.session.refusal()
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the kept output of `job` is still needed. What else is in the spool was left by a crash.
    #[must_use]
    pub fn needs_output(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| match &job.phase {
            Phase::Ended(delivery) => !delivery.ended.chunked.is_empty(),
            Phase::Closed(_) => false,
            _ => true,
        })
    }

    fn told(&mut self, message: ToAgent) {
        match message {
            ToAgent::Dispatch { order, membership } => self.dispatched(&order, &membership),
            ToAgent::Cancel(cancel) => self.cancelled(&cancel),
            ToAgent::Answer(answer) => self.answered(&answer),
            ToAgent::OutputSettled(settled) => self.output_settled(&settled),
            ToAgent::Welcome(welcome) => self.welcomed(&welcome),
            ToAgent::Refused(refused) => self.kept_out(refused),
        }
    }

    fn wake_up(&mut self) {
        while let Some(wake) = self.timers.pop(self.now.boottime) {
            match wake {
                Wake::Hello => self.regularly(),
                Wake::Register => self.register(),
                Wake::Lazy => self.writes.flush_lazy(),
                Wake::Journal => self.reopen_journal(),
                Wake::Drain => self.lose_patience(),
                Wake::Timeout(job) => self.time_out(job),
                Wake::Leftovers(job) => self.end_leftovers(job),
                Wake::Claim(job) => self.ask_for_claim(job),
                Wake::Report(job) => self.send_report(job),
                Wake::Upload(job) => self.drive_upload(job),
            }
        }
    }

    fn regularly(&mut self) {
        self.forget();
        self.say_hello();
        self.timers.set(Wake::Hello, self.now.boottime + HELLO_EVERY);
    }

    fn clocks(&self) -> Clocks {
        self.session.clocks(self.now)
    }

    fn do_it(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn notice(&mut self, notice: Notice) {
        self.do_it(Action::Notice(notice));
    }

    /// Journals what is known of a job by now, with the other changes of this event.
    fn put(&mut self, job: JobId) {
        if let Some(known) = self.jobs.get(&job) {
            let record = known.record();
            self.change(Change::Put(job, record));
        }
    }

    fn change(&mut self, change: Change) {
        self.header.apply(&change);
        self.writes.change(change);
    }
}
