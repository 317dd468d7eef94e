//! A fleet of one agent: keys, orders, a journal in memory, and two clocks that are set by hand.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt as _;

use super::super::{
    Action, CommitId, Config, Event, Finished, Machine, Notice, Now, Output, event,
};
use crate::agent::journal::{Binding, Change, Header, Journal, MemoryJournal, Record};
use crate::auth::envelope::{Document, Signed};
use crate::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use crate::auth::merkle::{HostTree, Membership};
use crate::clock::Timestamp;
use crate::executor::Handle;
use crate::id::{Digest, Identity, InstanceId, JobId, Nonce, SealingKey, StoreId};
use crate::job::record::VERSION;
use crate::job::{
    AgentFacts, ClaimRule, Exec, Failure, Labels, Operation, Outcome, Report, Submitter,
};
use crate::message::order::{Answer, AnswerKind, CancelOrder, Order, Position};
use crate::message::{ClaimRequest, FromAgent, Hello, ReceiptKind, Refusal, ToAgent, Welcome};

pub(super) static ROOT: LazyLock<SigningKey> = LazyLock::new(SigningKey::generate);
pub(super) static JOBS: LazyLock<SigningKey> = LazyLock::new(SigningKey::generate);
pub(super) static TOKENS: LazyLock<SigningKey> = LazyLock::new(SigningKey::generate);
pub(super) static STRANGER: LazyLock<SigningKey> = LazyLock::new(SigningKey::generate);
static AGENT: LazyLock<Arc<SigningKey>> = LazyLock::new(|| Arc::new(SigningKey::generate()));

pub(super) const START: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);

pub(super) fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) journal: MemoryJournal,
    pub(super) now: Now,
    pub(super) config: Config,
    /// Commits that were asked for and are not synced.
    pub(super) pending: VecDeque<(CommitId, Vec<Change>)>,
    /// Whether commits are synced as soon as they are asked for.
    pub(super) syncs_at_once: bool,
    /// Whom orders are for.
    pub(super) hosts: Vec<Identity>,
}

