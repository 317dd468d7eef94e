//! The jobs that the server keeps.

use osapi_core::api::endpoints::JobsList;
use osapi_core::api::params::JobsQuery;
use osapi_core::api::types::{CancelAnswer, JobDetails, JobList};
use osapi_core::id::JobId;

use crate::client::Client;
use crate::error::Error;
use crate::job::Job;

/// The jobs that the server keeps. Made by [`Client::jobs`].
#[derive(Debug, Clone)]
pub struct Jobs {
    client: Client,
}

impl Jobs {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// One page of the jobs that `query` selects, newest first.
    ///
    /// # Errors
    /// When a filter is outside its bounds, the token lacks `job:read`, or the server cannot be asked.
    pub async fn list(&self, query: JobsQuery) -> Result<JobList, Error> {
        self.client.call::<JobsList>(&(), &query, &()).await
    }

    /// The jobs that `query` selects, newest first, page by page from its cursor on.
    #[must_use]
    pub fn pages(&self, query: JobsQuery) -> Pages {
        Pages { jobs: self.clone(), next: Some(query) }
    }

    /// All about one job.
    ///
    /// # Errors
    /// As for [`Job::details`].
    pub async fn get(&self, id: JobId) -> Result<JobDetails, Error> {
        self.job(id).details().await
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// As for [`Job::cancel`].
    pub async fn cancel(&self, id: JobId) -> Result<CancelAnswer, Error> {
        self.job(id).cancel().await
    }

    /// Removes a settled job.
    ///
    /// # Errors
    /// As for [`Job::delete`].
    pub async fn delete(&self, id: JobId) -> Result<(), Error> {
        self.job(id).delete().await
    }

    fn job(&self, id: JobId) -> Job {
        Job::new(self.client.clone(), id)
    }
}

/// Pages of jobs, made by [`Jobs::pages`].
#[derive(Debug, Clone)]
pub struct Pages {
    jobs: Jobs,
    /// What to ask for next; `None` after the last page.
    next: Option<JobsQuery>,
}

impl Pages {
    /// The next page; `None` after the last one. After an error the same page is asked for again.
    ///
    /// # Errors
    /// As for [`Jobs::list`].
    pub async fn next(&mut self) -> Result<Option<JobList>, Error> {
        let Some(query) = &self.next else { return Ok(None) };
        let page = self.jobs.list(query.clone()).await?;
        self.next = page.next.map(|cursor| JobsQuery { cursor: Some(cursor), ..query.clone() });
        Ok(Some(page))
    }
}
