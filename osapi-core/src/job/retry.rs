//! Which hosts of a job are tried again.

use serde::{Deserialize, Serialize};

use super::state::ExecutionState;

/// Which hosts of a settled job a new one is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RetryHosts {
    /// Those on which it certainly did not succeed.
    #[default]
    Unsuccessful,
    /// Those on which it is not known to have succeeded: also `lost` and `no_answer`, where it may have.
    UnsuccessfulOrUnknown,
    /// All of them, also those on which it succeeded.
    All,
}

impl RetryHosts {
    /// Whether a host that is in `state` is one of them.
    #[must_use]
    pub fn takes(self, state: ExecutionState) -> bool {
        match state {
            ExecutionState::Failed
            | ExecutionState::TimedOut
            | ExecutionState::Cancelled
            | ExecutionState::Rejected
            | ExecutionState::Expired
            | ExecutionState::Unreachable
            | ExecutionState::NotStarted => true,
            ExecutionState::Lost | ExecutionState::NoAnswer => self != Self::Unsuccessful,
            ExecutionState::Succeeded
            | ExecutionState::Pending
            | ExecutionState::Accepted
            | ExecutionState::Running => self == Self::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_succeeded_is_tried_again_only_if_that_is_said() {
        use ExecutionState as State;
        for (state, expected) in [
            (State::Failed, [true, true, true]),
            (State::Unreachable, [true, true, true]),
            (State::Expired, [true, true, true]),
            (State::Lost, [false, true, true]),
            (State::NoAnswer, [false, true, true]),
            (State::Succeeded, [false, false, true]),
        ] {
            let of = [RetryHosts::default(), RetryHosts::UnsuccessfulOrUnknown, RetryHosts::All];
            assert_eq!(of.map(|hosts| hosts.takes(state)), expected, "{state}");
        }
    }
}
