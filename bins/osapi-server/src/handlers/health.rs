//! Endpoints about the server itself.

use osapi_core::api::endpoints::{HealthDetails, HealthGet, HealthReady};
use osapi_core::api::types::{Health, HealthStatus, Ready};
use osapi_core::auth::authorize::Permit;
use osapi_core::controller::Controller;

use super::Outcome;
use crate::answer::Answer;
use crate::handler::Call;

pub(super) async fn get(_: Controller, _: Call<HealthGet>) -> Outcome<Health> {
    Ok(Answer::Json(Health { status: "ok".into() }))
}

pub(super) async fn ready(controller: Controller, _: Call<HealthReady>) -> Outcome<Ready> {
    controller.check_ready()?;
    Ok(Answer::Json(Ready { status: "ready".into() }))
}

pub(super) async fn status(
    controller: Controller,
    permit: Permit,
    _: Call<HealthDetails>,
) -> Outcome<HealthStatus> {
    Ok(Answer::Json(controller.health(&permit).await?))
}
