//! Against a server that the test scripts.

mod commands;
mod failures;
mod jobs;
mod outputs;
mod server;

use osapi_core::api::types::{Encoding, HostResult, JobDetails, JobResults, JobSummary};
use osapi_core::clock::Timestamp;
use osapi_core::id::JobId;
use osapi_core::job::{ClaimRule, ExecutionState, JobStatus};

fn job_id() -> JobId {
    "01a0c4c0-9c00-7000-8000-000000000001".parse().unwrap()
}

fn row(status: ExecutionState) -> HostResult {
    HostResult::bare("web-01".parse().unwrap(), status)
}

/// A job that waits for its agent.
fn pending() -> JobResults {
    let results = vec![row(ExecutionState::Pending)];
    JobResults { job_id: job_id(), status: JobStatus::Pending, results }
}

/// A job whose command exited 0.
fn completed() -> JobResults {
    let results = vec![HostResult {
        exit_code: Some(0),
        stdout: Some("/wBh".into()),
        stdout_encoding: Encoding::Base64,
        stderr: Some(String::new()),
        stdout_bytes: 3,
        ..row(ExecutionState::Succeeded)
    }];
    JobResults { job_id: job_id(), status: JobStatus::Completed, results }
}

/// The same as a look at it shows.
fn details(results: JobResults) -> JobDetails {
    let JobResults { job_id, status, results } = results;
    let summary = JobSummary {
        job_id,
        status,
        kind: "exec".into(),
        target: "_any".into(),
        submitter: "a@example.com".into(),
        created_at: Timestamp::from_unix_millis(0),
        not_after: Timestamp::from_unix_millis(30_000),
        hosts: Default::default(),
    };
    JobDetails {
        summary,
        operation: None,
        redacted: false,
        claim: ClaimRule::None,
        request_id: "0".into(),
        retry_of: None,
        retries: Vec::new(),
        timeline: Vec::new(),
        results,
    }
}