impl World {
    /// An agent that has begun and has no link.
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::named("web-1", change)
    }

    pub(super) fn named(name: &str, change: impl FnOnce(&mut Config)) -> Self {
        let binding = Binding {
            fleet: ROOT.public().fleet(),
            name: name.parse().unwrap(),
            key: AGENT.public(),
            machine: "m".into(),
        };
        let journal = MemoryJournal::new(binding);
        let mut config = Config {
            instance: InstanceId::random(),
            key: Arc::clone(&AGENT),
            root: ROOT.public(),
            hostname: "web-1.example".into(),
            version: "1".into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: Labels::default(),
            facts: AgentFacts::default(),
            slots: 2,
            queue: 3,
            admit: Arc::new(|operation: &Operation, _: &Submitter| match operation {
                Operation::Custom(_) => Err(Failure::new("unsupported", "not here")),
                _ => Ok(()),
            }),
            drain_grace: s(10),
        };
        change(&mut config);
        let now = Now { wall: START, boottime: s(1000) };
        let machine = Machine::new(config.clone(), journal.header(), Vec::new());
        let (pending, syncs_at_once) = (VecDeque::new(), true);
        let me = journal.header().identity();
        let hosts = vec![me.clone(), stranger(me)];
        let mut world = Self { machine, journal, now, config, pending, syncs_at_once, hosts };
        world.tell(Event::Begin);
        world
    }

    /// An agent with a link that was welcomed.
    pub(super) fn ready() -> Self {
        Self::ready_with(|_| {})
    }

    pub(super) fn ready_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::with(change);
        world.connect();
        world
    }

    pub(super) fn connect(&mut self) -> Vec<Action> {
        let mut actions = self.tell(Event::LinkUp);
        actions.extend(self.tell(self.welcome()));
        actions
    }

    /// Tells the event, syncs what is to be synced, and gives every action that came of it.
    pub(super) fn tell(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.machine.on(event, self.now);
        for action in &actions {
            if let Action::Commit { id, changes } = action {
                self.pending.push_back((*id, changes.clone()));
            }
        }
        if actions.contains(&Action::ReopenJournal) {
            let result = self.journal.reopen().now_or_never().unwrap();
            let reopened = Event::JournalReopened(result.map_err(|err| err.to_string()));
            actions.extend(self.tell(reopened));
        }
        if self.syncs_at_once {
            actions.extend(self.sync());
        }
        actions
    }

    /// Syncs one commit after the other until there are none.
    pub(super) fn sync(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some((id, changes)) = self.pending.pop_front() {
            let event = match self.journal.commit(changes).now_or_never().unwrap() {
                Ok(()) => Event::Committed(id),
                Err(err) => Event::CommitFailed(id, err.to_string()),
            };
            actions.extend(self.tell(event));
        }
        actions
    }

    /// The process dies and starts again: what was not synced is gone.
    pub(super) fn crash(&mut self) -> Vec<Action> {
        self.pending.clear();
        self.journal.repair();
        self.journal.reopen().now_or_never().unwrap().unwrap();
        self.config.instance = InstanceId::random();
        self.machine = Machine::new(self.config.clone(), self.header(), self.entries());
        self.tell(Event::Begin)
    }

    /// Both clocks go on.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<Action> {
        self.now = Now { wall: self.now.wall + time, boottime: self.now.boottime + time };
        self.tell(Event::Due)
    }

    /// Lets time pass from one due moment to the next.
    pub(super) fn live(&mut self, time: Duration) -> Vec<Action> {
        let end = self.now.boottime + time;
        let mut actions = Vec::new();
        while let Some(due) = self.machine.next_due(self.now).filter(|due| *due < end) {
            assert!(due > self.now.boottime || !actions.is_empty(), "due at once, again");
            actions.extend(self.wait(due.saturating_sub(self.now.boottime)));
        }
        actions.extend(self.wait(end - self.now.boottime));
        actions
    }

    pub(super) fn header(&self) -> Header {
        self.journal.header()
    }

    pub(super) fn entries(&self) -> Vec<(JobId, Record)> {
        self.journal.entries().now_or_never().unwrap().unwrap()
    }

    pub(super) fn identity(&self) -> Identity {
        self.header().identity()
    }

    pub(super) fn order(&self) -> Order {
        self.order_of(self.new_job())
    }

    pub(super) fn new_job(&self) -> JobId {
        JobId::new(self.now.wall)
    }

    pub(super) fn order_of(&self, job: JobId) -> Order {
        Order {
            v: VERSION,
            fleet: ROOT.public().fleet(),
            job,
            wave: 0,
            iat: self.now.wall,
            not_after: self.now.wall + s(30),
            claim: ClaimRule::None,
            hosts: self.tree().set(),
            submitter: submitter(),
            operation: Operation::Exec(Exec::new("true")),
            asked: Digest::of(b"asked"),
            retry_of: None,
        }
    }

    pub(super) fn tree(&self) -> HostTree {
        HostTree::new(ROOT.public().fleet(), &self.hosts)
    }

    pub(super) fn membership(&self) -> Membership {
        let me = self.identity();
        let place = self.hosts.iter().position(|host| *host == me).unwrap();
        self.tree().membership(place).unwrap()
    }

    pub(super) fn dispatch(&self, order: &Order) -> Event {
        self.dispatch_signed(signed(order, &JOBS))
    }

    pub(super) fn dispatch_signed(&self, order: Signed<Order>) -> Event {
        Event::Message(ToAgent::Dispatch { order, membership: self.membership() })
    }

    pub(super) fn cancel(&self, order: &Order) -> Event {
        let cancel = CancelOrder {
            v: VERSION,
            fleet: order.fleet,
            job: order.job,
            not_after: order.not_after,
            by: submitter(),
            at: self.now.wall,
        };
        Event::Message(ToAgent::Cancel(signed(&cancel, &JOBS)))
    }

    pub(super) fn answer(&self, job: JobId, kind: fn(Digest) -> AnswerKind) -> Event {
        let kind = kind(self.signed_report(job).digest());
        self.answer_by(&JOBS, self.identity(), job, kind)
    }

    pub(super) fn answer_by(
        &self,
        key: &SigningKey,
        identity: Identity,
        job: JobId,
        kind: AnswerKind,
    ) -> Event {
        let fleet = ROOT.public().fleet();
        let answer = Answer { v: VERSION, fleet, identity, job, kind, at: None };
        Event::Message(ToAgent::Answer(signed(&answer, key)))
    }

    /// The answer that the report of `job` is stored there, signed with `key`.
    pub(super) fn stored_at(&self, job: JobId, at: Position, key: &SigningKey) -> Signed<Answer> {
        let kind = AnswerKind::Stored(self.signed_report(job).digest());
        let (fleet, identity) = (ROOT.public().fleet(), self.identity());
        signed(&Answer { v: VERSION, fleet, identity, job, kind, at: Some(at) }, key)
    }

    /// An order that has to be claimed.
    pub(super) fn order_with(&self, claim: ClaimRule) -> Order {
        Order { claim, ..self.order() }
    }

    /// The nonce with which the claim on `job` is asked for.
    pub(super) fn nonce(&self, job: JobId) -> Nonce {
        let entry = self.entries().into_iter().find(|(known, _)| *known == job);
        entry.unwrap().1.nonce.unwrap()
    }

    pub(super) fn yours(&self, job: JobId) -> Event {
        let kind = AnswerKind::Yours(self.nonce(job));
        self.answer_by(&JOBS, self.identity(), job, kind)
    }

    pub(super) fn void(&self, job: JobId) -> Event {
        let kind = AnswerKind::Void(self.nonce(job));
        self.answer_by(&JOBS, self.identity(), job, kind)
    }

    pub(super) fn welcome(&self) -> Event {
        self.welcome_with(1, |_| {})
    }

    pub(super) fn welcome_with(&self, serial: u64, change: impl FnOnce(&mut Welcome)) -> Event {
        let mut welcome = Welcome {
            identity: self.identity(),
            ring: signed(&ring(serial), &ROOT),
            wall: self.now.wall,
            store: StoreId::from_bytes([1; 16]),
            retention_s: 3600,
        };
        change(&mut welcome);
        Event::Message(ToAgent::Welcome(welcome))
    }

    pub(super) fn started(&mut self, job: JobId) -> Vec<Action> {
        let handle = Handle { job, detail: serde_json::json!({ "pid": 7 }) };
        self.tell(Event::Started { job, handle })
    }

    pub(super) fn ended(&mut self, job: JobId, outcome: Outcome) -> Vec<Action> {
        self.ended_with(job, outcome, Output::empty())
    }

    pub(super) fn ended_with(
        &mut self,
        job: JobId,
        outcome: Outcome,
        output: Output,
    ) -> Vec<Action> {
        let finished = Finished { outcome, duration: s(1), output };
        self.tell(Event::Ended { job, finished: Box::new(finished) })
    }

    /// Runs a new job to its end, with exit code 0.
    pub(super) fn run(&mut self) -> Order {
        let order = self.order();
        let actions = self.tell(self.dispatch(&order));
        assert_eq!(starts(&actions), [order.job]);
        self.started(order.job);
        self.ended(order.job, Outcome::Exited { code: 0 });
        order
    }

    pub(super) fn signed_report(&self, job: JobId) -> Signed<Report> {
        self.journal.report(job).now_or_never().unwrap().unwrap().expect("the job has a report")
    }

    /// What the report says, if the agent signed it.
    pub(super) fn report(&self, job: JobId) -> Report {
        self.signed_report(job).verify(&AGENT.public()).unwrap()
    }

    pub(super) fn outcome(&self, job: JobId) -> Outcome {
        self.report(job).outcome
    }
}

