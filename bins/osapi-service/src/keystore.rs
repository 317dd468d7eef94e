//! Keys on disk, each a text that only its owner can read: `keys/{root,token,job}.key` and `agent/agent.key` are PASERK `k4.secret`,
//! `agent/sealing.key` is the seed of an nkey.
//!
//! A set of keys is made at once or not at all. A key that is missing from a set is an error: making another in its place would
//! be another fleet, or another agent, under the old name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nkeys::XKey;
use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::{InvalidSecretKey, KeyRing, KeyUse, RingError, RingKey, SigningKey};
use osapi_core::clock::Timestamp;
use osapi_core::id::{AgentName, FleetId, InvalidId, PublicKey, SealingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::datadir::Layout;
use crate::private_file;

pub use crate::private_file::PrivateFileError;

/// Largest key or identity file, in bytes.
const FILE_MAX: usize = 4096;

const ROOT: &str = "root.key";
const ROOT_PUBLIC: &str = "root.pub";
const TOKEN: &str = "token.key";
const JOB: &str = "job.key";
const AGENT: &str = "agent.key";
const SEALING: &str = "sealing.key";
const IDENTITY: &str = "identity.json";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A file cannot be read or written, or is open to others.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// There are none yet.
    #[error("there are no keys in '{}': osapi start makes them", .0.display())]
    None(PathBuf),
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

/// The keys of a fleet that is one machine. A fleet of many keeps the root key elsewhere.
#[derive(Debug)]
pub struct Keys {
    /// Signs key rings, and is the fleet.
    pub root: SigningKey,
    /// Signs access tokens.
    pub token: SigningKey,
    /// Signs orders, cancels and answers.
    pub job: SigningKey,
}

impl Keys {
    /// The keys in `layout`; made if there are none. The caller holds the data directory.
    ///
    /// # Errors
    /// When they cannot be read or made, are open to others, or are incomplete.
    pub fn open_or_create(layout: &Layout) -> Result<Self, KeyError> {
        let dir = layout.keys();
        if exists(&dir)? { Self::read(&dir) } else { Self::create(&dir) }
    }

    fn read(dir: &Path) -> Result<Self, KeyError> {
        let keys = Self {
            root: read_secret(&dir.join(ROOT))?,
            token: read_secret(&dir.join(TOKEN))?,
            job: read_secret(&dir.join(JOB))?,
        };
        if read_public(&dir.join(ROOT_PUBLIC))? != keys.root.public() {
            return Err(KeyError::OtherHalf(dir.join(ROOT_PUBLIC)));
        }
        Ok(keys)
    }

    fn create(dir: &Path) -> Result<Self, KeyError> {
        let new = SigningKey::generate;
        let keys = Self { root: new(), token: new(), job: new() };
        let public = keys.root.public().to_string();
        let files = [
            (ROOT, keys.root.to_paserk()),
            (TOKEN, keys.token.to_paserk()),
            (JOB, keys.job.to_paserk()),
            (ROOT_PUBLIC, public.into()),
        ];
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        private_file::create_dir(dir, &files)?;
        Ok(keys)
    }

    /// The fleet of the root key.
    #[must_use]
    pub fn fleet(&self) -> FleetId {
        self.root.public().fleet()
    }

    /// The first key ring, with serial 1, of the token and the job key.
    ///
    /// # Errors
    /// When two of the keys are the same.
    pub fn first_ring(&self, at: Timestamp) -> Result<Signed<KeyRing>, RingError> {
        let keys = vec![
            RingKey { key: self.job.public(), usage: KeyUse::Job },
            RingKey { key: self.token.public(), usage: KeyUse::Token },
        ];
        KeyRing::issue(&self.root, 1, at, keys)
    }
}

/// What issuing and checking access tokens takes, and no more: the token key and the public half of the root key.
#[derive(Debug)]
pub struct TokenKey {
    /// Signs access tokens.
    pub key: SigningKey,
    /// The fleet's root key.
    pub root: PublicKey,
}

impl TokenKey {
    /// The token key in `layout`. Nothing is locked or written.
    ///
    /// # Errors
    /// When there is none, or it cannot be read or is open to others.
    pub fn open(layout: &Layout) -> Result<Self, KeyError> {
        let dir = layout.keys();
        if !exists(&dir)? {
            return Err(KeyError::None(dir));
        }
        let key = read_secret(&dir.join(TOKEN))?;
        Ok(Self { key, root: read_public(&dir.join(ROOT_PUBLIC))? })
    }

    /// The fleet for which it signs.
    #[must_use]
    pub fn fleet(&self) -> FleetId {
        self.root.fleet()
    }
}

/// Who an agent is and whom it trusts. Written once, when the agent is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentIdentity {
    /// Its name.
    pub name: AgentName,
    /// The root key of its fleet.
    pub root: PublicKey,
}

