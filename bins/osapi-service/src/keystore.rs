//! Keys on disk, each a text that only its owner can read: those of a fleet ([`Keys`]) with the signed list of the valid ones, what an
//! API server needs of them ([`ServerKeys`]), and those of an agent ([`AgentKeys`]). Secret keys that sign are PASERK `k4.secret`, the
//! one to which secrets are sealed is the seed of an nkey.
//!
//! A set of keys is made at once or not at all. A key that is missing from a set is an error: making another in its place would
//! be another fleet, or another agent, under the old name.

mod agent;
mod change;
mod current;
mod fleet;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use osapi_core::auth::envelope::VerifyError;
use osapi_core::auth::keys::{InvalidSecretKey, RingError, SigningKey};
use osapi_core::id::{AgentName, InvalidId, PublicKey};
use zeroize::Zeroizing;

use crate::private_file;

pub use crate::private_file::PrivateFileError;
pub use agent::{AgentIdentity, AgentKeys, AgentSetup};
pub use change::RootKey;
pub use current::CurrentKey;
pub use fleet::{Keys, ServerKeys, TokenKey};

/// Largest key or identity file, in bytes.
const FILE_MAX: usize = 4096;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file cannot be read or written, or is open to others.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// There are none yet.
    #[error("there are no keys in '{}'", .0.display())]
    None(PathBuf),
    /// There is no agent yet.
    #[error("there is no agent in '{}'", .0.display())]
    NoAgent(PathBuf),
    /// There is one already.
    #[error("there is an agent in '{}' already: '{name}'{}", path.display(), if *is_same_fleet { "" } else { " of another fleet" })]
    AgentExists {
        /// The agent's directory.
        path: PathBuf,
        /// Its name.
        name: AgentName,
        /// Whether it is of the fleet for which another was to be made.
        is_same_fleet: bool,
    },
    /// One of a set is not there.
    #[error("'{}' is missing: restore it from a backup", .0.display())]
    Missing(PathBuf),
    /// A file holds no secret key.
    #[error("'{}' is not a key file", path.display())]
    NoSecretKey {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        source: InvalidSecretKey,
    },
    /// A file holds no public key. What it holds is not repeated: it may be a secret one.
    #[error("'{}' is not a public key file: it must hold a PASERK k4.public key", .0.display())]
    NoPublicKey(PathBuf),
    /// A file holds no seed of a sealing key. What it holds is not repeated.
    #[error("'{}' is not a sealing key file: it must hold the seed of an nkey, which begins with SX", .0.display())]
    NoSealingKey(PathBuf),
    /// A file holds no key ring of the fleet.
    #[error("'{}' is not a key ring of this fleet", path.display())]
    NoRing {
        /// The file.
        path: PathBuf,
        /// Why it is none.
        source: VerifyError,
    },
    /// The key ring that is published is not of the fleet whose root key is here.
    #[error("the published key ring is not of the fleet of this root key")]
    OtherRing(#[source] VerifyError),
    /// Somebody else is changing the keys.
    #[error("another process is changing the keys in '{}'", .0.display())]
    Busy(PathBuf),
    /// Two of the keys are the same.
    #[error("cannot sign the key ring")]
    Ring(#[from] RingError),
    /// The two halves of the root key are not of one key.
    #[error("'{}' is not the public half of the root key beside it", .0.display())]
    OtherHalf(PathBuf),
    /// The agent's identity cannot be understood.
    #[error("'{}' is damaged", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The agent belongs to another fleet.
    #[error("the agent in '{}' belongs to another fleet (its root key is {root})", path.display())]
    OtherFleet {
        /// The agent's directory.
        path: PathBuf,
        /// The root key that it trusts.
        root: PublicKey,
    },
    /// The agent has another name than the configuration says.
    #[error("the agent in '{}' is named '{stored}', not '{configured}': its name is fixed when it is made", path.display())]
    OtherName {
        /// The agent's directory.
        path: PathBuf,
        /// Its name.
        stored: AgentName,
        /// The name in the configuration.
        configured: AgentName,
    },
}

fn exists(dir: &Path) -> Result<bool, KeyError> {
    match fs::symlink_metadata(dir) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(private_file::failed("inspect", dir)(error).into()),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    private_file::read(path, FILE_MAX).map_err(|error| {
        if error.is_missing() { KeyError::Missing(path.to_owned()) } else { error.into() }
    })
}

fn read_secret(path: &Path) -> Result<SigningKey, KeyError> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| InvalidSecretKey);
    text.and_then(|text| SigningKey::from_paserk(text.trim_ascii_end()))
        .map_err(|source| KeyError::NoSecretKey { path: path.to_owned(), source })
}

fn read_public(path: &Path) -> Result<PublicKey, KeyError> {
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let key = text.trim_ascii_end().parse();
    key.map_err(|_: InvalidId| KeyError::NoPublicKey(path.to_owned()))
}

#[cfg(test)]
mod tests;
