//! The server that is asked: its health, its figures, its contract.

use crate::api::endpoint::{Access, Endpoint, Info, Media, Method};
use crate::api::problem::Code;
use crate::api::types::{Health, HealthStatus, Ready};
use crate::auth::permission::Permission;

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
