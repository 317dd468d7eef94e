//! What a node has on disk: one directory, locked, with keys, store and journal.

use osapi_agent::policy;
use osapi_core::backend::Bucket;
use osapi_core::backend::embedded::{Cap, EmbeddedStore, Limits};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::executor::process::RulesInForce;
use osapi_service::config::Config;
use osapi_service::datadir::DataDir;
use osapi_service::keystore::{AgentKeys, AgentSetup, Keys};

use super::error::NodeError;

/// An open data directory.
pub(crate) struct Home {
    /// Held as long as the node lives.
    pub(crate) dir: DataDir,
    /// The keys of the fleet.
    pub(crate) keys: Keys,
    /// The agent's part.
    pub(crate) agent: osapi_agent::Home,
    /// What the agent may perform.
    pub(crate) rules: RulesInForce,
    /// The durable records.
    pub(crate) store: EmbeddedStore,
}

impl Home {
    /// Opens the directory, making what is not there. Blocks.
    ///
    /// # Errors
    /// When the keys, the store or the journal cannot be used. They are left as they are.
    pub(crate) fn open(dir: DataDir, config: &Config, hostname: &str) -> Result<Self, NodeError> {
        let layout = dir.layout();
        let rules = policy::for_good(policy::load(config.agent.policy.as_deref())?);
        let keys = Keys::open_or_create(layout, SystemClock.wall())?;
        let name = config.agent.name.as_ref();
        let setup = AgentSetup { root: keys.root.public(), name, hostname };
        let agent = AgentKeys::open_or_create(layout, setup)?;
        let agent = osapi_agent::Home::open(layout, agent)?;
        let cap = Cap { records: u64::MAX, bytes: config.jobs.max_output_bytes };
        // Output is what grows; what is decided by stays, whatever a command prints.
        let limits = Limits::default().with_cap(Bucket::Output, cap);
        let store = EmbeddedStore::open(&layout.path().join("store.redb"), limits)?;
        Ok(Self { dir, keys, agent, rules, store })
    }
}

#[cfg(test)]
mod tests {
    use osapi_service::datadir::Layout;

    use super::*;

    #[test]
    fn what_was_made_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path().join("osapi"));
        let open = || {
            let dir = DataDir::open(layout.clone()).unwrap();
            Home::open(dir, &Config::default(), "web-01.example.com").unwrap()
        };
        let identity = |home: &Home| {
            (
                home.keys.fleet(),
                home.agent.keys.key.public(),
                osapi_core::backend::Store::id(&home.store),
            )
        };
        let first = open();
        assert_eq!(first.agent.keys.identity.name.as_str(), "web-01");
        let before = identity(&first);
        drop(first);
        assert_eq!(identity(&open()), before);
    }
}
