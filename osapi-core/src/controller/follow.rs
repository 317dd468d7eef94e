//! The one task that owns what is known. It takes one thing at a time (a record, a word, a question, a due moment), lets [`State`]
//! decide, and carries out what follows.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};

use super::orders;
use super::outbound::Dispatchable;
use super::pump::{self, Told};
use super::records;
use super::state::{Claimed, Effect, Evidence, State};
use super::void;
use super::{Phase, Shared};
use crate::auth::envelope::Signed;
use crate::auth::keys::KeyRing;
use crate::backend::{Bucket, Delivery, Key, Link, Store, StoreError, Subscription};
use crate::id::JobId;
use crate::job::record::JobRecord;
use crate::job::{ClaimRecord, Host, limits};
use crate::message::{FromAgent, Ping, Subject, decode, encode};

/// Questions and records that wait for the follower.
const QUEUE: usize = 1024;

type Question = Box<dyn FnOnce(&mut State) + Send>;

/// Where questions to the follower are asked.
#[derive(Debug, Clone)]
pub(super) struct Questions(mpsc::Sender<Question>);

impl Questions {
    pub(super) fn new() -> (Self, mpsc::Receiver<Question>) {
        let (ask, asked) = mpsc::channel(QUEUE);
        (Self(ask), asked)
    }

    /// The answer; `None` when the follower has ended.
    pub(super) async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut State) -> R + Send + 'static,
    ) -> Option<R> {
        let (tell, told) = oneshot::channel();
        let boxed: Question = Box::new(move |state| {
            // Whoever asked may have gone; then nobody wants to know.
            drop(tell.send(question(state)));
        });
        self.0.send(boxed).await.ok()?;
        told.await.ok()
    }
}

/// What was read from the store at the follower's wish.
enum Loaded {
    Hosts(Box<JobRecord>, Result<Vec<Host>, StoreError>),
    Order(JobId, Result<Dispatchable, StoreError>),
    Voided(JobId, Vec<ClaimRecord>),
    Removed(JobId),
    Compared(Claimed, Result<bool, StoreError>),
    Told,
    Barred(JobId, bool),
}

/// Most host lists that are read at once.
const LOADS_MAX: usize = 64;

/// The loop turns at least this often.
const TURN_EVERY: Duration = Duration::from_secs(2);

/// More time than this between two turns means that the process was paused: nothing was heard meanwhile.
const PAUSED_AFTER: Duration = Duration::from_secs(5);

/// What woke the loop.
enum Woken {
    Told(Told),
    Heard(Delivery),
    Question(Question),
    Loaded(Result<Loaded, JoinError>),
    Link,
    Key,
    Due,
}

/// The tasks that read the store, and how far they have come.
struct Reading {
    tell: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    pumps: JoinSet<()>,
    unread: std::slice::Iter<'static, &'static [Bucket]>,
    read: &'static [Bucket],
}

impl Reading {
    fn new() -> Self {
        let (tell, told) = mpsc::channel(QUEUE);
        Self { tell, told, pumps: JoinSet::new(), unread: pump::PHASES.iter(), read: &[] }
    }

    /// Reads the next buckets once those before are known.
    fn go_on(&mut self, state: &State, store: &Arc<dyn Store>) {
        while state.knows(self.read)
            && let Some(next) = self.unread.next()
        {
            for bucket in *next {
                self.pumps.spawn(pump::pump(Arc::clone(store), *bucket, self.tell.clone()));
            }
            self.read = next;
        }
    }
}

/// The task.
pub(super) struct Follower {
    shared: Arc<Shared>,
    state: State,
    loads: JoinSet<Loaded>,
    /// When the loop turned last, by the boottime clock.
    turned: Duration,
}

