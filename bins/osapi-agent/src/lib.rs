//! The agent as a program has it: its directory on disk ([`Home`]), and the agent over the process executor ([`agent`]). What it
//! does is [`osapi_core::agent`]'s.

mod home;

use std::sync::Arc;

use osapi_core::agent::{Agent, AgentParts, Limits};
use osapi_core::backend::Bus;
use osapi_core::clock::SystemClock;
use osapi_core::executor::process::{ProcessExecutor, facts_of_this_host};

pub use home::{Home, HomeError};
pub use osapi_core::executor::process::prepare_this_process;

/// The agent of `home` on `bus`, which runs real commands. The program has called [`prepare_this_process`] first.
#[must_use]
pub fn agent(
    home: Home,
    bus: Arc<dyn Bus>,
    config: &osapi_service::config::Agent,
    hostname: String,
) -> Agent {
    let Home { keys, journal, spool } = home;
    let limits = Limits {
        slots: config.slots,
        output_kept: usize::try_from(config.output_kept).unwrap_or(usize::MAX),
        drain_grace: config.drain,
        ..Limits::default()
    };
    Agent::new(AgentParts {
        bus,
        journal: Arc::new(journal),
        executor: Arc::new(ProcessExecutor::new()),
        clock: Arc::new(SystemClock),
        key: Arc::new(keys.key),
        root: keys.identity.root,
        hostname,
        version: env!("CARGO_PKG_VERSION").into(),
        sealing: keys.sealing,
        labels: config.labels(),
        facts: facts_of_this_host(),
        spool,
        limits,
    })
}
