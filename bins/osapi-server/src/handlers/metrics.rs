//! The endpoint that gives figures.

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use osapi_core::api::Endpoint as _;
use osapi_core::api::endpoints::MetricsGet;
use osapi_core::auth::authorize::Permit;
use osapi_core::controller::Controller;

use super::Outcome;
use crate::answer::{Answer, whole};
use crate::failure::Failure;
use crate::handler::Call;
use crate::metrics;

pub(super) async fn get(
    controller: Controller,
    permit: Permit,
    _: Call<MetricsGet>,
) -> Outcome<()> {
    let figures = controller.figures(&permit).await?;
    let text = metrics::text(figures).map_err(Failure::internal)?;
    let mut response = Response::new(whole(text.into()));
    let media = HeaderValue::from_static(MetricsGet::INFO.media.as_str());
    response.headers_mut().insert(CONTENT_TYPE, media);
    Ok(Answer::Bytes(response))
}
