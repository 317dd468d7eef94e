//! The controller against agents of the test's own, which do exactly what a test says.

mod claims;
mod claims_several;
mod health;
mod intake;
mod jobs;
mod keys;
mod large;
mod membership;
mod output;
mod planted;
mod retry;
mod rollback;
mod schedules;
mod several;
mod targets;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::watch;

use super::{Config, Controller, Error, Idempotency, Parts, Submission, found_key_ring, records};
use crate::api::types::{AgentState, Encoding};
use crate::auth::authorize::Permit;
use crate::auth::envelope::Signed;
use crate::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use crate::auth::merkle::Membership;
use crate::auth::permission::Permission;
use crate::backend::embedded::{EmbeddedBus, EmbeddedStore};
use crate::backend::faulty::{BusFaults, FaultyBus, FaultyStore, StoreFaults};
use crate::backend::held as stores;
use crate::backend::{Bucket, Bus, Denials, Key, Prefix, Store, Subscription};
use crate::clock::{Clock, Timestamp, TokioClock};
use crate::eventually::eventually;
use crate::id::{AgentName, Digest, Identity, InstanceId, JobId, JournalId, Nonce, SealingKey};
use crate::job::limits::CHUNK_MAX;
use crate::job::record::VERSION;
use crate::job::report::{Stream, StreamReport};
use crate::job::word::ReceiptKind;
use crate::job::{
    AgentFacts, Exec, ExecutionState, JobStatus, Labels, Operation, Outcome, Report, Target,
};
use crate::message::word::OutputChunk;
use crate::message::{
    Answer, AnswerKind, ClaimRequest, FromAgent, Hello, Order, Pattern, Readiness, Receipt,
    Registration, Subject, ToAgent, decode, encode,
};

/// A fleet of one store, one bus and any number of controllers and agents.
struct Fleet {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    root: SigningKey,
    job_key: String,
    /// With what every controller of the fleet signs.
    signing: watch::Sender<Arc<SigningKey>>,
    /// What the broker denies every controller of the fleet.
    denials: watch::Sender<Denials>,
    config: Config,
}

impl Fleet {
    fn over(store: Arc<dyn Store>, bus: Arc<dyn Bus>) -> Self {
        let start = Timestamp::from_unix_millis(1_800_000_000_000);
        let job_key = SigningKey::generate().to_paserk().to_string();
        let signing = Arc::new(SigningKey::from_paserk(&job_key).unwrap());
        let signing = watch::Sender::new(signing);
        let clock = Arc::new(TokioClock::starting_at(start));
        let (root, config) = (SigningKey::generate(), Config::default());
        let denials = watch::Sender::default();
        Self { store, bus, clock, root, job_key, signing, denials, config }
    }

    fn new() -> Self {
        Self::over(Arc::new(EmbeddedStore::in_memory()), Arc::new(EmbeddedBus::new()))
    }

    fn job_key(&self) -> SigningKey {
        SigningKey::from_paserk(&self.job_key).unwrap()
    }

    /// A controller that is ready.
    async fn controller(&self) -> Controller {
        self.controller_over(Arc::clone(&self.store)).await
    }

    /// A controller that is ready, on a store of its own or on its own way to the fleet's.
    async fn controller_over(&self, store: Arc<dyn Store>) -> Controller {
        let keys = vec![RingKey { key: self.job_key().public(), usage: KeyUse::Job }];
        let ring = KeyRing::issue(&self.root, 1, self.clock.wall(), keys).unwrap();
        while found_key_ring(&*store, &ring, &self.root.public()).await.is_err() {}
        let controller = Controller::start(Parts {
            store,
            bus: Arc::clone(&self.bus),
            clock: Arc::clone(&self.clock),
            root: self.root.public(),
            job_key: self.signing.subscribe(),
            denials: self.denials.subscribe(),
            config: self.config,
        });
        let controller = controller.await.unwrap();
        controller.ready().await;
        controller
    }

