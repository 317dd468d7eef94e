//! What is measured one at a time.

use crate::plan::Plan;

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Limit: `true` is started and waited for.
    Spawn,
    /// Limit: 4 KiB are written into a file and synced.
    Sync,
    /// Limit: the embedded store creates one small record.
    Create,
    /// Limit: one exchange by HTTP on a connection that is open.
    Ping,
    /// A job that runs `true`, by the SDK on a connection that is open.
    Call,
    /// Limit: the command line starts and ends.
    Version,
    /// A whole `osapi exec`, with a server that runs.
    Exec,
    /// A whole `osapi exec --local`, which starts and ends a node.
    Local,
}

impl Step {
    /// Every step, in the order of the table.
    pub(super) const ALL: [Self; 8] = [
        Self::Spawn,
        Self::Sync,
        Self::Create,
        Self::Ping,
        Self::Call,
        Self::Version,
        Self::Exec,
        Self::Local,
    ];

    /// What the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spawn => "limit: spawn and wait of 'true'",
            Self::Sync => "limit: write of 4 KiB + fdatasync",
            Self::Create => "limit: one create in the embedded store",
            Self::Ping => "limit: GET /health, keep-alive",
            Self::Call => "API call: exec 'true', keep-alive",
            Self::Version => "limit: osapi --version",
            Self::Exec => "osapi exec -- true",
            Self::Local => "osapi exec --local -- true",
        }
    }

    /// Whether it is measured in this round.
    pub(super) fn takes_part(self, round: usize, plan: &Plan) -> bool {
        match self {
            Self::Local => round.is_multiple_of(plan.local_every),
            Self::Spawn
            | Self::Sync
            | Self::Create
            | Self::Ping
            | Self::Call
            | Self::Version
            | Self::Exec => true,
        }
    }
}
