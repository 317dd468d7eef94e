//! Trying a job again.

use std::time::Duration;

use osapi_core::api::endpoints::JobRetry;
use osapi_core::api::params::{JobPath, RunQuery};
use osapi_core::api::types;
use osapi_core::id::JobId;
use osapi_core::job::RetryHosts;
use osapi_core::job::limits::TIMEOUT_MAX_S;

use crate::client::Client;
use crate::error::Error;
use crate::job::Job;
use crate::making::Making;
use crate::outcome::JobOutcome;
use crate::request::Outgoing;

/// A retry of a settled job: a new job that does the same, by default on those of its hosts where it certainly did not succeed. Made by
/// [`Job::retry`].
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `send` or `submit`"]
pub struct Retry {
    making: Making,
    job: JobId,
    hosts: RetryHosts,
}

impl Retry {
    pub(crate) fn new(client: Client, job: JobId) -> Self {
        Self { making: Making::new(client), job, hosts: RetryHosts::default() }
    }

    /// On these of its hosts.
    pub fn hosts(self, hosts: RetryHosts) -> Self {
        Self { hosts, ..self }
    }

    /// As for [`Command::idempotency_key`](crate::Command::idempotency_key).
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        Self { making: self.making.under(key.into()), ..self }
    }

    /// As for [`Command::queue_for`](crate::Command::queue_for).
    pub fn queue_for(self, time: Duration) -> Self {
        Self { making: self.making.waiting_for_hosts(time), ..self }
    }

    /// Makes the job and waits until every host is settled.
    ///
    /// # Cancel safety
    /// Dropping the future ends the waiting, not the job.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when the job is not settled yet, or none of its hosts is to be tried again;
    /// and as for [`Command::send`](crate::Command::send).
    pub async fn send(self) -> Result<JobOutcome, Error> {
        let Self { making, job, hosts } = self;
        let client = making.client().clone();
        // What the job does is not known here.
        let timeout = Duration::from_secs(TIMEOUT_MAX_S.into());
        making.send(timeout, |query| request(&client, job, hosts, &query)).await
    }

    /// Makes the job and returns at once.
    ///
    /// # Errors
    /// As for [`Retry::send`], and as for [`Command::submit`](crate::Command::submit).
    pub async fn submit(self) -> Result<Job, Error> {
        let Self { making, job, hosts } = self;
        let client = making.client().clone();
        making.submit(|query| request(&client, job, hosts, &query)).await
    }
}

fn request(
    client: &Client,
    job: JobId,
    hosts: RetryHosts,
    query: &RunQuery,
) -> Result<Outgoing, Error> {
    client.request::<JobRetry>(&JobPath { id: job }, query, &types::Retry { hosts })
}
