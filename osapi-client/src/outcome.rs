//! What became of a job, with its output decoded.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osapi_core::api::types::{Encoding, HostResult, JobResults};
use osapi_core::id::{AgentName, JobId};
use osapi_core::job::host_facts::HostFacts;
use osapi_core::job::report::Stream;
use osapi_core::job::{ExecutionState, JobStatus};
use serde::Deserialize as _;
use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// What became of a job, on every host that it was meant for.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOutcome {
    results: JobResults,
}

impl JobOutcome {
    pub(crate) fn new(results: JobResults) -> Self {
        Self { results }
    }

    /// The job.
    #[must_use]
    pub fn job_id(&self) -> JobId {
        self.results.job_id
    }

    /// Where the whole job stands.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        self.results.status
    }

    /// Whether every host is settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.results.status.is_settled()
    }

    /// Whether every host succeeded.
    #[must_use]
    pub fn success(&self) -> bool {
        self.results.status == JobStatus::Completed
    }

    /// Every host that the job was meant for.
    pub fn hosts(&self) -> impl ExactSizeIterator<Item = HostOutcome<'_>> {
        self.results.results.iter().map(|row| HostOutcome { row })
    }

    /// The host of a job that was meant for exactly one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when it was meant for another number of hosts: see [`JobOutcome::hosts`].
    pub fn host(&self) -> Result<HostOutcome<'_>, Error> {
        match self.results.results.as_slice() {
            [row] => Ok(HostOutcome { row }),
            rows => {
                let what = format!(
                    "job {} has {} hosts: look at all of them, or choose a target of one host",
                    self.results.job_id,
                    rows.len()
                );
                Err(Error::new(ErrorKind::InvalidRequest, what).about(self.results.job_id))
            }
        }
    }

    /// The answer as the API gives it.
    #[must_use]
    pub fn results(&self) -> &JobResults {
        &self.results
    }

    /// The answer as the API gives it.
    #[must_use]
    pub fn into_results(self) -> JobResults {
        self.results
    }
}

/// What became of a job on one host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostOutcome<'a> {
    row: &'a HostResult,
}

impl<'a> HostOutcome<'a> {
    /// The agent's name.
    #[must_use]
    pub fn name(&self) -> &'a AgentName {
        &self.row.hostname
    }

    /// Where the execution stands.
    #[must_use]
    pub fn status(&self) -> ExecutionState {
        self.row.status
    }

    /// Whether it succeeded: a command exited 0, facts were told.
    #[must_use]
    pub fn success(&self) -> bool {
        self.row.status == ExecutionState::Succeeded
    }

    /// Whether nothing can change it any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.row.is_final
    }

    /// The command's exit code, if it exited by itself.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.row.exit_code
    }

    /// The signal that ended the command, if OSAPI did not send it (signal(7)).
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.row.signal
    }

    /// Whether the kernel ended the command because it had reached its limit of memory.
    #[must_use]
    pub fn killed_for_memory(&self) -> bool {
        self.row.killed_for_memory
    }

    /// What facts or a custom operation returned.
    #[must_use]
    pub fn value(&self) -> Option<&'a Value> {
        self.row.value.as_ref()
    }

    /// What the host said of itself, if it was asked for [facts](crate::Node::facts).
    ///
    /// # Errors
    /// [`ErrorKind::NoOutput`] when it has told none; [`ErrorKind::Protocol`] when it told something else.
    pub fn facts(&self) -> Result<HostFacts, Error> {
        let host = &self.row.hostname;
        let value = self.row.value.as_ref().ok_or_else(|| {
            let what = format!("there are no facts of '{host}', which is {}", self.row.status);
            Error::new(ErrorKind::NoOutput, what)
        })?;
        HostFacts::deserialize(value).map_err(|err| {
            let what = format!("what '{host}' returned are no facts");
            Error::new(ErrorKind::Protocol, what).because(err)
        })
    }

    /// The bytes that were kept of standard output. From a very long one the middle is missing: `stdout_gap` of the
    /// [row](HostOutcome::row) says so.
    ///
    /// # Errors
    /// [`ErrorKind::NoOutput`] when there is none yet, it may not be seen, or the answer was so large that it carries only its
    /// beginning: [`Client::full_output`](crate::Client::full_output) fetches all of it.
    pub fn stdout(&self) -> Result<Cow<'a, [u8]>, Error> {
        self.output(Stream::Stdout)
    }

    /// The bytes that were kept of standard error.
    ///
    /// # Errors
    /// As for [`HostOutcome::stdout`].
    pub fn stderr(&self) -> Result<Cow<'a, [u8]>, Error> {
        self.output(Stream::Stderr)
    }

    /// Standard output as text; what is not UTF-8 shows as U+FFFD.
    ///
    /// # Errors
    /// As for [`HostOutcome::stdout`].
    pub fn stdout_text(&self) -> Result<Cow<'a, str>, Error> {
        self.output(Stream::Stdout).map(text)
    }

    /// Standard error as text; what is not UTF-8 shows as U+FFFD.
    ///
    /// # Errors
    /// As for [`HostOutcome::stdout`].
    pub fn stderr_text(&self) -> Result<Cow<'a, str>, Error> {
        self.output(Stream::Stderr).map(text)
    }

    /// The bytes that were kept of one stream.
    ///
    /// # Errors
    /// As for [`HostOutcome::stdout`].
    pub fn output(&self, stream: Stream) -> Result<Cow<'a, [u8]>, Error> {
        if self.is_excerpt(stream) {
            let what = format!(
                "the answer carries only the beginning of {} of '{}': fetch all of it",
                name(stream),
                self.row.hostname
            );
            return Err(Error::new(ErrorKind::NoOutput, what));
        }
        carried(self.row, stream)
    }

    /// As much of one stream as the answer carries, which may be only its beginning.
    ///
    /// # Errors
    /// [`ErrorKind::NoOutput`] when there is none yet, or it may not be seen.
    pub fn excerpt(&self, stream: Stream) -> Result<Cow<'a, [u8]>, Error> {
        carried(self.row, stream)
    }

    /// Whether the answer carries only the beginning of one stream.
    #[must_use]
    pub fn is_excerpt(&self, stream: Stream) -> bool {
        is_excerpt(self.row, stream)
    }

    /// The row as the API gives it.
    #[must_use]
    pub fn row(&self) -> &'a HostResult {
        self.row
    }
}

fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(err) => String::from_utf8_lossy(err.as_bytes()).into_owned().into(),
        },
    }
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "standard output",
        Stream::Stderr => "standard error",
    }
}

/// Whether `row` carries only the beginning of `stream`.
pub(crate) fn is_excerpt(row: &HostResult, stream: Stream) -> bool {
    match stream {
        Stream::Stdout => row.stdout_url.is_some(),
        Stream::Stderr => row.stderr_url.is_some(),
    }
}

/// The bytes of `stream` that `row` carries.
pub(crate) fn carried(row: &HostResult, stream: Stream) -> Result<Cow<'_, [u8]>, Error> {
    let (text, encoding) = match stream {
        Stream::Stdout => (&row.stdout, row.stdout_encoding),
        Stream::Stderr => (&row.stderr, row.stderr_encoding),
    };
    let host = &row.hostname;
    let Some(text) = text else {
        let what = format!(
            "there is no {} of '{host}', which is {}: it has none yet, or it may not be seen",
            name(stream),
            row.status
        );
        return Err(Error::new(ErrorKind::NoOutput, what));
    };
    match encoding {
        Encoding::Utf8 => Ok(text.as_bytes().into()),
        Encoding::Base64 => STANDARD.decode(text).map(Cow::Owned).map_err(|err| {
            let what = format!("{} of '{host}' is not the base64 that it should be", name(stream));
            Error::new(ErrorKind::Protocol, what).because(err)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: ExecutionState) -> HostResult {
        HostResult::bare("web-01".parse().unwrap(), status)
    }

    fn outcome(rows: Vec<HostResult>) -> JobOutcome {
        let job_id = "01a0c4c0-9c00-7000-8000-000000000001".parse().unwrap();
        JobOutcome::new(JobResults { job_id, status: JobStatus::Failed, results: rows })
    }

    #[test]
    fn output_is_decoded_by_its_encoding() {
        let row = HostResult {
            stdout: Some("a\u{e9}".into()),
            stderr: Some("/wBh".into()),
            stderr_encoding: Encoding::Base64,
            ..row(ExecutionState::Succeeded)
        };
        let host = HostOutcome { row: &row };
        assert_eq!(*host.stdout().unwrap(), *"a\u{e9}".as_bytes());
        assert_eq!(*host.stderr().unwrap(), [0xff, 0, b'a']);
        assert_eq!(host.stderr_text().unwrap(), "\u{fffd}\0a");
    }

    #[test]
    fn facts_are_read_from_the_value() {
        let facts = HostFacts {
            hostname: "web-01.example.com".into(),
            os: Default::default(),
            kernel: "6.12".into(),
            architecture: "x86_64".into(),
            uptime_s: 1,
            memory_total_bytes: 2,
            memory_available_bytes: 1,
            cpus: 1,
            limits: Vec::new(),
        };
        let told = |value| HostResult { value, ..row(ExecutionState::Succeeded) };
        let host = told(Some(serde_json::to_value(&facts).unwrap()));
        assert_eq!(HostOutcome { row: &host }.facts().unwrap(), facts);
        for (value, kind) in
            [(None, ErrorKind::NoOutput), (Some(Value::Bool(true)), ErrorKind::Protocol)]
        {
            assert_eq!(HostOutcome { row: &told(value) }.facts().unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn what_is_not_there_is_never_an_empty_output() {
        for status in [ExecutionState::Running, ExecutionState::Rejected, ExecutionState::NoAnswer]
        {
            let row = row(status);
            let err = HostOutcome { row: &row }.stdout().unwrap_err();
            assert_eq!(err.kind(), ErrorKind::NoOutput);
            assert!(err.to_string().contains(status.as_str()), "{err}");
        }
    }

    #[test]
    fn a_beginning_is_never_taken_for_the_whole() {
        let row = HostResult {
            stdout: Some("begin".into()),
            stdout_url: Some("x".into()),
            ..row(ExecutionState::Succeeded)
        };
        let host = HostOutcome { row: &row };
        assert_eq!(host.stdout_text().unwrap_err().kind(), ErrorKind::NoOutput);
        assert_eq!(*host.excerpt(Stream::Stdout).unwrap(), *b"begin");
        assert!(host.is_excerpt(Stream::Stdout) && !host.is_excerpt(Stream::Stderr));
    }

    #[test]
    fn base64_that_is_none_is_an_error() {
        let row = HostResult {
            stdout: Some("%".into()),
            stdout_encoding: Encoding::Base64,
            ..row(ExecutionState::Succeeded)
        };
        assert_eq!(HostOutcome { row: &row }.stdout().unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn the_one_host_is_there_only_if_it_is_one() {
        assert!(outcome(vec![row(ExecutionState::Failed)]).host().is_ok());
        for count in [0, 2] {
            let outcome = outcome(vec![row(ExecutionState::Failed); count]);
            let err = outcome.host().unwrap_err();
            assert!(err.to_string().contains(&format!("has {count} hosts")), "{err}");
            assert_eq!(outcome.hosts().len(), count);
        }
    }
}