    async fn agent(&self, name: &str) -> Agent {
        let name: AgentName = name.parse().unwrap();
        let key = SigningKey::generate();
        let identity =
            Identity { name: name.clone(), key: key.public(), journal: JournalId::random() };
        let inbox = self.bus.subscribe(&Pattern::To(name)).await.unwrap();
        let (bus, clock, fleet) =
            (Arc::clone(&self.bus), Arc::clone(&self.clock), self.root.public().fleet());
        let ring = vec![RingKey { key: self.job_key().public(), usage: KeyUse::Job }];
        Agent {
            bus,
            clock,
            fleet,
            key,
            hostname: format!("{}.example", identity.name),
            labels: Labels::default(),
            identity,
            instance: InstanceId::random(),
            inbox,
            ring,
            hellos: AtomicU64::new(0),
        }
    }

    /// An agent that was welcomed and said that it is ready.
    async fn ready_agent(&self, name: &str, controller: &Controller) -> Agent {
        let mut agent = self.agent(name).await;
        agent.register().await;
        // Others may have had the name before.
        while !matches!(agent.next().await, ToAgent::Welcome(welcome) if welcome.identity == agent.identity)
        {
        }
        agent.hello(&[], &[]).await;
        until_state(controller, &agent.identity.name, AgentState::Ready).await;
        agent
    }
}

/// What a test makes an agent do.
struct Agent {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    fleet: crate::id::FleetId,
    key: SigningKey,
    identity: Identity,
    hostname: String,
    labels: Labels,
    instance: InstanceId,
    inbox: Subscription,
    ring: Vec<RingKey>,
    hellos: AtomicU64,
}

impl Agent {
    async fn say(&self, subject: Subject, word: &FromAgent) {
        self.bus.publish(&subject, encode(word).into()).await.unwrap();
    }

    async fn work(&self, word: &FromAgent) {
        self.say(Subject::Work(self.identity.name.clone()), word).await;
    }

    fn registration(&self) -> Signed<Registration> {
        let registration = Registration {
            v: VERSION,
            fleet: self.fleet,
            identity: self.identity.clone(),
            hostname: self.hostname.clone(),
            version: "0".into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: self.labels.clone(),
            facts: AgentFacts::default(),
            at: self.clock.wall(),
        };
        Signed::sign(&registration, &self.key).unwrap()
    }

    async fn register(&self) {
        self.work(&FromAgent::Register(self.registration())).await;
    }

    async fn hello(&self, running: &[JobId], accepted: &[JobId]) {
        let hello = FromAgent::Hello(self.greeting(running, accepted));
        self.say(Subject::Heard(self.identity.name.clone()), &hello).await;
    }

    fn greeting(&self, running: &[JobId], accepted: &[JobId]) -> Hello {
        Hello {
            identity: self.identity.clone(),
            instance: self.instance,
            readiness: Readiness::Ready,
            slots: 10,
            running: running.to_vec(),
            accepted: accepted.to_vec(),
            ring: 1,
            version: "0".into(),
            wall: self.clock.wall(),
            seq: self.hellos.fetch_add(1, Ordering::Relaxed) + 1,
            later_ring: None,
            seen: None,
            denied: 0,
        }
    }

    async fn receipt(&self, job: JobId, kind: ReceiptKind) {
        let receipt =
            Receipt { identity: self.identity.clone(), instance: self.instance, job, kind };
        self.say(Subject::Heard(self.identity.name.clone()), &FromAgent::Receipt(receipt)).await;
    }

    /// The next message, within an hour of a test's time.
    async fn next(&mut self) -> ToAgent {
        let next = tokio::time::timeout(Duration::from_secs(3600), self.inbox.next());
        let delivery = next.await.expect("nothing was said to the agent").unwrap();
        decode(&delivery.payload).unwrap()
    }

    /// The next order, verified as an agent does.
    async fn order(&mut self) -> Order {
        loop {
            if let ToAgent::Dispatch { order, membership } = self.next().await {
                return self.open(&order, &membership);
            }
        }
    }

    fn open(&self, order: &Signed<Order>, membership: &Membership) -> Order {
        let body = self.ring.iter().find_map(|known| order.verify(&known.key).ok()).unwrap();
        assert!(membership.proves(self.fleet, &self.identity, &body.hosts));
        body
    }