/// However the task ends, also by a panic: without it nothing can be answered, and who watches over the process has to learn of it.
impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.phase.send_replace(Phase::Starting);
        self.shared.stop.cancel();
    }
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let state = State::new(Arc::clone(&shared));
        let turned = shared.clock.boottime();
        Self { shared, state, loads: JoinSet::new(), turned }
    }

    pub(super) async fn run(
        mut self,
        mut heard: Subscription,
        mut questions: mpsc::Receiver<Question>,
    ) {
        let mut reading = Reading::new();
        let (mut store_link, mut bus_link) = (self.shared.store.link(), self.shared.bus.link());
        let (stop, mut job_key) = (self.shared.stop.clone(), self.shared.job_key.clone());
        let mut links_changed = true;
        loop {
            if std::mem::take(&mut links_changed) {
                let up = *store_link.borrow_and_update() == Link::Up
                    && *bus_link.borrow_and_update() == Link::Up;
                if self.state.set_linked(up) {
                    self.ping();
                }
            }
            reading.go_on(&self.state, &self.shared.store);
            let due = self.state.next_due();
            // Every branch is cancel-safe: channels and subscriptions lose nothing, and the moment is computed anew.
            let woken = tokio::select! {
                () = stop.cancelled() => break,
                Some(told) = reading.told.recv(), if self.state.loads() < LOADS_MAX => Woken::Told(told),
                Some(delivery) = heard.next() => Woken::Heard(delivery),
                Some(question) = questions.recv() => Woken::Question(question),
                Some(loaded) = self.loads.join_next() => Woken::Loaded(loaded),
                () = until(due, self.shared.clock.boottime()) => Woken::Due,
                () = self.shared.outbox.emptied(), if self.state.is_held_back() => Woken::Due,
                Ok(()) = store_link.changed() => Woken::Link,
                Ok(()) = bus_link.changed() => Woken::Link,
                Ok(()) = job_key.changed() => Woken::Key,
            };
            // Before anything is answered: who was paused cannot tell who was silent.
            self.note_turn();
            match woken {
                Woken::Told(told) => self.state.absorb(told),
                Woken::Heard(delivery) => {
                    self.hear(&delivery);
                    self.shared.heard.send_replace(());
                }
                Woken::Question(question) => question(&mut self.state),
                Woken::Loaded(loaded) => self.loaded(loaded),
                Woken::Link => links_changed = true,
                Woken::Key => self.state.check_signing_key(),
                Woken::Due => {}
            }
            self.state.tick();
            self.carry_out();
            if self.state.must_begin_anew() {
                reading.pumps.shutdown().await;
                reading = Reading::new();
                self.state.begin_anew();
            }
        }
        self.loads.shutdown().await;
        reading.pumps.shutdown().await;
    }

    fn note_turn(&mut self) {
        let now = self.shared.clock.boottime();
        let since = now.saturating_sub(std::mem::replace(&mut self.turned, now));
        if since > PAUSED_AFTER {
            tracing::warn!(
                seconds = since.as_secs(),
                "this process was paused: silence is counted anew"
            );
            self.state.listen_anew();
            self.ping();
        }
    }

    /// Asks every agent for a hello.
    fn ping(&mut self) {
        self.tell_all(None);
    }

    /// Tells every agent the keys that are valid now, or asks them for hellos: one message, however many they are.
    fn tell_all(&mut self, ring: Option<Signed<KeyRing>>) {
        let shared = Arc::clone(&self.shared);
        self.loads.spawn(async move {
            let ping = encode(&Ping { instance: shared.instance, ring }).into();
            if let Err(err) = shared.bus.publish(&Subject::Ping, ping).await {
                tracing::warn!(
                    error = &err as &dyn std::error::Error,
                    "agents could not be pinged"
                );
            }
            Loaded::Told
        });
    }

    fn hear(&mut self, delivery: &Delivery) {
        let Some(name) = delivery.subject.agent() else { return };
        match decode::<FromAgent>(&delivery.payload) {
            Ok(FromAgent::Hello(hello)) if hello.identity.name == *name => {
                self.state.on_hello(hello)
            }
            Ok(FromAgent::Receipt(receipt)) if receipt.identity.name == *name => {
                self.state.on_receipt(receipt)
            }
            Ok(_) => {
                tracing::warn!(agent = %name, "a message came under another name or on the wrong subject")
            }
            Err(err) => {
                tracing::warn!(agent = %name, error = &err as &dyn std::error::Error, "a message cannot be read")
            }
        }
    }

    fn loaded(&mut self, loaded: Result<Loaded, JoinError>) {
        match loaded {
            // It was asked for before everything was read anew.
            Ok(Loaded::Hosts(record, _)) if !self.state.awaits_hosts(record.job) => {}
            Ok(Loaded::Hosts(record, Ok(hosts))) => self.state.add_job(&record, hosts, None),
            Ok(Loaded::Hosts(record, Err(err))) => self.state.host_list_failed(&record, &err),
            Ok(Loaded::Order(job, result)) => self.state.order_loaded(job, result),
            Ok(Loaded::Voided(job, claims)) => self.state.voided(job, &claims),
            Ok(Loaded::Removed(job)) => self.state.removal_ended(job),
            Ok(Loaded::Compared(claimed, is_there)) => self.state.compared(&claimed, is_there),
            Ok(Loaded::Told) => {}
            Ok(Loaded::Barred(job, is_done)) => self.state.orphan_ended(job, is_done),
            Err(err) => tracing::error!(
                error = &err as &dyn std::error::Error,
                "a task of the controller failed"
            ),
        }
    }

    fn carry_out(&mut self) {
        for effect in self.state.take_effects() {
            match effect {
                Effect::Send(to, outbound) => self.shared.outbox.send(&to, outbound),
                Effect::LoadHosts(record) => {
                    let shared = Arc::clone(&self.shared);
                    self.loads.spawn(async move {
                        let hosts = load_hosts(&shared, &record).await;
                        Loaded::Hosts(record, hosts)
                    });
                }
                Effect::LoadOrder(order) => {
                    let shared = Arc::clone(&self.shared);
                    self.loads.spawn(async move {
                        let result = orders::load(&shared, &order).await;
                        Loaded::Order(order.job, result)
                    });
                }
                Effect::Void(job, claims) => {
                    let shared = Arc::clone(&self.shared);
                    self.loads.spawn(async move {
                        let claims = void::settle_all(&shared, job, claims).await;
                        Loaded::Voided(job, claims)
                    });
                }
                Effect::Remove(job) => {
                    let shared = Arc::clone(&self.shared);
                    self.loads.spawn(async move {
                        super::remove::remove(&shared, job, None).await;
                        Loaded::Removed(job)
                    });
                }
                Effect::Compare(claimed) => {
                    let shared = Arc::clone(&self.shared);
                    self.loads.spawn(async move {
                        let is_there = is_there(&*shared.store, claimed.evidence).await;
                        Loaded::Compared(claimed, is_there)
                    });
                }
                Effect::Announce(ring) => self.tell_all(Some(ring)),
                Effect::Bar(facts, key) => {
                    let shared = Arc::clone(&self.shared);
                    self.loads.spawn(async move {
                        let barred = super::cancel::bar(&shared, &facts, &key).await;
                        if let Err(err) = &barred {
                            tracing::warn!(job = %facts.job, error = err as &dyn std::error::Error, "a job whose key was retired could not be cancelled: it is tried again");
                        }
                        Loaded::Barred(facts.job, barred.is_ok())
                    });
                }
            }
        }
    }
}

