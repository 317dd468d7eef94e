//! A controller in this process, and as many registered agents as are wanted: names, labels and host names, and nobody behind them.

use std::sync::Arc;
use std::time::Duration;

use osapi_core::auth::authorize::{Context, Need, Permit, authorize};
use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use osapi_core::auth::permission::Permission;
use osapi_core::auth::role::{RoleName, Roles};
use osapi_core::auth::token::Claims;
use osapi_core::backend::Bus;
use osapi_core::backend::embedded::{EmbeddedBus, EmbeddedStore};
use osapi_core::clock::{Clock, SystemClock};
use osapi_core::controller::{Config, Controller, Error, Parts, found_key_ring};
use osapi_core::id::{AgentName, FleetId, Identity, JournalId, RequestId, SealingKey, TokenId};
use osapi_core::job::record::VERSION;
use osapi_core::job::{AgentFacts, Label, Labels, Target};
use osapi_core::message::{FromAgent, Registration, Subject, encode};

use crate::error::Failure;

/// Registrations that are on their way at once: below what the bus holds back.
const AT_ONCE: usize = 500;

/// A host, as far as targets look at it.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) name: AgentName,
    pub(crate) labels: Labels,
}

/// A running controller that knows these hosts.
pub(crate) struct Fleet {
    pub(crate) controller: Controller,
    pub(crate) hosts: Vec<Host>,
    permit: Permit,
}

impl Fleet {
    /// Starts a controller on a store in memory, and registers `count` hosts: a tenth of them `db-..`, the others `web-..`, with labels.
    ///
    /// # Errors
    /// When the store or the bus fails.
    pub(crate) async fn start(count: usize) -> Result<Self, Failure> {
        let (store, bus) = (Arc::new(EmbeddedStore::in_memory()), Arc::new(EmbeddedBus::new()));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (root, job_key) = (SigningKey::generate(), SigningKey::generate());
        let keys = vec![RingKey { key: job_key.public(), usage: KeyUse::Job }];
        let ring = KeyRing::issue(&root, 1, clock.wall(), keys)?;
        found_key_ring(&*store, &ring, &root.public()).await?;
        let controller = Controller::start(Parts {
            store,
            bus: bus.clone(),
            clock: Arc::clone(&clock),
            root: root.public(),
            job_key: tokio::sync::watch::channel(Arc::new(job_key)).1,
            denials: osapi_core::backend::never_denied(),
            config: Config::default(),
        });
        let controller = controller.await?;
        controller.ready().await;
        let fleet = root.public().fleet();
        let hosts = (0..count).map(host).collect::<Result<Vec<_>, _>>()?;
        let fleet = Self { controller, hosts, permit: permit(fleet, &*clock)? };
        fleet.register(&*bus, root.public().fleet(), &*clock).await?;
        Ok(fleet)
    }

    async fn register(
        &self,
        bus: &dyn Bus,
        fleet: FleetId,
        clock: &dyn Clock,
    ) -> Result<(), Failure> {
        let (key, mut sent) = (SigningKey::generate(), 0);
        for hosts in self.hosts.chunks(AT_ONCE) {
            for host in hosts {
                let registration = Registration {
                    v: VERSION,
                    fleet,
                    identity: Identity {
                        name: host.name.clone(),
                        key: key.public(),
                        journal: JournalId::random(),
                    },
                    hostname: format!("{}.example.com", host.name),
                    version: "0".into(),
                    sealing: SealingKey::from_bytes([0; 32]),
                    labels: host.labels.clone(),
                    facts: AgentFacts::default(),
                    at: clock.wall(),
                };
                let word = FromAgent::Register(Signed::sign(&registration, &key)?);
                bus.publish(&Subject::Work(host.name.clone()), encode(&word).into()).await?;
            }
            sent += hosts.len();
            while self.known().await? != sent {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }

    async fn known(&self) -> Result<usize, Failure> {
        match self.controller.preview(&self.permit, &Target::All).await {
            Ok(preview) => Ok(preview.hosts.len()),
            Err(Error::NoHosts) => Ok(0),
            Err(err) => Err(err.into()),
        }
    }

    /// Counts what a scrape of metrics asks for.
    ///
    /// # Errors
    /// When the controller has ended.
    pub(crate) async fn figures(&self) -> Result<(), Failure> {
        std::hint::black_box(self.controller.figures(&self.permit).await?);
        Ok(())
    }

    /// How many hosts `target` means.
    ///
    /// # Errors
    /// When it means none.
    pub(crate) async fn count(&self, target: &Target) -> Result<u32, Failure> {
        Ok(self.controller.preview(&self.permit, target).await?.count)
    }
}

fn host(n: usize) -> Result<Host, Failure> {
    let (kind, env) =
        (if n.is_multiple_of(10) { "db" } else { "web" }, ["prod", "dev", "test"][n % 3]);
    let group = Label { key: "group".parse()?, value: format!("{kind}.r{}", n % 40).parse()? };
    let env = Label { key: "env".parse()?, value: env.parse()? };
    Ok(Host { name: format!("{kind}-{n:05}").parse()?, labels: Labels::of([group, env])? })
}

/// Whoever may look at agents.
fn permit(fleet: FleetId, clock: &dyn Clock) -> Result<Permit, Failure> {
    let now = clock.wall();
    let claims = Claims {
        v: VERSION,
        fleet,
        sub: "bench".into(),
        jti: TokenId::random(),
        iat: now,
        nbf: now,
        exp: now + Duration::from_secs(3600),
        roles: vec![RoleName::ADMIN],
        permissions: Vec::new(),
    };
    let context = Context { request_id: RequestId::random(), source: None, trace: None };
    Ok(authorize(&claims, &Roles::default(), &Need::Permission(Permission::AGENT_READ), context)?)
}
