//! The registered agents.

use osapi_core::api::endpoints::{AgentGet, AgentsList};
use osapi_core::api::params::AgentPath;
use osapi_core::api::types::{AgentInfo, AgentList};
use osapi_core::id::AgentName;

use crate::client::Client;
use crate::error::Error;

/// The registered agents. Made by [`Client::agents`].
#[derive(Debug, Clone)]
pub struct Agents {
    client: Client,
}

impl Agents {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Every agent, by name.
    ///
    /// # Errors
    /// When the token lacks `agent:read`, or the server cannot be asked.
    pub async fn list(&self) -> Result<AgentList, Error> {
        self.client.call::<AgentsList>(&(), &(), &()).await
    }

    /// One agent.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is none of that name; when the token lacks `agent:read`, or the
    /// server cannot be asked.
    pub async fn get(&self, name: &AgentName) -> Result<AgentInfo, Error> {
        self.client.call::<AgentGet>(&AgentPath { name: name.clone() }, &(), &()).await
    }
}
