//! What an agent has on disk: its key and identity, its journal, and the spool for the output of running commands.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use osapi_core::agent::journal::{Binding, FileJournal, OpenError};
use osapi_service::datadir::Layout;
use osapi_service::keystore::AgentKeys;

/// An agent's open directory.
#[derive(Debug)]
pub struct Home {
    /// The agent's key, and who it is.
    pub keys: AgentKeys,
    /// What it remembers.
    pub journal: FileJournal,
    /// Where it puts the output of running commands.
    pub spool: PathBuf,
}

/// Why an agent's directory cannot be used. What is in it is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The spool directory.
    #[error("cannot make the spool directory {}", path.display())]
    Spool {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Home {
    /// Opens what belongs to the agent of `keys` in its data directory, making what is not there. Blocks.
    ///
    /// # Errors
    /// When the journal or the spool cannot be used.
    pub fn open(layout: &Layout, keys: AgentKeys) -> Result<Self, HomeError> {
        let binding = Binding {
            fleet: keys.identity.root.fleet(),
            name: keys.identity.name.clone(),
            key: keys.key.public(),
            machine: machine_id(),
        };
        let journal = FileJournal::open(&layout.agent().join("journal.redb"), &binding)?;
        let path = layout.agent().join("spool");
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(HomeError::Spool { path, source })
            }
            Ok(()) | Err(_) => Ok(Self { keys, journal, spool: path }),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
