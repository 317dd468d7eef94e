//! A job that exists.

use std::time::Duration;

use osapi_core::api::endpoints::{JobCancel, JobDelete, JobGet};
use osapi_core::api::params::{FollowQuery, JobPath, WaitQuery};
use osapi_core::api::types::{CancelAnswer, JobDetails, JobResults};
use osapi_core::id::{AgentName, JobId};
use osapi_core::job::JobStatus;
use osapi_core::job::report::Stream;
use tokio::time::{Instant, sleep};

use crate::again::Retry;
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::outcome::JobOutcome;
use crate::output::OutputReader;

/// A job that exists. Dropping the handle changes nothing about the job.
#[derive(Debug, Clone)]
pub struct Job {
    client: Client,
    id: JobId,
}

impl Job {
    pub(crate) fn new(client: Client, id: JobId) -> Self {
        Self { client, id }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Waits until every host is settled, which the server promises to come. It gives up when the server cannot be asked for as long
    /// as [`Builder::retry_for`](crate::Builder::retry_for) says.
    ///
    /// # Cancel safety
    /// Dropping the future ends the waiting, not the job.
    ///
    /// # Errors
    /// When there is no such job, it may not be seen, or the server cannot be asked.
    pub async fn wait(&self) -> Result<JobOutcome, Error> {
        self.follow(None).await
    }

    /// Waits until every host is settled, or until `limit` has run out: [`JobOutcome::is_settled`] tells which.
    ///
    /// # Cancel safety
    /// Dropping the future ends the waiting, not the job.
    ///
    /// # Errors
    /// As for [`Job::wait`].
    pub async fn wait_for(&self, limit: Duration) -> Result<JobOutcome, Error> {
        self.follow(Some(limit)).await
    }

    /// Where the whole job stands now.
    ///
    /// # Errors
    /// As for [`Job::wait`].
    pub async fn status(&self) -> Result<JobStatus, Error> {
        Ok(self.details().await?.summary.status)
    }

    /// All about the job, now: what it does, its timeline, one row per host.
    ///
    /// # Errors
    /// As for [`Job::wait`].
    pub async fn details(&self) -> Result<JobDetails, Error> {
        self.look(Duration::ZERO).await
    }

    /// Cancels it: what has not started never starts, what runs is ended, what has ended keeps its outcome.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when it is settled already; when there is no such job, it may not be cancelled, or the server cannot be
    /// asked.
    pub async fn cancel(&self) -> Result<CancelAnswer, Error> {
        self.client
            .call::<JobCancel>(&self.path(), &(), &())
            .await
            .map_err(|err| err.about(self.id))
    }

    /// A retry: a new job that does the same on those of its hosts where it did not succeed.
    pub fn retry(&self) -> Retry {
        Retry::new(self.client.clone(), self.id)
    }

    /// Removes it and everything that is kept of it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when it is not settled yet; when there is no such job, it may not be removed, or the server cannot be
    /// asked.
    pub async fn delete(&self) -> Result<(), Error> {
        match self.client.call::<JobDelete>(&self.path(), &(), &()).await {
            // An attempt whose answer was lost has removed it.
            Err(err) if err.kind() == ErrorKind::NotFound && err.is_in_doubt() => Ok(()),
            answer => answer.map_err(|err| err.about(self.id)),
        }
    }

    /// All that was kept of one output stream of one host, in pieces.
    #[must_use]
    pub fn output(&self, host: &AgentName, stream: Stream) -> OutputReader {
        self.client.output(self.id, host, stream)
    }

    fn path(&self) -> JobPath {
        JobPath { id: self.id }
    }

    /// Asks again and again, the server waiting each time, so that a connection that broke or went silent costs a slice and no more.
    async fn follow(&self, limit: Option<Duration>) -> Result<JobOutcome, Error> {
        let settings = self.client.settings();
        let begun = Instant::now();
        loop {
            let asked = Instant::now();
            let left = limit.map(|limit| limit.saturating_sub(begun.elapsed()));
            let details = self.look(left.unwrap_or(Duration::MAX).min(settings.next_wait)).await?;
            let JobDetails { summary, results, .. } = details;
            if summary.status.is_settled() || left.is_some_and(|left| left.is_zero()) {
                let (job_id, status) = (summary.job_id, summary.status);
                return Ok(JobOutcome::new(JobResults { job_id, status, results }));
            }
            let pause = settings.look_every.saturating_sub(asked.elapsed());
            sleep(limit.map_or(pause, |limit| pause.min(limit.saturating_sub(begun.elapsed()))))
                .await;
        }
    }

    /// The job as it is once every host is settled, or after `wait`, of which whole seconds count.
    async fn look(&self, wait: Duration) -> Result<JobDetails, Error> {
        let seconds = whole_seconds(wait);
        let query = FollowQuery { wait: (seconds > 0).then_some(seconds) };
        let outgoing = self.client.request::<JobGet>(&self.path(), &query, &())?;
        let outgoing = outgoing.waiting(Duration::from_secs(seconds.into()));
        let reply = self.client.deliver(&outgoing).await;
        let details = reply.and_then(|reply| reply.decode(&outgoing.place));
        details.map_err(|err| err.about(self.id))
    }
}

/// What the server can be asked to wait: whole seconds, and not longer than it does.
pub(crate) fn whole_seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).min(WaitQuery::MAX)
}
