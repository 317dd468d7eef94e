//! What a target means, without running anything.

use osapi_core::api::endpoints::TargetGet;
use osapi_core::api::params::TargetPath;
use osapi_core::api::types::TargetPreview;
use osapi_core::job::Target;
use osapi_core::job::target::InvalidTarget;

use crate::client::Client;
use crate::error::Error;

/// The hosts that a target means, to look at. Made by [`Client::target`].
#[derive(Debug, Clone)]
#[must_use = "nothing is asked yet"]
pub struct Hosts {
    client: Client,
    target: Result<Target, InvalidTarget>,
}

impl Hosts {
    pub(crate) fn new(client: Client, target: Result<Target, InvalidTarget>) -> Self {
        Self { client, target }
    }

    /// Which hosts a job for the target would be meant for if it were made now, and which of them are live. No job is made.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) when the text is no target, or means several hosts where one is
    /// named; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when it means no host; when the token lacks `agent:read`, or the
    /// server cannot be asked.
    pub async fn preview(self) -> Result<TargetPreview, Error> {
        let target = self.target?;
        self.client.call::<TargetGet>(&TargetPath { target }, &(), &()).await
    }
}