pub(super) fn signed<D: Document>(document: &D, key: &SigningKey) -> Signed<D> {
    Signed::sign(document, key).unwrap()
}

pub(super) fn stranger(identity: Identity) -> Identity {
    Identity { name: "db-1".parse().unwrap(), ..identity }
}

pub(super) fn ring(serial: u64) -> KeyRing {
    let job = RingKey { key: JOBS.public(), usage: KeyUse::Job };
    let token = RingKey { key: TOKENS.public(), usage: KeyUse::Token };
    let (fleet, keys) = (ROOT.public().fleet(), vec![job, token]);
    KeyRing { v: VERSION, fleet, serial, at: START, keys, is_after_restore: false }
}

fn submitter() -> Submitter {
    Submitter { subject: "ann".into(), token_id: "t".into(), roles: Vec::new() }
}

pub(super) fn starts(actions: &[Action]) -> Vec<JobId> {
    let start = |action: &Action| match action {
        Action::Start { task, .. } => Some(task.job),
        _ => None,
    };
    actions.iter().filter_map(start).collect()
}

pub(super) fn receipts(actions: &[Action]) -> Vec<ReceiptKind> {
    let receipt = |action: &Action| match action {
        Action::Send(FromAgent::Receipt(receipt)) => Some(receipt.kind),
        _ => None,
    };
    actions.iter().filter_map(receipt).collect()
}

pub(super) fn reports(actions: &[Action]) -> Vec<JobId> {
    let report = |action: &Action| match action {
        Action::SendReport(job) => Some(*job),
        _ => None,
    };
    actions.iter().filter_map(report).collect()
}

/// The claim requests that were sent, each signed by the agent.
pub(super) fn claims(actions: &[Action]) -> Vec<ClaimRequest> {
    let claim = |action: &Action| match action {
        Action::Send(FromAgent::Claim(signed)) => Some(signed.verify(&AGENT.public()).unwrap()),
        _ => None,
    };
    actions.iter().filter_map(claim).collect()
}

/// The jobs whose claims were asked for.
pub(super) fn claimed(actions: &[Action]) -> Vec<JobId> {
    claims(actions).into_iter().map(|request| request.job).collect()
}

pub(super) fn notices(actions: &[Action]) -> Vec<&Notice> {
    fn notice(action: &Action) -> Option<&Notice> {
        match action {
            Action::Notice(notice) => Some(notice),
            _ => None,
        }
    }
    actions.iter().filter_map(notice).collect()
}

pub(super) fn hellos(actions: &[Action]) -> Vec<&Hello> {
    fn hello(action: &Action) -> Option<&Hello> {
        match action {
            Action::Send(FromAgent::Hello(hello)) => Some(hello),
            _ => None,
        }
    }
    actions.iter().filter_map(hello).collect()
}

pub(super) fn chunks(actions: &[Action]) -> Vec<(crate::agent::upload::Chunk, Digest)> {
    let chunk = |action: &Action| match action {
        Action::SendChunk { chunk, of, .. } => Some((*chunk, of.sha256)),
        _ => None,
    };
    actions.iter().filter_map(chunk).collect()
}

pub(super) fn done(actions: &[Action]) -> Option<event::Drained> {
    actions.iter().find_map(|action| match action {
        Action::Done(drained) => Some(*drained),
        _ => None,
    })
}

pub(super) fn commits(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Commit { .. })).count()
}

pub(super) const fn refused(why: Refusal) -> ReceiptKind {
    ReceiptKind::Refused(why)
}
