//! Exit codes. One table, shown by `--help` and tested against the code.

use std::process::ExitCode;

use osapi_core::api::types::HostResult;
use osapi_core::job::{ExecutionState, Failure, Step};

/// The table as `--help` shows it.
pub(crate) const TABLE: &str = "\
Exit codes:
  N    the command's own exit code; 128+N if signal N ended it
  124  it ran past its timeout and was ended
  126  it could not be started: no permission, no such directory or user,
       a limit that cannot be held to
  127  it could not be started: the program was not found
  125  OSAPI itself failed: not reachable, not allowed, refused by policy,
       expired, unreachable, cancelled, lost, no answer
  2    the command line is wrong, or a run on all hosts was not confirmed
  130  Ctrl-C while waiting, and not cancelled then (129: SIGHUP, 143:
       SIGTERM); on a server the job goes on
Of several hosts the largest counts.";

/// An exit code of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    /// All went well.
    pub(crate) const SUCCESS: Self = Self(0);
    /// The answer is no: the token is not valid.
    pub(crate) const NO: Self = Self(1);
    /// The command line is wrong. Clap's own code.
    pub(crate) const USAGE: Self = Self(2);
    /// The command ran past its timeout, as timeout(1) says it.
    pub(crate) const TIMED_OUT: Self = Self(124);
    /// OSAPI itself failed.
    pub(crate) const OSAPI: Self = Self(125);
    /// The command was found and could not be started.
    pub(crate) const NOT_STARTED: Self = Self(126);
    /// The command was not found.
    pub(crate) const NOT_FOUND: Self = Self(127);

    /// Ended by a signal, as a shell says it.
    pub(crate) fn by_signal(signal: i32) -> Self {
        Self(u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX))
    }

    /// What one host's row means.
    pub(crate) fn of(row: &HostResult) -> Self {
        match row.status {
            ExecutionState::Succeeded => Self::SUCCESS,
            ExecutionState::Failed => Self::of_failed(row),
            ExecutionState::TimedOut => Self::TIMED_OUT,
            ExecutionState::Rejected => row.error.as_ref().map_or(Self::OSAPI, Self::of_rejected),
            ExecutionState::Pending
            | ExecutionState::Accepted
            | ExecutionState::Running
            | ExecutionState::Cancelled
            | ExecutionState::Expired
            | ExecutionState::Unreachable
            | ExecutionState::NotStarted
            | ExecutionState::Lost
            | ExecutionState::NoAnswer => Self::OSAPI,
        }
    }

    /// What all rows mean: the largest code. None at all is no answer.
    pub(crate) fn of_all(rows: &[HostResult]) -> Self {
        rows.iter().map(Self::of).max().unwrap_or(Self::OSAPI)
    }

    fn of_failed(row: &HostResult) -> Self {
        match (row.exit_code, row.signal) {
            (Some(code), _) => Self(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, Some(signal)) => Self::by_signal(signal),
            // An operation that is no process failed by its own account.
            (None, None) => Self(1),
        }
    }

    fn of_rejected(failure: &Failure) -> Self {
        const ENOENT: i32 = 2;
        match (failure.step, failure.errno) {
            (Some(Step::Program), Some(ENOENT)) => Self::NOT_FOUND,
            (Some(Step::Program | Step::Cwd | Step::User | Step::Limit | Step::Setup), _) => {
                Self::NOT_STARTED
            }
            (None, _) => Self::OSAPI,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: ExecutionState) -> HostResult {
        HostResult::bare("web-01".parse().unwrap(), status)
    }

    fn rejected(step: Option<Step>, errno: Option<i32>) -> HostResult {
        let failure = Failure { step, errno, ..Failure::new("start_failed", "no") };
        HostResult { error: Some(failure), ..row(ExecutionState::Rejected) }
    }

    #[test]
    fn a_command_that_ran_gives_its_own_code() {
        let code = |code| HostResult { exit_code: Some(code), ..row(ExecutionState::Failed) };
        assert_eq!(Exit::of(&row(ExecutionState::Succeeded)), Exit(0));
        assert_eq!(Exit::of(&code(7)), Exit(7));
        assert_eq!(Exit::of(&code(255)), Exit(255));
        let killed = HostResult { signal: Some(9), ..row(ExecutionState::Failed) };
        assert_eq!(Exit::of(&killed), Exit(137));
        assert_eq!(Exit::of(&row(ExecutionState::TimedOut)), Exit(124));
    }

    #[test]
    fn a_command_that_could_not_start_says_whether_it_was_found() {
        assert_eq!(Exit::of(&rejected(Some(Step::Program), Some(2))), Exit(127));
        assert_eq!(Exit::of(&rejected(Some(Step::Program), Some(13))), Exit(126));
        assert_eq!(Exit::of(&rejected(Some(Step::Cwd), Some(2))), Exit(126));
        assert_eq!(Exit::of(&rejected(Some(Step::User), Some(2))), Exit(126));
        assert_eq!(Exit::of(&rejected(Some(Step::Limit), None)), Exit(126));
        assert_eq!(Exit::of(&rejected(Some(Step::Setup), None)), Exit(126));
        assert_eq!(Exit::of(&rejected(None, None)), Exit(125), "refused by policy");
    }

    #[test]
    fn whatever_is_not_the_commands_doing_is_ours() {
        use ExecutionState as S;
        for state in [S::Cancelled, S::Expired, S::Unreachable, S::NotStarted, S::Lost, S::NoAnswer]
        {
            assert_eq!(Exit::of(&row(state)), Exit(125), "{state}");
        }
        for state in [S::Pending, S::Accepted, S::Running] {
            assert_eq!(Exit::of(&row(state)), Exit(125), "{state}");
        }
    }

    #[test]
    fn the_largest_of_several_counts() {
        let failed = HostResult { exit_code: Some(3), ..row(ExecutionState::Failed) };
        let rows = [row(ExecutionState::Succeeded), failed, row(ExecutionState::TimedOut)];
        assert_eq!(Exit::of_all(&rows[..2]), Exit(3));
        assert_eq!(Exit::of_all(&rows), Exit(124));
        assert_eq!(Exit::of_all(&[]), Exit(125));
    }

    #[test]
    fn every_code_stands_in_the_table() {
        let codes = [Exit::USAGE, Exit::TIMED_OUT, Exit::OSAPI, Exit::NOT_STARTED, Exit::NOT_FOUND];
        for Exit(code) in codes {
            assert!(TABLE.lines().any(|line| line.trim().starts_with(&code.to_string())), "{code}");
        }
    }
}
