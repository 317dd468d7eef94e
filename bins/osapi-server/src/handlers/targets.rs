//! The endpoint about targets.

use osapi_core::api::endpoints::TargetGet;
use osapi_core::api::types::TargetPreview;
use osapi_core::auth::authorize::Permit;
use osapi_core::controller::Controller;

use super::Outcome;
use crate::answer::Answer;
use crate::handler::Call;

pub(super) async fn get(
    controller: Controller,
    permit: Permit,
    call: Call<TargetGet>,
) -> Outcome<TargetPreview> {
    Ok(Answer::Json(controller.preview(&permit, &call.path.target).await?))
}
