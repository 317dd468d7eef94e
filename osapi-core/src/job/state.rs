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
    /// Every state, in the order in which they are declared.
    pub const ALL: [Self; 13] = [
        Self::Pending,
        Self::Accepted,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Rejected,
        Self::Expired,
        Self::Unreachable,
        Self::NotStarted,
        Self::Lost,
        Self::NoAnswer,
    ];

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
    /// No host that was sent the job has started it or answered yet.
    Pending,
    /// Some host has started it or answered, and not all are settled.
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
        states.into_iter().collect::<Tally>().status(cancel_recorded)
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

/// How many executions are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally([u32; ExecutionState::ALL.len()]);

impl Tally {
    /// How many are in `state`.
    #[must_use]
    pub fn count(&self, state: ExecutionState) -> u32 {
        self.0[state as usize]
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Counts one more in `state`.
    pub fn add(&mut self, state: ExecutionState) {
        self.0[state as usize] += 1;
    }

    /// Counts one less in `state`, where there has to be one.
    pub fn remove(&mut self, state: ExecutionState) {
        self.0[state as usize] -= 1;
    }

    /// Whether every execution is settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.count_where(ExecutionState::is_settled) == self.total()
    }

    /// Whether nothing can change any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.count_where(ExecutionState::is_final) == self.total()
    }

    /// The status of the job. `cancel_recorded` says whether there is a cancel record.
    #[must_use]
    pub fn status(&self, cancel_recorded: bool) -> JobStatus {
        use ExecutionState as State;
        let total = self.total();
        let succeeded = self.count(State::Succeeded);
        // Rows that no agent has spoken on: what the job record or the rollout says begins nothing.
        let silent = |state| {
            matches!(
                state,
                State::Pending | State::Accepted | State::Unreachable | State::NotStarted
            )
        };
        if !self.is_settled() {
            let begun = self.count_where(silent) < total;
            return if begun { JobStatus::Running } else { JobStatus::Pending };
        }
        match () {
            () if total > 0 && succeeded == total => JobStatus::Completed,
            () if cancel_recorded && self.count(State::Cancelled) > 0 => JobStatus::Cancelled,
            () if succeeded == 0 => JobStatus::Failed,
            () => JobStatus::PartialFailure,
        }
    }

    fn count_where(&self, is: impl Fn(ExecutionState) -> bool) -> u32 {
        ExecutionState::ALL.into_iter().filter(|state| is(*state)).map(|s| self.count(s)).sum()
    }
}

impl FromIterator<ExecutionState> for Tally {
    fn from_iter<I: IntoIterator<Item = ExecutionState>>(states: I) -> Self {
        let mut tally = Self::default();
        states.into_iter().for_each(|state| tally.add(state));
        tally
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
