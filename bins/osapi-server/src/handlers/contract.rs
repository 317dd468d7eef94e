//! The endpoint that serves the contract itself.

use std::sync::LazyLock;

use osapi_core::api::endpoints::{OpenApi, table};
use osapi_core::api::openapi::document;
use osapi_core::controller::Controller;
use serde_json::Value;

use super::Outcome;
use crate::answer::Answer;
use crate::handler::Call;

/// It depends on the build alone.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(&table()));

pub(super) async fn get(_: Controller, _: Call<OpenApi>) -> Outcome<Value> {
    Ok(Answer::Json(DOCUMENT.clone()))
}