/// What makes an agent, or must match the one that exists.
#[derive(Debug, Clone, Copy)]
pub struct AgentSetup<'a> {
    /// The root key of the fleet.
    pub root: PublicKey,
    /// The name in the configuration, if there is one.
    pub name: Option<&'a AgentName>,
    /// The host name, from which a new agent without a configured name gets its own.
    pub hostname: &'a str,
}

/// An agent's keys and identity.
#[derive(Debug)]
pub struct AgentKeys {
    /// Signs registrations, claim requests and reports.
    pub key: SigningKey,
    /// To which secrets for this host are sealed. Its secret half stays on the disk until it is needed.
    pub sealing: SealingKey,
    /// Who it is.
    pub identity: AgentIdentity,
}

impl AgentKeys {
    /// The agent in `layout`; made if there is none. It keeps its name when the host is renamed. The caller holds the data directory.
    ///
    /// # Errors
    /// When it cannot be read or made, is open to others or incomplete, or is not the one that `setup` describes.
    pub fn open_or_create(layout: &Layout, setup: AgentSetup<'_>) -> Result<Self, KeyError> {
        let dir = layout.agent();
        if !exists(&dir)? {
            return Self::create(&dir, setup);
        }
        let key = read_secret(&dir.join(AGENT))?;
        let identity = read_identity(&dir)?;
        identity.check(&dir, setup)?;
        Ok(Self { key, sealing: open_or_create_sealing(&dir.join(SEALING))?, identity })
    }

    fn create(dir: &Path, setup: AgentSetup<'_>) -> Result<Self, KeyError> {
        let name = setup.name.cloned();
        let name = name.unwrap_or_else(|| AgentName::from_hostname(setup.hostname));
        let sealing = XKey::new();
        let agent = Self {
            key: SigningKey::generate(),
            sealing: public_half(&sealing),
            identity: AgentIdentity { name, root: setup.root },
        };
        let identity = serde_json::to_string(&agent.identity).expect("an identity is two texts");
        let files = [
            (AGENT, agent.key.to_paserk()),
            (SEALING, seed(&sealing)),
            (IDENTITY, identity.into()),
        ];
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        private_file::create_dir(dir, &files)?;
        Ok(agent)
    }
}

impl AgentIdentity {
    fn check(&self, dir: &Path, setup: AgentSetup<'_>) -> Result<(), KeyError> {
        let path = || dir.to_owned();
        match setup.name {
            _ if self.root != setup.root => {
                Err(KeyError::OtherFleet { path: path(), root: self.root })
            }
            Some(configured) if *configured != self.name => Err(KeyError::OtherName {
                path: path(),
                stored: self.name.clone(),
                configured: configured.clone(),
            }),
            _ => Ok(()),
        }
    }
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

/// An agent that an earlier build made has none: it gets one. Unlike its signing key it is not what makes the agent who it is.
fn open_or_create_sealing(path: &Path) -> Result<SealingKey, KeyError> {
    match read(path) {
        Ok(bytes) => {
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            let pair = XKey::from_seed(text.trim_ascii_end());
            pair.map(|pair| public_half(&pair)).map_err(|_| KeyError::NoSealingKey(path.to_owned()))
        }
        Err(KeyError::Missing(_)) => {
            let pair = XKey::new();
            private_file::replace(path, &seed(&pair))?;
            Ok(public_half(&pair))
        }
        Err(error) => Err(error),
    }
}

fn public_half(pair: &XKey) -> SealingKey {
    pair.public_key().parse().expect("an nkey of a curve key is a sealing key")
}

fn seed(pair: &XKey) -> Zeroizing<String> {
    Zeroizing::new(pair.seed().expect("a pair that was generated or read from a seed has one"))
}

fn read_public(path: &Path) -> Result<PublicKey, KeyError> {
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let key = text.trim_ascii_end().parse();
    key.map_err(|_: InvalidId| KeyError::NoPublicKey(path.to_owned()))
}

fn read_identity(dir: &Path) -> Result<AgentIdentity, KeyError> {
    let path = dir.join(IDENTITY);
    let bytes = read(&path)?;
    serde_json::from_slice(&bytes).map_err(|source| KeyError::Identity { path, source })
}

#[cfg(test)]
mod tests;
