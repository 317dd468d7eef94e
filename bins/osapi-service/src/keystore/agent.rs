//! The keys of an agent, and who it is.

use std::path::Path;

use nkeys::XKey;
use osapi_core::auth::keys::SigningKey;
use osapi_core::id::{AgentName, PublicKey, SealingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KeyError, exists, read, read_secret};
use crate::datadir::Layout;
use crate::private_file;

const AGENT: &str = "agent.key";
const SEALING: &str = "sealing.key";
const IDENTITY: &str = "identity.json";

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
        if !exists(&layout.agent())? {
            let name = setup.name.cloned();
            let name = name.unwrap_or_else(|| AgentName::from_hostname(setup.hostname));
            return Self::create(layout, AgentIdentity { name, root: setup.root }, Vec::new());
        }
        let agent = Self::open(layout)?;
        agent.identity.check(&layout.agent(), setup)?;
        Ok(agent)
    }

    /// The agent in `layout`. The caller holds the data directory.
    ///
    /// # Errors
    /// When there is none, or it cannot be read, is open to others, or is incomplete.
    pub fn open(layout: &Layout) -> Result<Self, KeyError> {
        let dir = layout.agent();
        if !exists(&dir)? {
            return Err(KeyError::NoAgent(layout.path().to_owned()));
        }
        let key = read_secret(&dir.join(AGENT))?;
        let identity = read_identity(&dir)?;
        Ok(Self { key, sealing: open_or_create_sealing(&dir.join(SEALING))?, identity })
    }

    /// A new agent in `layout`, with `more` files beside its keys (name and text): all of it, or nothing. The caller holds the data
    /// directory.
    ///
    /// # Errors
    /// When there is one already, or it cannot be made.
    pub fn create(
        layout: &Layout,
        identity: AgentIdentity,
        more: Vec<(&'static str, Zeroizing<String>)>,
    ) -> Result<Self, KeyError> {
        let dir = layout.agent();
        if exists(&dir)? {
            let AgentIdentity { name, root } = read_identity(&dir)?;
            let is_same_fleet = root == identity.root;
            return Err(KeyError::AgentExists {
                path: layout.path().to_owned(),
                name,
                is_same_fleet,
            });
        }
        let sealing = XKey::new();
        let agent = Self { key: SigningKey::generate(), sealing: public_half(&sealing), identity };
        let identity = serde_json::to_string(&agent.identity).expect("an identity is two texts");
        let mut files = more;
        files.extend([
            (AGENT, agent.key.to_paserk()),
            (SEALING, seed(&sealing)),
            (IDENTITY, identity.into()),
        ]);
        private_file::create_dir(&dir, &files)?;
        Ok(agent)
    }
}

impl AgentIdentity {
    fn check(&self, dir: &Path, setup: AgentSetup<'_>) -> Result<(), KeyError> {
        if self.root != setup.root {
            return Err(KeyError::OtherFleet { path: dir.to_owned(), root: self.root });
        }
        self.check_name(dir, setup.name)
    }

    /// Sees to it that the agent in `dir` has the name that is configured, if one is.
    ///
    /// # Errors
    /// When it has another.
    pub fn check_name(&self, dir: &Path, configured: Option<&AgentName>) -> Result<(), KeyError> {
        match configured {
            Some(configured) if *configured != self.name => Err(KeyError::OtherName {
                path: dir.to_owned(),
                stored: self.name.clone(),
                configured: configured.clone(),
            }),
            _ => Ok(()),
        }
    }
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

fn read_identity(dir: &Path) -> Result<AgentIdentity, KeyError> {
    let path = dir.join(IDENTITY);
    let bytes = read(&path)?;
    serde_json::from_slice(&bytes).map_err(|source| KeyError::Identity { path, source })
}
