//! A controller on a store in memory, and an agent made by hand, which reports what a test tells it to.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::SigningKey;
use osapi_core::backend::embedded::{EmbeddedBus, EmbeddedStore};
use osapi_core::backend::{Bus, Subscription};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::controller::{Config, Controller, Parts, fixed_key, found_key_ring};
use osapi_core::id::{Digest, FleetId, Identity, InstanceId, JobId, JournalId, SealingKey};
use osapi_core::job::limits::CHUNK_MAX;
use osapi_core::job::record::VERSION;
use osapi_core::job::report::{Report, Stream, StreamReport};
use osapi_core::job::{self, AgentFacts, Labels, Operation, Outcome};
use osapi_core::message::order::Registration;
use osapi_core::message::subject::{Pattern, Subject};
use osapi_core::message::word::OutputChunk;
use osapi_core::message::{FromAgent, Hello, Readiness, ToAgent, decode, encode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::world::{Keys, PATIENCE, World};
use crate::limits::Limits;

/// A server with a controller and one agent.
pub(crate) struct Fleet {
    pub(crate) world: World,
    pub(crate) controller: Controller,
    pub(crate) agent: Agent,
}

impl Fleet {
    /// One that is ready, with an agent named `web-01`.
    pub(crate) async fn start() -> Self {
        let keys = Keys::generate();
        let (store, bus) = (Arc::new(EmbeddedStore::in_memory()), Arc::new(EmbeddedBus::new()));
        found_key_ring(&*store, &keys.ring(), &keys.root.public()).await.unwrap();
        let parts = Parts {
            store,
            bus: bus.clone(),
            clock: Arc::new(SystemClock),
            root: keys.root.public(),
            job_key: fixed_key(SigningKey::from_paserk(&keys.job.to_paserk()).unwrap()),
            denials: osapi_core::backend::never_denied(),
            config: Config::default(),
        };
        let controller = Controller::start(parts).await.unwrap();
        let limits = Limits { drain_time: PATIENCE, ..Limits::default() };
        let fleet = keys.fleet();
        let world = World::over(controller.clone(), keys, limits).await;
        tokio::time::timeout(PATIENCE, controller.ready()).await.unwrap();
        let agent = Agent::join(bus, fleet).await;
        Self { world, controller, agent }
    }
}

/// An agent that a test drives.
pub(crate) struct Agent {
    voice: Voice,
    jobs: mpsc::Receiver<(JobId, Operation)>,
    settled: mpsc::Receiver<u64>,
    _ears: JoinSet<()>,
}

/// What an agent says.
#[derive(Clone)]
struct Voice {
    bus: Arc<EmbeddedBus>,
    key: Arc<SigningKey>,
    fleet: FleetId,
    identity: Identity,
    instance: InstanceId,
}

impl Agent {
    /// An agent that is registered and ready.
    async fn join(bus: Arc<EmbeddedBus>, fleet: FleetId) -> Self {
        let key = Arc::new(SigningKey::generate());
        let name: osapi_core::id::AgentName = "web-01".parse().unwrap();
        let identity =
            Identity { name: name.clone(), key: key.public(), journal: JournalId::random() };
        let inbox = bus.subscribe(&Pattern::To(name)).await.unwrap();
        let voice = Voice { bus, key, fleet, identity, instance: InstanceId::random() };
        let (job, jobs) = mpsc::channel(16);
        let (chunk, settled) = mpsc::channel(16);
        let (welcome, mut welcomed) = mpsc::channel(1);
        let mut ears = JoinSet::new();
        ears.spawn(listen(inbox, welcome, job, chunk));
        voice.register().await;
        tokio::time::timeout(PATIENCE, welcomed.recv()).await.expect("a welcome comes").unwrap();
        voice.hello().await;
        Self { voice, jobs, settled, _ears: ears }
    }

    /// The next job that it is given, and what is to be done.
    pub(crate) async fn job(&mut self) -> (JobId, Operation) {
        tokio::time::timeout(PATIENCE, self.jobs.recv()).await.expect("a job comes").unwrap()
    }

    /// A job that it was given already; `None` if there is none.
    pub(crate) fn given(&mut self) -> Option<(JobId, Operation)> {
        self.jobs.try_recv().ok()
    }

    /// Reports that `job` ended so, with `stdout`.
    pub(crate) async fn report(&mut self, job: JobId, outcome: Outcome, stdout: &[u8]) {
        let now = SystemClock.wall();
        let report = Report {
            v: VERSION,
            fleet: self.voice.fleet,
            job,
            identity: self.voice.identity.clone(),
            outcome,
            started_at: Some(now),
            ended_at: now,
            duration_ms: 7,
            stdout: self.keep(job, stdout).await,
            stderr: StreamReport::empty(),
        };
        let report = Signed::sign(&report, &self.voice.key).unwrap();
        self.voice.work(&FromAgent::Report(report)).await;
    }

    /// Sends a chunk that the command has not written, as whoever has the login of the host can.
    pub(crate) async fn forge(&mut self, job: JobId, place: usize, of: &[u8]) {
        let offset = (place * CHUNK_MAX) as u64;
        let (identity, stream) = (self.voice.identity.clone(), Stream::Stdout);
        let (data, sha256) = (STANDARD.encode([b'#'; CHUNK_MAX]), Digest::of(of));
        let chunk = OutputChunk { identity, job, stream, offset, data, sha256 };
        self.voice.work(&FromAgent::Output(chunk)).await;
        let settled = tokio::time::timeout(PATIENCE, self.settled.recv()).await;
        assert_eq!(settled.expect("it is settled"), Some(offset));
    }

    /// Sends what is large in parts, as agents do.
    async fn keep(&mut self, job: JobId, bytes: &[u8]) -> StreamReport {
        let size = bytes.len() as u64;
        let sha256 = Digest::of(bytes);
        let fits = bytes.len() <= 100_000;
        if !fits {
            for (n, part) in bytes.chunks(CHUNK_MAX).enumerate() {
                let offset = (n * CHUNK_MAX) as u64;
                let identity = self.voice.identity.clone();
                let data = STANDARD.encode(part);
                let stream = Stream::Stdout;
                let chunk = OutputChunk { identity, job, stream, offset, data, sha256 };
                self.voice.work(&FromAgent::Output(chunk)).await;
                let settled = tokio::time::timeout(PATIENCE, self.settled.recv()).await;
                assert_eq!(settled.expect("each part is settled"), Some(offset));
            }
        }
        let inline = fits.then(|| STANDARD.encode(bytes));
        let sha256_of_each = || bytes.chunks(CHUNK_MAX).map(Digest::of).collect();
        let size_of_each = CHUNK_MAX as u64;
        let parts = (!fits).then(|| job::Parts { size: size_of_each, sha256: sha256_of_each() });
        StreamReport {
            total: size,
            kept: size,
            head: size,
            sha256,
            inline,
            incomplete: false,
            parts,
        }
    }
}

async fn listen(
    mut inbox: Subscription,
    welcome: mpsc::Sender<()>,
    jobs: mpsc::Sender<(JobId, Operation)>,
    settled: mpsc::Sender<u64>,
) {
    let mut seen = Vec::new();
    while let Some(delivery) = inbox.next().await {
        match decode::<ToAgent>(&delivery.payload).unwrap() {
            // Nobody waits for a second welcome, nor for what a test does not ask for.
            ToAgent::Welcome(_) => drop(welcome.try_send(())),
            ToAgent::Dispatch { order, .. } => {
                let order = order.peek().unwrap();
                if !seen.contains(&order.job) {
                    seen.push(order.job);
                    drop(jobs.try_send((order.job, order.operation)));
                }
            }
            ToAgent::OutputSettled(part) => drop(settled.try_send(part.offset)),
            ToAgent::Cancel(_) | ToAgent::Answer(_) | ToAgent::Refused(_) => {}
        }
    }
}

impl Voice {
    async fn register(&self) {
        let registration = Registration {
            v: VERSION,
            fleet: self.fleet,
            identity: self.identity.clone(),
            hostname: "web-01.example.com".into(),
            version: "1".into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: Labels::default(),
            facts: AgentFacts::default(),
            at: SystemClock.wall(),
        };
        let signed = Signed::sign(&registration, &self.key).unwrap();
        self.work(&FromAgent::Register(signed)).await;
    }

    async fn hello(&self) {
        let hello = Hello {
            identity: self.identity.clone(),
            instance: self.instance,
            readiness: Readiness::Ready,
            slots: 10,
            running: Vec::new(),
            accepted: Vec::new(),
            ring: 1,
            version: "1".into(),
            wall: SystemClock.wall(),
            seq: 1,
            later_ring: None,
            seen: None,
            denied: 0,
        };
        let heard = Subject::Heard(self.identity.name.clone());
        self.bus.publish(&heard, encode(&FromAgent::Hello(hello)).into()).await.unwrap();
    }

    async fn work(&self, word: &FromAgent) {
        let work = Subject::Work(self.identity.name.clone());
        self.bus.publish(&work, encode(word).into()).await.unwrap();
    }
}
