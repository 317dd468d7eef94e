//! Doing something on hosts.

use crate::api::endpoint::{Access, Endpoint, Info, Media, Method};
use crate::api::params::{RunQuery, TargetPath};
use crate::api::problem::Code;
use crate::api::types::JobResults;
use crate::auth::permission::Permission;
use crate::job::{Exec, Shell};

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
    Code::IdempotencyDamaged,
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
