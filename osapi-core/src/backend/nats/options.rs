//! What a connection and a store are made with.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::names::Namespace;
use crate::id::AgentName;

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses such as `nats://10.0.0.1:4222` or `tls://nats.example.com`. These are tried and no others, in no order.
    pub servers: Vec<String>,
    /// What all names begin with.
    pub namespace: Namespace,
    /// Who connects.
    pub login: Login,
    /// How the connection is protected.
    pub tls: Tls,
    /// What the server shows as the name of the connection.
    pub name: String,
    /// The agent whose credential it is: it allows that agent's two lines and nothing else. `None` for an API server.
    pub agent: Option<AgentName>,
}

/// Who connects. `Debug` shows no secret, and their memory is wiped when they are dropped; the client library keeps none, but copies what
/// it sends.
#[derive(Clone)]
pub enum Login {
    /// A server that asks nobody.
    None,
    /// The text of a credentials file: a user's JWT and the seed of its key.
    Credentials(Zeroizing<String>),
    /// The seed of a user's key.
    Nkey(Zeroizing<String>),
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
}

/// How a connection is protected. A server that requires TLS gets it in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of the authorities that are trusted (PEM), instead of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate to show (PEM). Goes with `key`.
    pub cert: Option<PathBuf>,
    /// Its secret key (PEM).
    pub key: Option<PathBuf>,
    /// Whether to refuse a connection in the clear.
    pub required: bool,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Servers that keep a copy of each record: 1, 3 or 5.
    pub replicas: usize,
    /// Most bytes of output that are kept, which each server sets aside at once. Nothing is evicted: a full bucket costs output, never a
    /// report.
    pub max_output_bytes: u64,
    /// Where to read whether writes are synced; without it that stays unknown.
    pub durability: Option<DurabilitySource>,
}

/// Where it can be read whether a server syncs each write.
#[derive(Debug, Clone)]
pub enum DurabilitySource {
    /// A user of the system account, at the same servers.
    System(Login),
    /// The addresses of the monitoring ports of all servers, such as `http://10.0.0.1:8222`.
    Monitoring(Vec<String>),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Credentials(_) => f.write_str("Credentials(..)"),
            Self::Nkey(_) => f.write_str("Nkey(..)"),
            Self::Password { user, .. } => {
                f.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
        }
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { replicas: 1, max_output_bytes: 1 << 30, durability: None }
    }
}
