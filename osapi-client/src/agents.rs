//! The registered agents.

use osapi_core::api::endpoints::{AgentDelete, AgentGet, AgentsList};
use osapi_core::api::params::AgentPath;
use osapi_core::api::types::{AgentInfo, AgentList};
use osapi_core::id::AgentName;

use crate::client::Client;
use crate::error::{Error, ErrorKind};

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

    /// Removes an agent: its key is refused for good, and its name is free for another.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is none of that name; when the token lacks `agent:write`, or the
    /// server cannot be asked.
    pub async fn remove(&self, name: &AgentName) -> Result<(), Error> {
        let path = AgentPath { name: name.clone() };
        match self.client.call::<AgentDelete>(&path, &(), &()).await {
            // An attempt whose answer was lost has removed it.
            Err(err) if err.kind() == ErrorKind::NotFound && err.is_in_doubt() => Ok(()),
            answer => answer,
        }
    }
}
