//! The bodies of the answers of the server about itself.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::AgentName;

/// The process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Health {
    /// Always `ok`.
    pub status: String,
}

/// The server takes requests: its store was read and its keys are there. Otherwise the answer is a problem with status 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Ready {
    /// Always `ready`.
    pub status: String,
}

/// Whether a write that was answered survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Every server that keeps records syncs each write before it is answered.
    Synced,
    /// At least one does not: a power failure may cost what was answered in the last minutes.
    Unsynced,
    /// It could not be read of every server.
    Unknown,
}

impl Durability {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Synced, Self::Unsynced, Self::Unknown];

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Unsynced => "unsynced",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the broker refused to a connection for want of permission. It tells that to nobody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Denials {
    /// How often, since the program began.
    pub count: u64,
    /// The last time, in the broker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// The health in detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct HealthStatus {
    /// `ok`, or `degraded` if anything below is not as it should be.
    pub status: String,
    /// Version of the server.
    pub version: String,
    /// The fleet.
    pub fleet: String,
    /// `up`, or why the store cannot be reached.
    pub store: String,
    /// The store's id.
    pub store_id: String,
    /// Whether what was answered survives a power cut.
    pub durability: Durability,
    /// `up`, or why the bus cannot be reached.
    pub bus: String,
    /// Whether the store was read since the start.
    pub ready: bool,
    /// Why the store is not what it was, if it went back in time: nothing is sent until somebody has accepted that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_rolled_back: Option<String>,
    /// How many agents are in each state.
    pub agents: BTreeMap<String, u32>,
    /// Agents of which there are two, by name, at most 100 of them.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schemars(with = "Vec<String>"))]
    pub cloned: Vec<AgentName>,
    /// Names under which a key was refused within a day, at most 100 of them.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schemars(with = "Vec<String>"))]
    pub refused: Vec<AgentName>,
    /// What the broker has denied this server's connection.
    #[serde(default)]
    pub denials: Denials,
    /// Agents to whose connections the broker has denied something since they began, by name, at most 100 of them.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schemars(with = "Vec<String>"))]
    pub denied: Vec<AgentName>,
    /// How many jobs have each status.
    pub jobs: BTreeMap<String, u32>,
    /// Since the start, in seconds.
    pub uptime_s: u64,
}
