//! Jobs that there are.

use crate::api::endpoint::{Access, Endpoint, Info, Media, Method, path_of};
use crate::api::params::{FollowQuery, JobPath, JobsQuery, OutputPath, RunQuery};
use crate::api::problem::Code;
use crate::api::types::{CancelAnswer, JobDetails, JobList, JobResults, Retry};
use crate::auth::permission::Permission;
use crate::id::{AgentName, JobId};
use crate::job::report::Stream;

const RETRYING: &[Code] = &[
    Code::JobNotFound,
    Code::JobDamaged,
    Code::JobKeyNotValid,
    Code::JobUnfinished,
    Code::NothingToRetry,
    Code::HostNotFound,
    Code::NoLiveHost,
    Code::OrderTooLarge,
    Code::TooManyJobs,
    Code::IdempotencyConflict,
    Code::IdempotencyExpired,
    Code::IdempotencyDamaged,
    Code::OutcomeUnknown,
    Code::StoreRolledBack,
];

/// `GET /v1/jobs`
#[derive(Debug)]
pub enum JobsList {}
impl Endpoint for JobsList {
    type Path = ();
    type Query = JobsQuery;
    type Body = ();
    type Answer = JobList;
    const INFO: Info = Info {
        id: "jobs_list",
        method: Method::Get,
        path: "/v1/jobs",
        access: Access::Permission(Permission::JOB_READ),
        summary: "List jobs, newest first",
        creates_job: false,
        media: Media::Json,
        problems: &[],
    };
}

/// `GET /v1/jobs/{id}`
#[derive(Debug)]
pub enum JobGet {}
impl Endpoint for JobGet {
    type Path = JobPath;
    type Query = FollowQuery;
    type Body = ();
    type Answer = JobDetails;
    const INFO: Info = Info {
        id: "job_get",
        method: Method::Get,
        path: "/v1/jobs/{id}",
        access: Access::OwnOr(Permission::JOB_READ),
        summary: "Show a job with its timeline and results; with wait, once every host is settled or the time has run out",
        creates_job: false,
        media: Media::Json,
        problems: &[Code::JobNotFound, Code::JobDamaged],
    };
}

/// `DELETE /v1/jobs/{id}`
#[derive(Debug)]
pub enum JobDelete {}
impl Endpoint for JobDelete {
    type Path = JobPath;
    type Query = ();
    type Body = ();
    type Answer = ();
    const INFO: Info = Info {
        id: "job_delete",
        method: Method::Delete,
        path: "/v1/jobs/{id}",
        access: Access::Permission(Permission::JOB_WRITE),
        summary: "Remove a settled job and everything that is kept of it",
        creates_job: false,
        media: Media::Json,
        problems: &[Code::JobNotFound, Code::JobUnfinished],
    };
}

/// `POST /v1/jobs/{id}/cancel`
#[derive(Debug)]
pub enum JobCancel {}
impl Endpoint for JobCancel {
    type Path = JobPath;
    type Query = ();
    type Body = ();
    type Answer = CancelAnswer;
    const INFO: Info = Info {
        id: "job_cancel",
        method: Method::Post,
        path: "/v1/jobs/{id}/cancel",
        access: Access::Operation,
        summary: "Cancel a job: what has not started never starts, what runs is ended, what has ended keeps its outcome",
        creates_job: false,
        media: Media::Json,
        problems: &[Code::JobNotFound, Code::JobDamaged, Code::JobSettled],
    };
}

/// `POST /v1/jobs/{id}/retry`
#[derive(Debug)]
pub enum JobRetry {}
impl Endpoint for JobRetry {
    type Path = JobPath;
    type Query = RunQuery;
    type Body = Retry;
    type Answer = JobResults;
    const INFO: Info = Info {
        id: "job_retry",
        method: Method::Post,
        path: "/v1/jobs/{id}/retry",
        access: Access::Operation,
        summary: "Do again what a settled job did, on those of its hosts where it did not succeed",
        creates_job: true,
        media: Media::Json,
        problems: RETRYING,
    };
}

/// `GET /v1/jobs/{id}/output/{host}/{stream}`
#[derive(Debug)]
pub enum JobOutput {}
impl Endpoint for JobOutput {
    type Path = OutputPath;
    type Query = ();
    type Body = ();
    type Answer = ();
    const INFO: Info = Info {
        id: "job_output",
        method: Method::Get,
        path: "/v1/jobs/{id}/output/{host}/{stream}",
        access: Access::OwnOr(Permission::JOB_READ),
        summary: "All that was kept of one output stream of one host, as bytes",
        creates_job: false,
        media: Media::Bytes,
        problems: &[Code::JobNotFound, Code::OutputNotFound, Code::RangeNotSatisfiable],
    };
}

impl JobOutput {
    /// Where one stream of one host of a job is.
    #[must_use]
    pub fn location(id: JobId, host: &AgentName, stream: Stream) -> String {
        path_of::<Self>(&OutputPath { id, host: host.clone(), stream })
    }
}

impl JobGet {
    /// Where a job is.
    #[must_use]
    pub fn location(id: JobId) -> String {
        path_of::<Self>(&JobPath { id })
    }
}
