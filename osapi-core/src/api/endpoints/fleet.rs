//! Who belongs to the fleet: agents, what targets mean among them, and keys.

use crate::api::endpoint::{Access, Endpoint, Info, Media, Method};
use crate::api::params::{AgentPath, TargetPath};
use crate::api::problem::Code;
use crate::api::types::{AgentInfo, AgentList, KeyList, NewKeyRing, TargetPreview};
use crate::auth::permission::Permission;

const RESOLVING: &[Code] =
    &[Code::HostNotFound, Code::HostAmbiguous, Code::NoMatch, Code::NoLiveHost, Code::TooManyHosts];

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
