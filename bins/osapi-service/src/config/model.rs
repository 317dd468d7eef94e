//! The configuration, with every default.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use osapi_core::id::AgentName;
use osapi_core::job::{Labels, ResourceLimit, ResourceLimits, limits};
use serde::{Deserialize, Serialize};

use super::nats::Nats;
use super::text;

/// Everything that can be configured. Unknown keys are found by a pass of its own, so that all of them are reported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The HTTP API.
    #[serde(deserialize_with = "text::section")]
    pub api: Api,
    /// The connection to NATS.
    #[serde(deserialize_with = "text::section")]
    pub nats: Nats,
    /// The store.
    #[serde(deserialize_with = "text::section")]
    pub store: Store,
    /// Bounds of all jobs together.
    #[serde(deserialize_with = "text::section")]
    pub jobs: Jobs,
    /// The agent of this machine.
    #[serde(deserialize_with = "text::section")]
    pub agent: Agent,
    /// The log.
    #[serde(deserialize_with = "text::section")]
    pub log: Log,
}

impl Config {
    /// Makes every relative path one below `directory`.
    pub(super) fn anchor(&mut self, directory: &Path) {
        let others = [&mut self.api.server.keys, &mut self.agent.policy];
        for path in self.nats.paths().into_iter().chain(others).flatten() {
            // An absolute path stays as it is.
            *path = directory.join(&*path);
        }
    }
}

/// The HTTP API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Api {
    /// The API server.
    #[serde(deserialize_with = "text::section")]
    pub server: Server,
}

/// The API server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// The address to listen on. Loopback by default.
    #[serde(deserialize_with = "text::address")]
    pub host: IpAddr,
    /// The TCP port to listen on: 0 to 65,535; 0 lets the system choose one.
    #[serde(deserialize_with = "text::whole")]
    pub port: usize,
    /// Connections at once: 1 to 65,536.
    #[serde(deserialize_with = "text::whole")]
    pub max_connections: usize,
    /// How long a client may take to send the head of a request, or stay idle between two: 1 s to 10 min.
    #[serde(with = "text::duration")]
    pub header_timeout: Duration,
    /// How long a client may take to send the body of a request: 1 s to 10 min.
    #[serde(with = "text::duration")]
    pub body_timeout: Duration,
    /// How long open requests may take to end once the server stops: at most 10 min.
    #[serde(with = "text::duration")]
    pub drain: Duration,
    /// The directory with the keys that an API server needs; `keys` in the data directory if absent.
    pub keys: Option<PathBuf>,
    /// Who may do what.
    #[serde(deserialize_with = "text::section")]
    pub security: Security,
}

impl Server {
    /// Where to listen.
    ///
    /// # Panics
    /// When the port is out of its bounds, which [`super::load`] refuses.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let port = u16::try_from(self.port).expect("a loaded configuration is within its bounds");
        SocketAddr::new(self.host, port)
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            max_connections: 1_024,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            keys: None,
            security: Security::default(),
        }
    }
}

/// Who may do what.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Custom roles beside the built-in `read`, `write` and `admin`.
    #[serde(deserialize_with = "text::section")]
    pub roles: BTreeMap<String, Role>,
}

/// A custom role.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// What it grants.
    pub permissions: Vec<String>,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    /// How long a settled job is kept: 1 min to 8,760 h.
    #[serde(with = "text::duration")]
    pub retention: Duration,
}

impl Default for Store {
    fn default() -> Self {
        Self { retention: limits::RETENTION_DEFAULT }
    }
}

/// Bounds of all jobs together. What is beyond them is refused; nothing is removed to make room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Jobs {
    /// Jobs kept at once: 1 to 10,000,000.
    #[serde(deserialize_with = "text::whole")]
    pub max_retained: usize,
    /// Bytes of large output that the store keeps for them: 64 MiB to 16 TiB. What is beyond is lost; a report never is.
    #[serde(with = "text::size")]
    pub max_output_bytes: u64,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { max_retained: 100_000, max_output_bytes: 8 << 30 }
    }
}

/// The agent of this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// Its name; made from the host name at the first start if absent.
    pub name: Option<AgentName>,
    /// Its labels, by key: at most 16.
    #[serde(deserialize_with = "text::section")]
    pub labels: BTreeMap<String, String>,
    /// Executions at once: 1 to 1,000.
    #[serde(deserialize_with = "text::whole")]
    pub slots: usize,
    /// Output kept per stream, in bytes: 4 KiB to 1 GiB.
    #[serde(with = "text::size")]
    pub output_kept: u64,
    /// What each command may use at most, by the names of `--limit`.
    #[serde(deserialize_with = "text::section")]
    pub limits: BTreeMap<String, String>,
    /// How long running commands may take to end once the agent stops: at most 10 min.
    #[serde(with = "text::duration")]
    pub drain: Duration,
    /// The file with its local policy; `/etc/osapi/policy.yaml` if absent, if that exists.
    pub policy: Option<PathBuf>,
}

impl Agent {
    /// Its labels.
    ///
    /// # Panics
    /// When one of them is no label, which [`super::load`] refuses.
    #[must_use]
    pub fn labels(&self) -> Labels {
        Labels::try_from(&self.labels).expect("a loaded configuration has labels that are ones")
    }

    /// What each command may use at most.
    ///
    /// # Panics
    /// When one of them is no limit, which [`super::load`] refuses.
    #[must_use]
    pub fn limits(&self) -> ResourceLimits {
        let limits = self.limits.iter().map(|(name, amount)| ResourceLimit::parse(name, amount));
        let limits: Result<Vec<_>, _> = limits.collect();
        ResourceLimits::of(limits.expect("a loaded configuration has limits that are ones"))
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            name: None,
            labels: BTreeMap::new(),
            limits: BTreeMap::new(),
            slots: limits::SLOTS_DEFAULT,
            output_kept: limits::OUTPUT_KEPT_DEFAULT as u64,
            drain: Duration::from_secs(30),
            policy: None,
        }
    }
}

/// The log, which goes to standard error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// How much is logged.
    pub level: Level,
    /// In which form.
    pub format: Format,
}

/// How much is logged. Each level includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Nothing.
    Off,
    /// What failed and needs somebody.
    Error,
    /// What is wrong and goes on.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// How it happened.
    Debug,
    /// Everything, of every library.
    Trace,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
