//! What host this is: what the `Facts` operation returns, and what of it an agent registers.

use serde::{Deserialize, Serialize};

use super::Resource;

/// A host by its own account, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct HostFacts {
    /// The full host name, as the kernel knows it (`uname -n`).
    pub hostname: String,
    /// The distribution.
    pub os: Os,
    /// The kernel's release, e.g. `6.12.9-amd64` (`uname -r`).
    pub kernel: String,
    /// The machine's architecture, e.g. `x86_64` (`uname -m`).
    pub architecture: String,
    /// Seconds since boot, suspension included.
    pub uptime_s: u64,
    /// Usable memory in bytes (`MemTotal` of /proc/meminfo).
    pub memory_total_bytes: u64,
    /// Memory that new programs can have without swapping, in bytes (`MemAvailable` of /proc/meminfo).
    pub memory_available_bytes: u64,
    /// Processors that are online.
    pub cpus: u32,
    /// What cgroup v2 can limit of a command there: `memory_bytes`, `cpu_millis`, `pids`.
    #[serde(default)]
    pub limits: Vec<Resource>,
}

/// What stays the same of a host's facts between two boots: what an agent tells when it registers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct AgentFacts {
    /// The distribution.
    pub os: Os,
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture.
    pub architecture: String,
    /// Processors that are online.
    pub cpus: u32,
    /// Usable memory in bytes.
    pub memory_total_bytes: u64,
    /// What cgroup v2 can limit of a command there: `memory_bytes`, `cpu_millis`, `pids`.
    #[serde(default)]
    pub limits: Vec<Resource>,
}

impl From<HostFacts> for AgentFacts {
    fn from(facts: HostFacts) -> Self {
        let HostFacts { os, kernel, architecture, cpus, memory_total_bytes, limits, .. } = facts;
        Self { os, kernel, architecture, cpus, memory_total_bytes, limits }
    }
}

/// A distribution, out of os-release(5). What the file does not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Os {
    /// For people, e.g. `Debian GNU/Linux 13 (trixie)`.
    pub name: String,
    /// For programs, e.g. `debian`.
    pub id: String,
    /// Its version, e.g. `13`; rolling distributions have none.
    pub version: String,
}
