//! One fleet in this process: controllers and agents, each with a connection of its own to real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use osapi_core::agent::{
    self, AgentError, AgentParts, Binding, Drained, Journal as _, Limits, MemoryJournal,
};
use osapi_core::api::types::JobResults;
use osapi_core::auth::authorize::Permit;
use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use osapi_core::auth::permission::Permission;
use osapi_core::backend::nats::{Login, Namespace, Nats, Options, StoreOptions, Tls};
use osapi_core::backend::{Bus, Store};
use osapi_core::clock::{Clock, SystemClock};
use osapi_core::controller::{
    Config, Controller, Error, Parts, Submission, fixed_key, found_key_ring,
};
use osapi_core::executor::scripted::ScriptedExecutor;
use osapi_core::id::{AgentName, Identity, JobId, PublicKey, SealingKey};
use osapi_core::job::{AgentFacts, Exec, Labels, Operation, Target};
use osapi_core::message::Readiness;
use osapi_tests::{NatsServer, wait};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// At once, so that a test sees how something stands.
pub(super) const NOW: Option<Duration> = Some(Duration::ZERO);

/// A fleet over one NATS.
pub(super) struct Fleet {
    servers: Vec<String>,
    pub(super) namespace: Namespace,
    replicas: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) root: SigningKey,
    job_key: String,
    /// Signs nothing. The first ring has it.
    pub(super) other_job_key: SigningKey,
    controllers: AtomicUsize,
}

/// An agent, and what outlives its process.
pub(super) struct Agent {
    pub(super) name: AgentName,
    pub(super) key: Arc<SigningKey>,
    journal: Arc<MemoryJournal>,
    pub(super) executor: Arc<ScriptedExecutor>,
    running: JoinSet<Result<Drained, AgentError>>,
    spool: TempDir,
}

impl Fleet {
    /// A fleet at a server that knows no users.
    pub(super) fn at(server: &NatsServer) -> Self {
        Self::over(vec![server.url()], 1)
    }

    /// A fleet beside others at the same server.
    pub(super) fn beside(server: &NatsServer, namespace: &str) -> Self {
        Self { namespace: namespace.parse().unwrap(), ..Self::at(server) }
    }

    /// A fleet at these servers, which keep so many copies of each record.
    pub(super) fn over(servers: Vec<String>, replicas: usize) -> Self {
        Self {
            servers,
            namespace: Namespace::default(),
            replicas,
            clock: Arc::new(SystemClock),
            root: SigningKey::generate(),
            job_key: SigningKey::generate().to_paserk().to_string(),
            other_job_key: SigningKey::generate(),
            controllers: AtomicUsize::new(0),
        }
    }

    pub(super) fn job_key(&self) -> SigningKey {
        SigningKey::from_paserk(&self.job_key).unwrap()
    }

    /// The ring with this serial. The second one and what follows lack one of the keys of the first.
    pub(super) fn ring(&self, serial: u64) -> Signed<KeyRing> {
        let job = |key: PublicKey| RingKey { key, usage: KeyUse::Job };
        let mut keys = vec![job(self.job_key().public())];
        keys.extend((serial == 1).then(|| job(self.other_job_key.public())));
        KeyRing::issue(&self.root, serial, self.clock.wall(), keys).unwrap()
    }

    /// A connection that the servers show as `name`; that of an agent, if it is one.
    pub(super) async fn connect(&self, name: &str, agent: Option<&AgentName>) -> Nats {
        let options = Options {
            servers: self.servers.clone(),
            namespace: self.namespace.clone(),
            login: Login::None,
            tls: Tls::default(),
            name: name.into(),
            agent: agent.cloned(),
        };
        Nats::connect(options).await.unwrap()
    }

    pub(super) async fn store(&self, nats: &Nats) -> Arc<dyn Store> {
        // The default needs more free space than a machine that builds and tests may have.
        let max_output_bytes = 64 << 20;
        let options =
            StoreOptions { replicas: self.replicas, max_output_bytes, ..StoreOptions::default() };
        Arc::new(nats.store(options).await.unwrap())
    }

    /// A controller that is ready.
    pub(super) async fn controller(&self) -> Controller {
        let n = self.controllers.fetch_add(1, Ordering::Relaxed);
        let nats = self.connect(&format!("controller {n}"), None).await;
        let controller = self.controller_at(&nats).await;
        within(controller.ready()).await;
        controller
    }

    /// A controller that starts on this connection.
    pub(super) async fn controller_at(&self, nats: &Nats) -> Controller {
        self.controller_over(self.store(nats).await, Arc::new(nats.bus())).await
    }

