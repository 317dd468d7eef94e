//! The controller: creates jobs, sends them, stores what agents report, and tells how every execution stands. The API server is its
//! HTTP shell.
//!
//! A request flows through `submit` (reserve, resolve, record), `outbound` (send), `intake` (agents' words into the store) and
//! `follow`, the one task that owns what is known (`state`: `roster` of agents, `index` of jobs) and answers every question from it.

mod cancel;
mod claim;
mod error;
mod figures;
mod follow;
mod founding;
mod health;
mod index;
mod intake;
mod keybook;
mod keys;
mod live;
mod membership;
mod offer;
mod orders;
mod outbound;
mod output;
mod preview;
mod pump;
mod reading;
mod records;
mod registration;
mod remove;
mod reservation;
mod resolve;
mod results;
mod retry;
mod roster;
mod state;
mod submit;
#[cfg(test)]
mod tests;
mod void;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::params::JobsQuery;
use crate::api::types::{AgentInfo, AgentList, JobList};
use crate::auth::authorize::Permit;
use crate::auth::keys::{KeyRing, SigningKey};
use crate::auth::permission::Permission;
use crate::backend::{Bus, Denials, Store};
use crate::clock::{Clock, Timestamp};
use crate::id::{AgentName, FleetId, InstanceId, PublicKey};
use crate::job::limits;
use crate::message::Pattern;

pub use error::Error;
pub use figures::Figures;
pub use founding::{FoundingError, found_key_ring};
pub use results::Output;
pub use retry::RetrySubmission;
pub use submit::{Idempotency, Submission};

/// The queue group in which controllers share agents' words on `w`.
const WORK_GROUP: &str = "controllers";

/// How a controller behaves.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How long a settled job is kept.
    pub retention: Duration,
    /// Most jobs that are kept; one more is refused.
    pub max_jobs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { retention: limits::RETENTION_DEFAULT, max_jobs: 100_000 }
    }
}

/// A key that does not change.
#[must_use]
pub fn fixed_key(key: SigningKey) -> watch::Receiver<Arc<SigningKey>> {
    watch::Sender::new(Arc::new(key)).subscribe()
}

/// What a controller is made of.
pub struct Parts {
    /// The durable records.
    pub store: Arc<dyn Store>,
    /// The ephemeral messages.
    pub bus: Arc<dyn Bus>,
    /// This machine's clocks.
    pub clock: Arc<dyn Clock>,
    /// The fleet's root public key, which signs the key ring.
    pub root: PublicKey,
    /// The key with which orders, cancels and answers are signed, as it changes. See [`fixed_key`].
    pub job_key: watch::Receiver<Arc<SigningKey>>,
    /// What the broker denies this controller's connection. See [`never_denied`](crate::backend::never_denied).
    pub denials: watch::Receiver<Denials>,
    /// How it behaves.
    pub config: Config,
}

/// What every part of a controller shares.
struct Shared {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    root: PublicKey,
    fleet: FleetId,
    job_key: watch::Receiver<Arc<SigningKey>>,
    denials: watch::Receiver<Denials>,
    config: Config,
    instance: InstanceId,
    /// Numbers the records in which this controller writes reports.
    report_records: AtomicU64,
    /// Reports that this controller has stored.
    reports_stored: AtomicU64,
    outbox: outbound::Outbox,
    mind: follow::Questions,
    ring: watch::Sender<Option<Arc<KeyRing>>>,
    phase: watch::Sender<Phase>,
    /// Why the store is not what it was, if it is not.
    rolled_back: watch::Sender<Option<Arc<str>>>,
    /// Told whenever an agent may have become ready.
    heard: watch::Sender<()>,
    stop: CancellationToken,
    tasks: TaskTracker,
    started: Duration,
}

/// How far a controller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has not read everything yet, or has ended.
    Starting,
    /// The key with which it signs is in no valid ring.
    KeyNotValid,
    /// It takes jobs.
    Ready,
}

impl Shared {
    /// The key with which it signs now.
    fn job_key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.job_key.borrow())
    }

    /// Asks the task that owns what is known.
    async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut state::State) -> R + Send + 'static,
    ) -> Result<R, Error> {
        self.mind.ask(question).await.ok_or(Error::ShuttingDown)
    }
}

/// A running controller. Clones are handles of the same one.
#[derive(Clone)]
pub struct Controller {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller")
            .field("instance", &self.shared.instance)
            .finish_non_exhaustive()
    }
}

