//! Why a call did not give what was asked.

use std::error::Error as StdError;
use std::fmt;

use osapi_core::api::Problem;
use osapi_core::id::JobId;
use osapi_core::job::Invalid;
use osapi_core::job::target::InvalidTarget;

type Source = Box<dyn StdError + Send + Sync>;

/// What a caller branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked is outside its bounds; the same request never succeeds.
    InvalidRequest,
    /// There is no valid token.
    Unauthorized,
    /// The token lacks a permission: [`Error::problem`] names it.
    PermissionDenied,
    /// There is no such job, host, agent or output.
    NotFound,
    /// It does not fit what there is: a job that is settled or is not, an idempotency key that stands for another request.
    Conflict,
    /// The server keeps, or is asked, as much as it may.
    TooManyRequests,
    /// The server answers and cannot serve now, or no host can.
    Unavailable,
    /// The request may or may not have had its effect, and could not be repeated in time. [`Error::job_id`] names the job if it is
    /// known.
    OutcomeUnknown,
    /// There was no answer in time.
    Timeout,
    /// The server cannot be reached, or the connection broke.
    Connect,
    /// What answers does not speak this API, or speaks another version of it.
    Protocol,
    /// The server failed.
    Server,
    /// The answer does not carry that output: there is none yet, it may not be seen, or only its beginning is there.
    NoOutput,
}

/// Why a call did not give what was asked.
///
/// Its text is a lower-case fragment that says what, where and what would be right, without its [source](StdError::source). It never
/// holds the token.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    what: String,
    problem: Option<Problem>,
    job: Option<JobId>,
    in_doubt: bool,
    source: Option<Source>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        let what = what.into();
        let (problem, job, in_doubt, source) = (None, None, false, None);
        Self(Box::new(Inner { kind, what, problem, job, in_doubt, source }))
    }

    pub(crate) fn because(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn answered(mut self, problem: Problem) -> Self {
        self.0.job = self.0.job.or(problem.job_id);
        self.0.problem = Some(problem);
        self
    }

    /// The same about this job.
    pub(crate) fn about(mut self, job: JobId) -> Self {
        self.0.job.get_or_insert(job);
        self
    }

    /// The same, after an earlier attempt that may have had its effect.
    pub(crate) fn after_doubt(mut self) -> Self {
        self.0.in_doubt = true;
        self
    }

    /// Whether an earlier attempt of the same request may have had its effect.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.0.in_doubt
    }

    /// What to branch on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The problem document of the server, if it sent one: a stable code, what is wrong, the request id for its log.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        // An unknown outcome has the last answer as its source.
        let of_source = || self.0.source.as_ref()?.downcast_ref::<Self>()?.problem();
        self.0.problem.as_ref().or_else(of_source)
    }

    /// The job that it is about, if one is known.
    #[must_use]
    pub fn job_id(&self) -> Option<JobId> {
        let of_source = || self.0.source.as_ref()?.downcast_ref::<Self>()?.job_id();
        self.0.job.or_else(of_source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::new(ErrorKind::InvalidRequest, invalid.to_string())
    }
}

impl From<InvalidTarget> for Error {
    fn from(invalid: InvalidTarget) -> Self {
        Self::new(ErrorKind::InvalidRequest, invalid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use osapi_core::api::Code;

    use super::*;

    #[test]
    fn an_unknown_outcome_still_shows_the_last_answer() {
        let job = "01a0c4c0-9c00-7000-8000-000000000001".parse().unwrap();
        let problem = Problem::new(Code::OutcomeUnknown, "unknown").about(job);
        let last = Error::new(ErrorKind::OutcomeUnknown, "x").answered(problem.clone());
        let outer = Error::new(ErrorKind::OutcomeUnknown, "y").because(last);
        assert_eq!(outer.problem(), Some(&problem));
        assert_eq!(outer.job_id(), Some(job));
        assert_eq!(
            (outer.to_string(), outer.source().unwrap().to_string()),
            ("y".into(), "x".into())
        );
    }
}