    fn report(&self, job: JobId, outcome: Outcome, stdout: &[u8]) -> Report {
        let side = |bytes: &[u8]| StreamReport {
            total: bytes.len() as u64,
            kept: bytes.len() as u64,
            head: bytes.len() as u64,
            sha256: Digest::of(bytes),
            inline: Some(STANDARD.encode(bytes)),
            incomplete: false,
            parts: None,
        };
        Report {
            v: VERSION,
            fleet: self.fleet,
            job,
            identity: self.identity.clone(),
            outcome,
            started_at: Some(self.clock.wall()),
            ended_at: self.clock.wall(),
            duration_ms: 1,
            stdout: side(stdout),
            stderr: side(b""),
        }
    }

    async fn send_report(&self, report: &Report) -> Digest {
        let signed = Signed::sign(report, &self.key).unwrap();
        let digest = signed.digest();
        self.work(&FromAgent::Report(signed)).await;
        digest
    }

    async fn claim(&self, job: JobId, nonce: Nonce) {
        self.claim_signed(job, nonce, &self.key).await;
    }

    async fn claim_signed(&self, job: JobId, nonce: Nonce, key: &SigningKey) {
        let (v, fleet, identity) = (VERSION, self.fleet, self.identity.clone());
        let request = ClaimRequest { v, fleet, identity, job, nonce };
        self.work(&FromAgent::Claim(Signed::sign(&request, key).unwrap())).await;
    }

    /// Asks for the claim until there is an answer, as an agent does.
    async fn claimed(&mut self, job: JobId, nonce: Nonce) -> AnswerKind {
        loop {
            self.claim(job, nonce).await;
            if let Some(kind) = self.answer_within(Duration::from_millis(300)).await {
                return kind;
            }
        }
    }

    async fn answer_within(&mut self, time: Duration) -> Option<AnswerKind> {
        let answer = tokio::time::timeout(time, self.answer()).await;
        answer.ok().map(|answer| answer.kind)
    }

    /// Whether an order has come once this time has passed. What came is taken.
    async fn order_within(&mut self, time: Duration) -> bool {
        tokio::time::sleep(time).await;
        let mut has_order = false;
        while let Some(delivery) = self.inbox.try_next() {
            let message: ToAgent = decode(&delivery.payload).unwrap();
            has_order |= matches!(message, ToAgent::Dispatch { .. });
        }
        has_order
    }

    /// The next answer, verified as an agent does.
    async fn answer(&mut self) -> Answer {
        loop {
            if let ToAgent::Answer(answer) = self.next().await {
                return answer.verify(&self.ring[0].key).unwrap();
            }
        }
    }
}

async fn until_state(controller: &Controller, name: &AgentName, state: AgentState) {
    let permit = admin();
    eventually(async || {
        controller.agent(&permit, name).await.is_ok_and(|agent| agent.state == state)
    })
    .await;
}

fn admin() -> Permit {
    person("admin@example.com", &[])
}

/// Somebody who may run commands and read, and whatever else is given.
fn person(subject: &str, more: &[Permission]) -> Permit {
    let usual = [Permission::COMMAND_EXECUTE, Permission::AGENT_READ, Permission::JOB_READ];
    Permit::for_tests(subject, usual.into_iter().chain(more.iter().cloned()))
}

fn submission(fleet: &Fleet, target: Target) -> Submission {
    let operation = Operation::Exec(Exec::new("true"));
    Submission {
        operation,
        target,
        arrived_at: fleet.clock.wall(),
        idempotency: None,
        queue_for: None,
    }
}

fn keyed(fleet: &Fleet, key: &str, body: &[u8]) -> Submission {
    let idempotency = Some(Idempotency { key: key.into(), body: Digest::of(body) });
    Submission { idempotency, ..submission(fleet, Target::All) }
}

fn host(name: &str) -> Target {
    Target::Host(name.parse().unwrap())
}

const NOW: Option<Duration> = Some(Duration::ZERO);