    /// A controller that starts over these.
    pub(super) async fn controller_over(
        &self,
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
    ) -> Controller {
        found_key_ring(&*store, &self.ring(1), &self.root.public()).await.unwrap();
        self.start(store, bus).await
    }

    /// A controller that starts over a store with a key ring.
    pub(super) async fn start(&self, store: Arc<dyn Store>, bus: Arc<dyn Bus>) -> Controller {
        let (clock, root) = (Arc::clone(&self.clock), self.root.public());
        let (job_key, config) = (fixed_key(self.job_key()), Config::default());
        let denials = osapi_core::backend::never_denied();
        let parts = Parts { store, bus, clock, root, job_key, denials, config };
        Controller::start(parts).await.unwrap()
    }

    /// An agent that takes jobs.
    pub(super) async fn agent(&self, name: &str) -> Agent {
        let (key, name) = (Arc::new(SigningKey::generate()), name.parse::<AgentName>().unwrap());
        let journal = Arc::new(MemoryJournal::new(Binding {
            fleet: self.root.public().fleet(),
            name: name.clone(),
            key: key.public(),
            machine: "machine".into(),
        }));
        let (executor, spool) = (Arc::new(ScriptedExecutor::default()), TempDir::new().unwrap());
        let running = JoinSet::new();
        let mut agent = Agent { name, key, journal, executor, running, spool };
        self.run(&mut agent).await;
        agent
    }

    /// Starts an agent that does not run, and waits until it takes jobs.
    pub(super) async fn run(&self, agent: &mut Agent) {
        let name = &agent.name;
        let nats = self.connect(&format!("agent {name}"), Some(name)).await;
        let process = agent::Agent::new(AgentParts {
            bus: Arc::new(nats.bus()),
            journal: Arc::clone(&agent.journal) as _,
            executor: Arc::clone(&agent.executor) as _,
            clock: Arc::clone(&self.clock),
            key: Arc::clone(&agent.key),
            root: self.root.public(),
            hostname: format!("{name}.example"),
            version: "0".into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: Labels::default(),
            facts: AgentFacts::default(),
            denials: osapi_core::backend::never_denied(),
            spool: agent.spool.path().to_owned(),
            limits: Limits::default(),
        });
        let mut readiness = process.readiness();
        agent.running.spawn(process.run(CancellationToken::new()));
        within(readiness.wait_for(|now| *now == Readiness::Ready)).await.unwrap();
    }

    /// Agents that take jobs, with these names.
    pub(super) async fn agents(&self, names: impl IntoIterator<Item = String>) -> Vec<Agent> {
        let starting = names.into_iter().map(async |name| self.agent(&name).await);
        futures_util::future::join_all(starting).await
    }

    /// A request for `program` on `target`, which arrives now.
    pub(super) fn request(&self, program: &str, target: &str) -> Submission {
        let operation = Operation::Exec(Exec { timeout: 300, ..Exec::new(program) });
        let target = target.parse::<Target>().unwrap();
        let arrived_at = self.clock.wall();
        Submission { operation, target, arrived_at, idempotency: None, queue_for: None }
    }

    pub(super) async fn submit(
        &self,
        controller: &Controller,
        program: &str,
        target: &str,
    ) -> Result<JobId, Error> {
        within(controller.submit(&me(), self.request(program, target))).await
    }
}

impl Agent {
    pub(super) fn identity(&self) -> Identity {
        self.journal.header().identity()
    }

    /// Whether it runs.
    pub(super) fn is_alive(&mut self) -> bool {
        self.running.try_join_next().is_none() && !self.running.is_empty()
    }

    /// Ends it as a crash does.
    pub(super) async fn crash(&mut self) {
        self.running.shutdown().await;
    }
}

/// Waits until these agents are live and ready in the eyes of `controller`.
pub(super) async fn ready_at(controller: &Controller, agents: &[Agent]) {
    for agent in agents {
        within(controller.agent_ready(&agent.name)).await;
    }
}

/// How a job ended, once all its hosts are settled.
pub(super) async fn settled(controller: &Controller, job: JobId) -> JobResults {
    within(controller.results(&me(), job, None)).await.unwrap()
}

/// Somebody who may do everything that these tests do.
pub(super) fn me() -> Permit {
    let permissions = [
        Permission::COMMAND_EXECUTE,
        Permission::AGENT_READ,
        Permission::JOB_READ,
        Permission::JOB_WRITE,
        Permission::HEALTH_READ,
    ];
    Permit::for_tests("me", permissions)
}

/// What comes, but not after a very long time.
pub(super) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(wait::PATIENCE, what).await.expect("it does not come")
}

/// Waits until `probe` finds something.
pub(super) async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(wait::PATIENCE, found).await.unwrap_or_else(|_| panic!("{what}: never"))
}
