//! Making a job and learning its outcome: what a command and a retry have in common.

use std::time::Duration;

use osapi_core::api::params::RunQuery;
use osapi_core::api::types::JobResults;
use osapi_core::job::QueueFor;
use osapi_core::job::limits::{
    ANSWER_GRACE, CONNECTED_MIN, KILL_GRACE, QUEUE_FOR_MAX, START_DEADLINE,
};

use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::job::{self, Job};
use crate::outcome::JobOutcome;
use crate::request::Outgoing;

/// A job that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Making {
    client: Client,
    key: Option<String>,
    queue_for: Option<Duration>,
}

/// When the server is to answer that a job was made.
#[derive(Debug, Clone, Copy)]
enum Answer {
    AtOnce,
    /// Once every host is settled, or after this time.
    Within(Duration),
}

impl Making {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, key: None, queue_for: None }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn under(self, key: String) -> Self {
        Self { key: Some(key), ..self }
    }

    pub(crate) fn waiting_for_hosts(self, time: Duration) -> Self {
        Self { queue_for: Some(time), ..self }
    }

    /// Makes the job of `request` and waits until every host is settled, at most for as long as the server may need for an operation
    /// with this timeout.
    pub(crate) async fn send(
        self,
        timeout: Duration,
        request: impl FnOnce(RunQuery) -> Result<Outgoing, Error>,
    ) -> Result<JobOutcome, Error> {
        let limit = self.longest(timeout);
        let first_wait = self.client.settings().first_wait;
        let results = self.create(Answer::Within(first_wait), request).await?;
        if results.status.is_settled() {
            return Ok(JobOutcome::new(results));
        }
        let job = Job::new(self.client, results.job_id);
        let outcome = job.wait_for(limit).await?;
        if outcome.is_settled() {
            return Ok(outcome);
        }
        let what = format!(
            "job {} was not settled within {} s; it can still be waited for",
            results.job_id,
            limit.as_secs()
        );
        Err(Error::new(ErrorKind::Timeout, what).about(results.job_id))
    }

    /// Makes the job of `request` and returns at once.
    pub(crate) async fn submit(
        self,
        request: impl FnOnce(RunQuery) -> Result<Outgoing, Error>,
    ) -> Result<Job, Error> {
        let results = self.create(Answer::AtOnce, request).await?;
        Ok(Job::new(self.client, results.job_id))
    }

    /// The longest that a server may need to be sure of every host, counted from when the job is known: it may start at the last moment,
    /// run to its timeout, take its grace to end, and its report may be lost; and a server that was restarted first has to be connected
    /// for a while. Beyond that, one exchange.
    fn longest(&self, timeout: Duration) -> Duration {
        let server = self.start_within() + timeout + KILL_GRACE + ANSWER_GRACE + CONNECTED_MIN;
        server.saturating_add(self.client.settings().timeout)
    }

    /// From the request to the moment after which nothing of it starts.
    fn start_within(&self) -> Duration {
        self.queue_for.map_or(START_DEADLINE, |time| time.min(QUEUE_FOR_MAX))
    }

    /// Makes the job. An attempt that begins after the start deadline could make a job that runs later than the caller has to expect,
    /// so there is none.
    async fn create(
        &self,
        answer: Answer,
        request: impl FnOnce(RunQuery) -> Result<Outgoing, Error>,
    ) -> Result<JobResults, Error> {
        let queue_for = self.queue_for.map(QueueFor::try_from).transpose()?;
        let wait = match answer {
            Answer::AtOnce => None,
            Answer::Within(wait) => Some(job::whole_seconds(wait)),
        };
        let outgoing = request(RunQuery { wait, queue_for })?;
        let outgoing = match &self.key {
            Some(key) => outgoing.key(key)?,
            None => outgoing,
        };
        let outgoing = match answer {
            Answer::AtOnce => outgoing.respond_async(),
            Answer::Within(wait) => outgoing.waiting(wait),
        };
        let budget = self.client.settings().retry_for.min(self.start_within());
        let reply = self.client.deliver_within(&outgoing, budget).await?;
        reply.decode(&outgoing.place)
    }
}
