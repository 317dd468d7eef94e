//! The keys of the fleet.

use osapi_core::api::endpoints::{KeysList, KeysPublish};
use osapi_core::api::types::{KeyList, NewKeyRing};

use crate::client::Client;
use crate::error::Error;

/// The keys of the fleet. Made by [`Client::keys`].
#[derive(Debug, Clone)]
pub struct Keys {
    client: Client,
}

impl Keys {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The valid keys, and how many open jobs were ordered under each.
    ///
    /// # Errors
    /// When the token lacks `health:read`, or the server cannot be asked.
    pub async fn list(&self) -> Result<KeyList, Error> {
        self.client.call::<KeysList>(&(), &(), &()).await
    }

    /// Publishes a ring that the root key signed. The same ring may be published again.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when another ring came first; when the ring is not taken, the token lacks
    /// `key:write`, or the server cannot be asked.
    pub async fn publish(&self, ring: &str) -> Result<KeyList, Error> {
        self.client.call::<KeysPublish>(&(), &(), &NewKeyRing { ring: ring.to_owned() }).await
    }
}
