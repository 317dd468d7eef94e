//! The agent as a program: its directory on disk ([`Home`]), the agent over the process executor ([`agent()`]), how a host becomes one
//! (`member`), what it refuses whoever orders it ([`policy`]), and what `osapi-agent` does from its start to its end ([`program`]). What an agent does is [`osapi_core::agent`]'s.

mod home;
mod member;
pub mod policy;
pub mod program;

use std::sync::Arc;

use osapi_core::agent::{Agent, AgentParts, Drained, Limits};
use osapi_core::backend::{Bus, Denials};
use osapi_core::clock::SystemClock;
use osapi_core::executor::process::{ProcessExecutor, RulesInForce, facts_of_this_host};
use osapi_core::job::Labels;
use osapi_core::message::RegistrationRefusal;
use osapi_service::config;
use tokio::sync::watch;

pub use home::{Home, HomeError};
pub use osapi_core::executor::process::prepare_this_process;

/// The agent of `home` on `bus`, to which a broker may deny something, and which runs the real commands that `rules` allow. The program has called [`prepare_this_process`] first.
#[must_use]
pub fn agent(
    home: Home,
    bus: Arc<dyn Bus>,
    denials: watch::Receiver<Denials>,
    config: &config::Agent,
    rules: RulesInForce,
    labels: Labels,
    hostname: String,
) -> Agent {
    let Home { keys, journal, spool } = home;
    let executor = ProcessExecutor::new(keys.identity.name.clone())
        .with_rules(rules)
        .with_resource_limits(config.limits());
    let limits = Limits {
        slots: config.slots,
        output_kept: usize::try_from(config.output_kept).unwrap_or(usize::MAX),
        drain_grace: config.drain,
        ..Limits::default()
    };
    Agent::new(AgentParts {
        bus,
        journal: Arc::new(journal),
        executor: Arc::new(executor),
        clock: Arc::new(SystemClock),
        key: Arc::new(keys.key),
        root: keys.identity.root,
        hostname,
        version: env!("CARGO_PKG_VERSION").into(),
        sealing: keys.sealing,
        labels,
        facts: facts_of_this_host(),
        denials,
        spool,
        limits,
    })
}

/// Waits until an API server says that the agent is not let in. Never returns if the agent ends before.
///
/// # Cancel safety
/// May be dropped and called again.
pub async fn until_refused(
    mut refusal: watch::Receiver<Option<RegistrationRefusal>>,
) -> RegistrationRefusal {
    // Who is not known is asked to register, and is not refused by that.
    let is_final = |why: &Option<RegistrationRefusal>| {
        why.as_ref().is_some_and(|why| *why != RegistrationRefusal::Unknown)
    };
    let why = refusal.wait_for(is_final).await.ok().and_then(|why| why.clone());
    match why {
        Some(why) => why,
        // That it has ended is told by another.
        None => std::future::pending().await,
    }
}

/// What an agent has left at its end, as people read it; none if it did not end in time.
#[must_use]
pub fn told(drained: Option<Drained>) -> String {
    match drained {
        Some(Drained { unanswered: 0, waiting: 0, running: 0 }) => "nothing is left to do".into(),
        Some(Drained { unanswered, waiting, running }) => format!(
            "kept for the next start: {unanswered} unsent reports, {waiting} waiting jobs, {running} interrupted commands"
        ),
        None => "the agent did not end in time; it recovers at the next start".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told() {
        assert_eq!(told(Some(Drained::default())), "nothing is left to do");
        let left = told(Some(Drained { unanswered: 1, waiting: 2, running: 0 }));
        assert!(left.contains("1 unsent reports, 2 waiting jobs"), "{left}");
        assert!(told(None).contains("did not end in time"));
    }
}
