//! How the controller, what it rests on and the agents are.

use std::collections::BTreeMap;

use super::Controller;
use super::error::Error;
use super::state::State;
use crate::api::types::{Durability, HealthStatus};
use crate::auth::authorize::Permit;
use crate::auth::permission::Permission;
use crate::backend::Link;
use crate::id::AgentName;

/// Most agents that are named.
const NAMED: usize = 100;

/// What is known of agents and jobs.
struct Seen {
    agents: BTreeMap<String, u32>,
    cloned: Vec<AgentName>,
    refused: Vec<AgentName>,
    denied: Vec<AgentName>,
    jobs: BTreeMap<String, u32>,
}

impl Seen {
    fn of(state: &State) -> Self {
        let mut refused: Vec<_> = state.refused_agents().cloned().collect();
        refused.sort_unstable();
        refused.truncate(NAMED);
        Self {
            agents: state
                .agent_counts()
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(agents, count)| (agents.as_str().to_owned(), count))
                .collect(),
            cloned: state.roster.cloned().take(NAMED).cloned().collect(),
            refused,
            denied: state.roster.denied().take(NAMED).map(|(name, _)| name.clone()).collect(),
            jobs: (state.index.counts().into_iter())
                .map(|(status, count)| (status.to_string(), count))
                .collect(),
        }
    }
}

impl Controller {
    /// The health in detail.
    ///
    /// # Errors
    /// Without `health:read`.
    pub async fn health(&self, permit: &Permit) -> Result<HealthStatus, Error> {
        permit.require(&Permission::HEALTH_READ)?;
        let shared = &self.shared;
        let seen = shared.ask(|state| Seen::of(state)).await?;
        let (store, bus) =
            (shared.store.link().borrow().clone(), shared.bus.link().borrow().clone());
        let links_up = store == Link::Up && bus == Link::Up;
        let store_rolled_back = shared.rolled_back.borrow().as_deref().map(str::to_owned);
        let durability = *shared.store.durability().borrow();
        let denials = shared.denials.borrow().clone();
        let is_whole = store_rolled_back.is_none() && seen.cloned.is_empty();
        // Whatever the broker denies is needed again, until a program gets another credential and begins anew.
        let is_allowed = denials.count == 0 && seen.denied.is_empty();
        let is_kept = durability != Durability::Unsynced;
        let ok = links_up && self.is_ready() && is_whole && is_allowed && is_kept;
        Ok(HealthStatus {
            status: if ok { "ok" } else { "degraded" }.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            fleet: shared.fleet.to_string(),
            store: word(store),
            store_id: shared.store.id().to_string(),
            durability,
            bus: word(bus),
            ready: self.is_ready(),
            store_rolled_back,
            agents: seen.agents,
            cloned: seen.cloned,
            refused: seen.refused,
            denials,
            denied: seen.denied,
            jobs: seen.jobs,
            uptime_s: shared.clock.boottime().saturating_sub(shared.started).as_secs(),
        })
    }
}

fn word(link: Link) -> String {
    match link {
        Link::Up => "up".to_owned(),
        Link::Down(why) => why,
    }
}
