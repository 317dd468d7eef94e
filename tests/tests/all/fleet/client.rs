//! What somebody sees who asks for all jobs.

use osapi_core::api::params::JobsQuery;
use osapi_core::controller::Controller;
use osapi_core::id::JobId;

use super::world::me;

/// Every job that there is.
pub(super) async fn jobs(controller: &Controller) -> Vec<JobId> {
    let (mut jobs, mut cursor) = (Vec::new(), None);
    loop {
        let query = JobsQuery { limit: Some(JobsQuery::LIMIT_MAX), cursor, ..JobsQuery::default() };
        let page = controller.list(&me(), query).await.unwrap();
        jobs.extend(page.jobs.iter().map(|job| job.job_id));
        match page.next {
            Some(next) => cursor = Some(next),
            None => return jobs,
        }
    }
}