impl Controller {
    /// Starts a controller. It takes jobs once it [is ready](Self::ready).
    ///
    /// # Errors
    /// When the bus cannot be subscribed to.
    pub async fn start(parts: Parts) -> Result<Self, crate::backend::BusError> {
        let Parts { store, bus, clock, root, job_key, denials, config } = parts;
        #[cfg(feature = "crash-points")]
        let (store, bus) = (crate::crash::store(store), crate::crash::bus(bus));
        let heard = bus.subscribe(&Pattern::Heard).await?;
        let work = bus.subscribe_in(&Pattern::Work, WORK_GROUP).await?;
        let (outbox, send_all) = outbound::Outbox::new(Arc::clone(&bus));
        let (mind, questions) = follow::Questions::new();
        let shared = Arc::new(Shared {
            fleet: root.fleet(),
            instance: InstanceId::random(),
            report_records: AtomicU64::new(0),
            reports_stored: AtomicU64::new(0),
            ring: watch::Sender::new(None),
            phase: watch::Sender::new(Phase::Starting),
            rolled_back: watch::Sender::new(None),
            heard: watch::Sender::new(()),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            started: clock.boottime(),
            store,
            bus,
            clock,
            root,
            job_key,
            denials,
            config,
            outbox,
            mind,
        });
        let tasks = shared.tasks.clone();
        let stop = shared.stop.clone();
        tasks.spawn(stop.clone().run_until_cancelled_owned(send_all));
        tasks.spawn(follow::Follower::new(Arc::clone(&shared)).run(heard, questions));
        tasks.spawn(intake::Intake::new(Arc::clone(&shared)).run(work, stop.clone()));
        let sweeping = Arc::clone(&shared);
        tasks.spawn(stop.run_until_cancelled_owned(async move { remove::sweep(&sweeping).await }));
        tasks.close();
        Ok(Self { shared })
    }

    /// Stops: no job is sent or stored any more. What was under way goes on at the next start, or at another controller.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.wait().await;
    }

    /// The fleet.
    #[must_use]
    pub fn fleet(&self) -> FleetId {
        self.shared.fleet
    }

    /// Whether the store was read, the key with which it signs is valid, and the controller runs.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.shared.phase.borrow() == Phase::Ready
    }

    /// Waits until [`Controller::is_ready`].
    pub async fn ready(&self) {
        let mut phase = self.shared.phase.subscribe();
        // The sender lives as long as `self`.
        if phase.wait_for(|phase| *phase == Phase::Ready).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until this agent is registered, live and ready: from then on it is given work.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub async fn agent_ready(&self, name: &AgentName) {
        let mut heard = self.shared.heard.subscribe();
        loop {
            let asked = name.clone();
            let ready = self.shared.ask(move |state| {
                let now = state.boottime();
                state.roster.find(&asked, now).is_some_and(|candidate| candidate.ready)
            });
            match ready.await {
                Ok(true) => return,
                // The sender lives as long as `self`.
                Ok(false) if heard.changed().await.is_ok() => {}
                Ok(false) | Err(_) => std::future::pending().await,
            }
        }
    }

    /// The valid keys; none until they were read.
    #[must_use]
    pub fn key_ring(&self) -> watch::Receiver<Option<Arc<KeyRing>>> {
        self.shared.ring.subscribe()
    }

    /// Lists jobs, newest first. Filters are joined by "and".
    ///
    /// # Errors
    /// Without `job:read`, or when the controller is not ready.
    pub async fn list(&self, permit: &Permit, query: JobsQuery) -> Result<JobList, Error> {
        permit.require(&Permission::JOB_READ)?;
        self.check_ready()?;
        self.shared.ask(move |state| state.index.list(&query)).await
    }

    /// Every registered agent, by name.
    ///
    /// # Errors
    /// Without `agent:read`, or when the controller is not ready.
    pub async fn agents(&self, permit: &Permit) -> Result<AgentList, Error> {
        permit.require(&Permission::AGENT_READ)?;
        self.check_ready()?;
        let agents = self.shared.ask(|state| state.agents()).await?;
        Ok(AgentList { agents })
    }

    /// One agent.
    ///
    /// # Errors
    /// Without `agent:read`, when the controller is not ready, or when there is no such agent.
    pub async fn agent(&self, permit: &Permit, name: &AgentName) -> Result<AgentInfo, Error> {
        permit.require(&Permission::AGENT_READ)?;
        self.check_ready()?;
        let asked = name.clone();
        let found = self.shared.ask(move |state| state.agent(&asked)).await?;
        found.ok_or_else(|| Error::AgentNotFound(name.clone()))
    }

    /// What is recorded counts only if the store is what it was.
    fn check_store(&self) -> Result<(), Error> {
        match &*self.shared.rolled_back.borrow() {
            None => Ok(()),
            Some(why) => Err(Error::StoreRolledBack(why.to_string())),
        }
    }

    /// Whether it takes requests.
    ///
    /// # Errors
    /// Why not, if not.
    pub fn check_ready(&self) -> Result<(), Error> {
        let phase = *self.shared.phase.borrow();
        match phase {
            Phase::Ready => Ok(()),
            _ if self.shared.stop.is_cancelled() => Err(Error::ShuttingDown),
            Phase::Starting => Err(Error::NotReady),
            Phase::KeyNotValid => Err(Error::KeyNotValid(self.shared.job_key().id())),
        }
    }
}

/// A moment as far as what is known goes: while a backend is out of reach, time stands still.
#[derive(Debug, Clone, Copy)]
struct Now {
    wall: Timestamp,
    boottime: Duration,
}
