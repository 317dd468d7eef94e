//! One fleet in this process: controllers and agents, each with a connection of its own to real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use osapi_core::agent::{self, AgentError, AgentParts, Binding, Drained, Limits, MemoryJournal};
use osapi_core::api::types::JobResults;
use osapi_core::auth::authorize::Permit;
use osapi_core::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use osapi_core::auth::permission::Permission;
use osapi_core::backend::nats::{Login, Namespace, Nats, Options, StoreOptions, Tls};
use osapi_core::backend::{Bus, Store};
use osapi_core::clock::{Clock, SystemClock};
use osapi_core::controller::{
    Config, Controller, Error, Parts, Submission, fixed_key, found_key_ring,
};
use osapi_core::executor::scripted::ScriptedExecutor;
use osapi_core::id::{AgentName, JobId, SealingKey};
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
    replicas: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) root: SigningKey,
    job_key: String,
    controllers: AtomicUsize,
}

/// A running agent. Dropping it is a crash.
pub(super) struct Agent {
    pub(super) name: AgentName,
    pub(super) executor: Arc<ScriptedExecutor>,
    _running: JoinSet<Result<Drained, AgentError>>,
    _spool: TempDir,
}

impl Fleet {
    /// A fleet at a server that knows no users.
    pub(super) fn at(server: &NatsServer) -> Self {
        Self::over(vec![server.url()], 1)
    }

    /// A fleet at these servers, which keep so many copies of each record.
    pub(super) fn over(servers: Vec<String>, replicas: usize) -> Self {
        let job_key = SigningKey::generate().to_paserk().to_string();
        let (root, clock) = (SigningKey::generate(), Arc::new(SystemClock));
        Self { servers, replicas, clock, root, job_key, controllers: AtomicUsize::new(0) }
    }

    pub(super) fn job_key(&self) -> SigningKey {
        SigningKey::from_paserk(&self.job_key).unwrap()
    }

    /// A connection that the servers show as `name`; that of an agent, if it is one.
    pub(super) async fn connect(&self, name: &str, agent: Option<&AgentName>) -> Nats {
        let options = Options {
            servers: self.servers.clone(),
            namespace: Namespace::default(),
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
        controller.ready().await;
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
        let keys = vec![RingKey { key: self.job_key().public(), usage: KeyUse::Job }];
        let ring = KeyRing::issue(&self.root, 1, self.clock.wall(), keys).unwrap();
        found_key_ring(&*store, &ring, &self.root.public()).await.unwrap();
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
        let nats = self.connect(&format!("agent {name}"), Some(&name)).await;
        let journal = Arc::new(MemoryJournal::new(Binding {
            fleet: self.root.public().fleet(),
            name: name.clone(),
            key: key.public(),
            machine: "machine".into(),
        }));
        let (executor, spool) = (Arc::new(ScriptedExecutor::default()), TempDir::new().unwrap());
        let agent = agent::Agent::new(AgentParts {
            bus: Arc::new(nats.bus()),
            journal,
            executor: Arc::clone(&executor) as _,
            clock: Arc::clone(&self.clock),
            key,
            root: self.root.public(),
            hostname: format!("{name}.example"),
            version: "0".into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: Labels::default(),
            facts: AgentFacts::default(),
            denials: osapi_core::backend::never_denied(),
            spool: spool.path().to_owned(),
            limits: Limits::default(),
        });
        let mut readiness = agent.readiness();
        let mut running = JoinSet::new();
        running.spawn(agent.run(CancellationToken::new()));
        within(readiness.wait_for(|now| *now == Readiness::Ready)).await.unwrap();
        Agent { name, executor, _running: running, _spool: spool }
    }

    /// Agents that take jobs, with these names.
    pub(super) async fn agents(&self, names: impl IntoIterator<Item = String>) -> Vec<Agent> {
        let starting = names.into_iter().map(async |name| self.agent(&name).await);
        futures_util::future::join_all(starting).await
    }

    /// A request for `program` on `target`, which arrives now.
    pub(super) fn request(&self, program: &str, target: &str) -> Submission {
        let operation = Operation::Exec(Exec::new(program));
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
