//! The buckets of a store: a closed list, each with who writes it, how large a record may be, and whether it is write-once.

use std::fmt;

/// A bucket. Written by controllers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Job records, `<job>`.
    Jobs,
    /// Signed orders, `<job>.<sha256>`.
    Envelopes,
    /// Host lists in parts, `<job>.<sha256>`.
    Hosts,
    /// Idempotency keys, `<sha256 of subject and key>`.
    Reservations,
    /// Signed cancels, `<job>`.
    Cancels,
    /// Claims, `<job>` or `<job>.<host>`.
    Claims,
    /// Rollout logs, `<job>.<n>`.
    Rollouts,
    /// Reports, many hosts of a job per record, `<job>.<writer>.<n>`.
    Reports,
    /// Output that reports do not carry, `<job>.<host>.<out|err>.<offset>`.
    Output,
    /// Jobs that were deleted, `<job>`.
    Removed,
    /// Key rings, `<serial>`.
    Keyrings,
    /// The audit log, `<time>.<n>`.
    Audit,
    /// Registered agents, `<host>`.
    Agents,
    /// Drained agents, `<host>`.
    Drains,
    /// Revoked tokens, `<jti>`.
    Revoked,
}

impl Bucket {
    /// Every bucket.
    pub const ALL: [Self; 15] = [
        Self::Jobs,
        Self::Envelopes,
        Self::Hosts,
        Self::Reservations,
        Self::Cancels,
        Self::Claims,
        Self::Rollouts,
        Self::Reports,
        Self::Output,
        Self::Removed,
        Self::Keyrings,
        Self::Audit,
        Self::Agents,
        Self::Drains,
        Self::Revoked,
    ];

    /// Whether a record is written once: the backend itself refuses any second write of a key that is present.
    #[must_use]
    pub fn is_write_once(self) -> bool {
        !matches!(self, Self::Agents | Self::Drains | Self::Revoked)
    }

    /// Largest record, in bytes.
    #[must_use]
    pub fn max_record(self) -> usize {
        match self {
            // A signed order of 640 KiB in base64, with its signature and footer.
            Self::Envelopes => 900 * 1024,
            Self::Jobs | Self::Hosts | Self::Reports => 768 * 1024,
            Self::Output => 192 * 1024,
            Self::Rollouts | Self::Agents | Self::Keyrings => 128 * 1024,
            Self::Reservations
            | Self::Cancels
            | Self::Claims
            | Self::Removed
            | Self::Audit
            | Self::Drains
            | Self::Revoked => 32 * 1024,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Envelopes => "envelopes",
            Self::Hosts => "hosts",
            Self::Reservations => "reservations",
            Self::Cancels => "cancels",
            Self::Claims => "claims",
            Self::Rollouts => "rollouts",
            Self::Reports => "reports",
            Self::Output => "output",
            Self::Removed => "removed",
            Self::Keyrings => "keyrings",
            Self::Audit => "audit",
            Self::Agents => "agents",
            Self::Drains => "drains",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
