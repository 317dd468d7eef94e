//! Endpoints about agents.

use osapi_core::api::endpoints::{AgentDelete, AgentGet, AgentsList};
use osapi_core::api::types::{AgentInfo, AgentList};
use osapi_core::auth::authorize::Permit;
use osapi_core::controller::Controller;

use super::Outcome;
use crate::answer::Answer;
use crate::handler::Call;

pub(super) async fn list(
    controller: Controller,
    permit: Permit,
    _: Call<AgentsList>,
) -> Outcome<AgentList> {
    Ok(Answer::Json(controller.agents(&permit).await?))
}

pub(super) async fn get(
    controller: Controller,
    permit: Permit,
    call: Call<AgentGet>,
) -> Outcome<AgentInfo> {
    Ok(Answer::Json(controller.agent(&permit, &call.path.name).await?))
}

pub(super) async fn delete(
    controller: Controller,
    permit: Permit,
    call: Call<AgentDelete>,
) -> Outcome<()> {
    controller.remove_agent(&permit, &call.path.name).await?;
    Ok(Answer::Done)
}
