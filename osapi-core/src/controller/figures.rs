//! What can be counted of a controller.

use std::sync::atomic::Ordering;

use super::Controller;
use super::error::Error;
use super::state::State;
use crate::api::types::{AgentState, Durability};
use crate::auth::authorize::Permit;
use crate::auth::permission::Permission;
use crate::backend::Link;
use crate::job::JobStatus;

/// Figures about a controller, what it rests on, and its fleet. None of them says which host, job or person it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Version of the build.
    pub version: &'static str,
    /// Whether the store can be used.
    pub store_up: bool,
    /// Whether the bus can be reached.
    pub bus_up: bool,
    /// Whether it takes requests.
    pub ready: bool,
    /// Whether the store went back in time, and nobody has accepted that yet.
    pub rolled_back: bool,
    /// Whether what the store has answered survives a power cut.
    pub durability: Durability,
    /// Registered agents in each state.
    pub agents: [(AgentState, u32); AgentState::ALL.len()],
    /// What the broker has denied all agents together, as each said last.
    pub agents_denied: u64,
    /// Jobs with each status, of those that are kept.
    pub jobs: [(JobStatus, u32); JobStatus::ALL.len()],
    /// Reports that this controller has stored since it began.
    pub reports_stored: u64,
    /// What the broker has denied this controller since it began.
    pub denials: u64,
    /// Serial of the key ring; 0 if there is none yet.
    pub ring_serial: u64,
}

/// What the task that owns what is known counts: one look at each registered agent, and none at jobs.
struct Counted {
    agents: [(AgentState, u32); AgentState::ALL.len()],
    agents_denied: u64,
    jobs: [(JobStatus, u32); JobStatus::ALL.len()],
    ring_serial: u64,
}

impl Counted {
    fn of(state: &State) -> Self {
        Self {
            agents: state.agent_counts(),
            // They are what agents say, so that they may be anything.
            agents_denied: state
                .roster
                .denied()
                .fold(0, |sum, (_, count)| count.saturating_add(sum)),
            jobs: state.index.counts(),
            ring_serial: state.keys.serial(),
        }
    }
}

impl Controller {
    /// Its figures, as they are now. The cost grows with the number of registered agents and with nothing else.
    ///
    /// # Errors
    /// Without `health:read`.
    pub async fn figures(&self, permit: &Permit) -> Result<Figures, Error> {
        permit.require(&Permission::HEALTH_READ)?;
        let shared = &self.shared;
        let counted = shared.ask(|state| Counted::of(state)).await?;
        Ok(Figures {
            version: env!("CARGO_PKG_VERSION"),
            store_up: *shared.store.link().borrow() == Link::Up,
            bus_up: *shared.bus.link().borrow() == Link::Up,
            ready: self.is_ready(),
            rolled_back: shared.rolled_back.borrow().is_some(),
            durability: *shared.store.durability().borrow(),
            agents: counted.agents,
            agents_denied: counted.agents_denied,
            jobs: counted.jobs,
            reports_stored: shared.reports_stored.load(Ordering::Relaxed),
            denials: shared.denials.borrow().count,
            ring_serial: counted.ring_serial,
        })
    }
}