/// Reads the host list of a job: again and again while the store cannot be reached, for only what was read can be damaged.
async fn load_hosts(shared: &Shared, record: &JobRecord) -> Result<Vec<Host>, StoreError> {
    loop {
        match records::load_hosts(&*shared.store, record.job, &record.hosts).await {
            Err(err) if !matches!(err, StoreError::Damaged(_)) => {
                tracing::warn!(job = %record.job, error = &err as &dyn std::error::Error, "a host list cannot be read: it is tried again");
                tokio::time::sleep(limits::RESEND_MIN).await;
            }
            result => return result,
        }
    }
}

/// Whether the leader of the store has what an agent has proved to have been in it.
async fn is_there(store: &dyn Store, evidence: Evidence) -> Result<bool, StoreError> {
    match evidence {
        Evidence::Report(cursor) => Ok(store.head(Bucket::Reports).await? >= cursor),
        Evidence::Ring(serial) => {
            Ok(store.get_latest(Bucket::Keyrings, &Key::of(&[&serial])).await?.is_some())
        }
    }
}

async fn until(due: Option<Duration>, now: Duration) {
    let pause = due.map_or(TURN_EVERY, |due| due.saturating_sub(now));
    tokio::time::sleep(pause.min(TURN_EVERY)).await;
}
