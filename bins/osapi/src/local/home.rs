//! What a node has on disk: one directory, locked, with keys, store and journal.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use osapi_core::agent::journal::{Binding, FileJournal};
use osapi_core::backend::Bucket;
use osapi_core::backend::embedded::{Cap, EmbeddedStore, Limits};
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
    /// The key and identity of the agent.
    pub(crate) agent: AgentKeys,
    /// The durable records.
    pub(crate) store: EmbeddedStore,
    /// What the agent remembers.
    pub(crate) journal: FileJournal,
    /// Where the agent puts the output of running commands.
    pub(crate) spool: PathBuf,
}

impl Home {
    /// Opens the directory, making what is not there. Blocks.
    ///
    /// # Errors
    /// When the keys, the store or the journal cannot be used. They are left as they are.
    pub(crate) fn open(dir: DataDir, config: &Config, hostname: &str) -> Result<Self, NodeError> {
        let layout = dir.layout();
        let keys = Keys::open_or_create(layout)?;
        let name = config.agent.name.as_ref();
        let setup = AgentSetup { root: keys.root.public(), name, hostname };
        let agent = AgentKeys::open_or_create(layout, setup)?;
        let cap = Cap { records: u64::MAX, bytes: config.jobs.max_retained_bytes };
        // Output is what grows; what is decided by stays, whatever a command prints.
        let limits = Limits::default().with_cap(Bucket::Output, cap);
        let store = EmbeddedStore::open(&layout.path().join("store.redb"), limits)?;
        let binding = Binding {
            fleet: keys.fleet(),
            name: agent.identity.name.clone(),
            key: agent.key.public(),
            machine: machine_id(),
        };
        let journal = FileJournal::open(&layout.agent().join("journal.redb"), &binding)?;
        let spool = layout.agent().join("spool");
        make_private(&spool).map_err(|error| NodeError::Io("make the spool directory", error))?;
        Ok(Self { dir, keys, agent, store, journal, spool })
    }
}

/// This installation of an operating system (machine-id(5)). Where there is none, every machine looks the same: the key and the name
/// still tell agents apart.
fn machine_id() -> String {
    read_id(Path::new("/etc/machine-id")).unwrap_or_else(|| "unknown".into())
}

fn read_id(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let id = text.trim();
    let is_id = id.len() == 32 && id.bytes().all(|c| c.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

fn make_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
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
                home.agent.key.public(),
                osapi_core::backend::Store::id(&home.store),
            )
        };
        let first = open();
        assert_eq!(first.agent.identity.name.as_str(), "web-01");
        let before = identity(&first);
        drop(first);
        assert_eq!(identity(&open()), before);
    }

    #[test]
    fn a_machine_id_is_hexadecimal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machine-id");
        assert_eq!(read_id(&path), None);
        fs::write(&path, "uninitialized\n").unwrap();
        assert_eq!(read_id(&path), None);
        fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(read_id(&path).as_deref(), Some("0123456789abcdef0123456789abcdef"));
    }
}
