//! Endpoints about keys.

use osapi_core::api::endpoints::{KeysList, KeysPublish};
use osapi_core::api::types::KeyList;
use osapi_core::auth::authorize::Permit;
use osapi_core::auth::envelope::Signed;
use osapi_core::controller::Controller;

use super::Outcome;
use crate::answer::Answer;
use crate::handler::Call;

pub(super) async fn list(
    controller: Controller,
    permit: Permit,
    _: Call<KeysList>,
) -> Outcome<KeyList> {
    Ok(Answer::Json(controller.keys(&permit).await?))
}

pub(super) async fn publish(
    controller: Controller,
    permit: Permit,
    call: Call<KeysPublish>,
) -> Outcome<KeyList> {
    let ring = Signed::from_text(call.body.ring);
    Ok(Answer::Json(controller.publish_ring(&permit, ring).await?))
}
