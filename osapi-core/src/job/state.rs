//! The words for where an execution and a job stand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where one execution stands, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecutionState {
    /// Not yet accepted by its agent.
    Pending,
    /// In the agent's journal, waiting for a slot.
    Accepted,
    /// Started.
    Running,
    /// Exited 0.
    Succeeded,
    /// Exited otherwise, or by a signal.
    Failed,
    /// Ran past its timeout; the whole tree was ended.
    TimedOut,
    /// Cancelled before the start or while running.
    Cancelled,
    /// Authentic, for this host, and refused.
    Rejected,
    /// Certainly never started: the deadline passed first.
    Expired,
    /// Silent when the job was made, and not waited for.
    Unreachable,
    /// In no wave of a rollout that has ended.
    NotStarted,
    /// Started, and the agent cannot know how it ended.
    Lost,
    /// Nothing was heard; it may or may not have run. A later report replaces it.
    NoAnswer,
}

impl ExecutionState {
    /// Whether nothing can change it any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Accepted | Self::Running | Self::NoAnswer)
    }

    /// Whether waiting ends here: final, or `no_answer`.
    #[must_use]
    pub fn is_settled(self) -> bool {
        self.is_final() || self == Self::NoAnswer
    }

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Unreachable => "unreachable",
            Self::NotStarted => "not_started",
            Self::Lost => "lost",
            Self::NoAnswer => "no_answer",
        }
    }
}

impl fmt::Display for ExecutionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a whole job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Nothing has started yet.
    Pending,
    /// Something has started, and not everything is settled.
    Running,
    /// Every host succeeded.
    Completed,
    /// A cancel was recorded and reached at least one host in time.
    Cancelled,
    /// No host succeeded.
    Failed,
    /// Some hosts succeeded.
    PartialFailure,
}

/// A text that is no job status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of pending, running, completed, cancelled, failed, partial_failure")]
pub struct InvalidStatus;

impl JobStatus {
    /// Every status, in the order of a job's life.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Cancelled,
        Self::Failed,
        Self::PartialFailure,
    ];

    /// The status of a job whose executions are in these states. A total function: also of none, which is `failed`.
    #[must_use]
    pub fn of(states: impl IntoIterator<Item = ExecutionState>, cancel_recorded: bool) -> Self {
        let (mut all, mut settled, mut succeeded, mut cancelled, mut begun) = (0, 0, 0, 0, false);
        for state in states {
            all += 1;
            settled += u32::from(state.is_settled());
            succeeded += u32::from(state == ExecutionState::Succeeded);
            cancelled += u32::from(state == ExecutionState::Cancelled);
            begun |= !matches!(state, ExecutionState::Pending | ExecutionState::Accepted);
        }
        match () {
            () if settled < all && begun => Self::Running,
            () if settled < all => Self::Pending,
            () if all > 0 && succeeded == all => Self::Completed,
            () if cancel_recorded && cancelled > 0 => Self::Cancelled,
            () if succeeded == 0 => Self::Failed,
            () => Self::PartialFailure,
        }
    }

    /// Whether every execution is settled.
    #[must_use]
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::PartialFailure => "partial_failure",
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobStatus {
    type Err = InvalidStatus;
    fn from_str(text: &str) -> Result<Self, InvalidStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(InvalidStatus)
    }
}
