//! Every endpoint of the API. The only place where a path or a method stands.

use super::endpoint::{Access, Endpoint, Entry, Info, Media, Method, path_of};
use super::params::{AgentPath, FollowQuery, JobPath, JobsQuery, OutputPath, RunQuery, TargetPath};
use super::problem::Code;
use super::types::{
    AgentInfo, AgentList, CancelAnswer, Health, HealthStatus, JobDetails, JobList, JobResults,
    KeyList, NewKeyRing, Ready, Retry, TargetPreview,
};
use crate::auth::permission::Permission;
use crate::id::{AgentName, JobId};
use crate::job::report::Stream;
use crate::job::{Exec, Shell};

/// Every endpoint, in the order of the documentation.
#[must_use]
pub fn table() -> Vec<Entry> {
    vec![
        Entry::of::<CommandExec>(),
        Entry::of::<CommandShell>(),
        Entry::of::<NodeGet>(),
        Entry::of::<JobsList>(),
        Entry::of::<JobGet>(),
        Entry::of::<JobDelete>(),
        Entry::of::<JobCancel>(),
        Entry::of::<JobRetry>(),
        Entry::of::<JobOutput>(),
        Entry::of::<AgentsList>(),
        Entry::of::<AgentGet>(),
        Entry::of::<AgentDelete>(),
        Entry::of::<TargetGet>(),
        Entry::of::<KeysList>(),
        Entry::of::<KeysPublish>(),
        Entry::of::<HealthGet>(),
        Entry::of::<HealthReady>(),
        Entry::of::<HealthDetails>(),
        Entry::of::<MetricsGet>(),
        Entry::of::<OpenApi>(),
    ]
}

const RESOLVING: &[Code] =
    &[Code::HostNotFound, Code::HostAmbiguous, Code::NoMatch, Code::NoLiveHost, Code::TooManyHosts];

const CREATING: &[Code] = &[
    Code::HostNotFound,
    Code::HostAmbiguous,
    Code::NoMatch,
    Code::NoLiveHost,
    Code::TooManyHosts,
    Code::OrderTooLarge,
    Code::TooManyJobs,
    Code::IdempotencyConflict,
    Code::IdempotencyExpired,
    Code::OutcomeUnknown,
    Code::StoreRolledBack,
];

const RETRYING: &[Code] = &[
    Code::JobNotFound,
    Code::JobDamaged,
    Code::JobUnfinished,
    Code::NothingToRetry,
    Code::HostNotFound,
    Code::NoLiveHost,
    Code::OrderTooLarge,
    Code::TooManyJobs,
    Code::IdempotencyConflict,
    Code::IdempotencyExpired,
    Code::OutcomeUnknown,
    Code::StoreRolledBack,
];

/// `POST /v1/node/{target}/command/exec`
#[derive(Debug)]
pub enum CommandExec {}
impl Endpoint for CommandExec {
    type Path = TargetPath;
    type Query = RunQuery;
    type Body = Exec;
    type Answer = JobResults;
    const INFO: Info = Info {
        id: "command_exec",
        method: Method::Post,
        path: "/v1/node/{target}/command/exec",
        access: Access::Permission(Permission::COMMAND_EXECUTE),
        summary: "Run a program with an argument list and no shell",
        creates_job: true,
        media: Media::Json,
        problems: CREATING,
    };
}

/// `POST /v1/node/{target}/command/shell`
#[derive(Debug)]
pub enum CommandShell {}
impl Endpoint for CommandShell {
    type Path = TargetPath;
    type Query = RunQuery;
    type Body = Shell;
    type Answer = JobResults;
    const INFO: Info = Info {
        id: "command_shell",
        method: Method::Post,
        path: "/v1/node/{target}/command/shell",
        access: Access::Permission(Permission::COMMAND_EXECUTE),
        summary: "Pass a string to /bin/sh -c",
        creates_job: true,
        media: Media::Json,
        problems: CREATING,
    };
}

/// `GET /v1/node/{target}`
#[derive(Debug)]
pub enum NodeGet {}
impl Endpoint for NodeGet {
    type Path = TargetPath;
    type Query = RunQuery;
    type Body = ();
    type Answer = JobResults;
    const INFO: Info = Info {
        id: "node_get",
        method: Method::Get,
        path: "/v1/node/{target}",
        access: Access::Permission(Permission::NODE_READ),
        summary: "Ask hosts for their facts: host name, system, kernel, architecture, uptime, memory",
        creates_job: true,
        media: Media::Json,
        problems: CREATING,
    };
}

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

/// `GET /v1/agents`
#[derive(Debug)]
pub enum AgentsList {}
impl Endpoint for AgentsList {
    type Path = ();
    type Query = ();
    type Body = ();
    type Answer = AgentList;
    const INFO: Info = Info {
        id: "agents_list",
        method: Method::Get,
        path: "/v1/agents",
        access: Access::Permission(Permission::AGENT_READ),
        summary: "List the registered agents and whether they can be given work",
        creates_job: false,
        media: Media::Json,
        problems: &[],
    };
}

/// `GET /v1/agents/{name}`
#[derive(Debug)]
pub enum AgentGet {}
impl Endpoint for AgentGet {
    type Path = AgentPath;
    type Query = ();
    type Body = ();
    type Answer = AgentInfo;
    const INFO: Info = Info {
        id: "agent_get",
        method: Method::Get,
        path: "/v1/agents/{name}",
        access: Access::Permission(Permission::AGENT_READ),
        summary: "Show one agent",
        creates_job: false,
        media: Media::Json,
        problems: &[Code::AgentNotFound],
    };
}

/// `GET /v1/targets/{target}`
#[derive(Debug)]
pub enum TargetGet {}
impl Endpoint for TargetGet {
    type Path = TargetPath;
    type Query = ();
    type Body = ();
    type Answer = TargetPreview;
    const INFO: Info = Info {
        id: "target_get",
        method: Method::Get,
        path: "/v1/targets/{target}",
        access: Access::Permission(Permission::AGENT_READ),
        summary: "Show which hosts a target means now, without making a job",
        creates_job: false,
        media: Media::Json,
        problems: RESOLVING,
    };
}

/// `DELETE /v1/agents/{name}`
#[derive(Debug)]
pub enum AgentDelete {}
impl Endpoint for AgentDelete {
    type Path = AgentPath;
    type Query = ();
    type Body = ();
    type Answer = ();
    const INFO: Info = Info {
        id: "agent_delete",
        method: Method::Delete,
        path: "/v1/agents/{name}",
        access: Access::Permission(Permission::AGENT_WRITE),
        summary: "Remove an agent: its key is refused for good, and its name is free for another",
        creates_job: false,
        media: Media::Json,
        problems: &[Code::AgentNotFound],
    };
}

/// `GET /v1/keys`
#[derive(Debug)]
pub enum KeysList {}
impl Endpoint for KeysList {
    type Path = ();
    type Query = ();
    type Body = ();
    type Answer = KeyList;
    const INFO: Info = Info {
        id: "keys_list",
        method: Method::Get,
        path: "/v1/keys",
        access: Access::Permission(Permission::HEALTH_READ),
        summary: "List the valid keys, and how many open jobs were ordered under each",
        creates_job: false,
        media: Media::Json,
        problems: &[],
    };
}

/// `POST /v1/keys`
#[derive(Debug)]
pub enum KeysPublish {}
impl Endpoint for KeysPublish {
    type Path = ();
    type Query = ();
    type Body = NewKeyRing;
    type Answer = KeyList;
    const INFO: Info = Info {
        id: "keys_publish",
        method: Method::Post,
        path: "/v1/keys",
        access: Access::Permission(Permission::KEY_WRITE),
        summary: "Publish a key ring that the root key signed: what it leaves out is valid no more, and open jobs that were ordered under it are cancelled",
        creates_job: false,
        media: Media::Json,
        problems: &[Code::KeyRingInvalid, Code::KeyRingConflict],
    };
}

/// `GET /health`
#[derive(Debug)]
pub enum HealthGet {}
impl Endpoint for HealthGet {
    type Path = ();
    type Query = ();
    type Body = ();
    type Answer = Health;
    const INFO: Info = Info {
        id: "health_get",
        method: Method::Get,
        path: "/health",
        access: Access::Open,
        summary: "Whether the process answers",
        creates_job: false,
        media: Media::Json,
        problems: &[],
    };
}

/// `GET /health/ready`
#[derive(Debug)]
pub enum HealthReady {}
impl Endpoint for HealthReady {
    type Path = ();
    type Query = ();
    type Body = ();
    type Answer = Ready;
    const INFO: Info = Info {
        id: "health_ready",
        method: Method::Get,
        path: "/health/ready",
        access: Access::Open,
        summary: "Whether the server takes requests",
        creates_job: false,
        media: Media::Json,
        problems: &[Code::NotReady],
    };
}

/// `GET /health/status`
#[derive(Debug)]
pub enum HealthDetails {}
impl Endpoint for HealthDetails {
    type Path = ();
    type Query = ();
    type Body = ();
    type Answer = HealthStatus;
    const INFO: Info = Info {
        id: "health_status",
        method: Method::Get,
        path: "/health/status",
        access: Access::Permission(Permission::HEALTH_READ),
        summary: "The health in detail: store, bus, agents, jobs",
        creates_job: false,
        media: Media::Json,
        problems: &[],
    };
}

/// `GET /metrics`
#[derive(Debug)]
pub enum MetricsGet {}
impl Endpoint for MetricsGet {
    type Path = ();
    type Query = ();
    type Body = ();
    type Answer = ();
    const INFO: Info = Info {
        id: "metrics_get",
        method: Method::Get,
        path: "/metrics",
        access: Access::Permission(Permission::HEALTH_READ),
        summary: "Figures about agents, jobs, reports, denials and the store, for Prometheus",
        creates_job: false,
        media: Media::OpenMetrics,
        problems: &[],
    };
}

/// `GET /openapi.json`
#[derive(Debug)]
pub enum OpenApi {}
impl Endpoint for OpenApi {
    type Path = ();
    type Query = ();
    type Body = ();
    type Answer = serde_json::Value;
    const INFO: Info = Info {
        id: "openapi",
        method: Method::Get,
        path: "/openapi.json",
        access: Access::Open,
        summary: "This contract as an OpenAPI 3.1 document",
        creates_job: false,
        media: Media::Json,
        problems: &[],
    };
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn endpoints_differ_and_declare_the_parameters_of_their_paths() {
        let (mut ids, mut routes) = (HashSet::new(), HashSet::new());
        for entry in table() {
            let Info { id, method, path, .. } = entry.info;
            assert!(ids.insert(id), "{id}");
            assert!(routes.insert((method.as_str(), path)), "{path}");
            let in_path: Vec<_> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let declared: Vec<_> = entry.path.iter().map(|param| param.name).collect();
            assert_eq!(in_path, declared, "{id}");
        }
    }
}
