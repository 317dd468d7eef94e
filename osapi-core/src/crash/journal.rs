//! A journal that crashes before or after the sync of a step.

use std::sync::Arc;

use async_trait::async_trait;

use super::point::{Place, Side};
use super::trap::pass;
use crate::agent::journal::{Change, Ended, Header, Journal, JournalError, Record, Stage};
use crate::auth::envelope::Signed;
use crate::id::JobId;
use crate::job::Report;

pub(super) struct CrashingJournal {
    inner: Arc<dyn Journal>,
}

impl CrashingJournal {
    pub(super) fn new(inner: Arc<dyn Journal>) -> Self {
        Self { inner }
    }
}

/// The steps that a commit takes, each with the job that takes it.
fn steps(changes: &[Change]) -> Vec<(Place, Option<JobId>)> {
    let is_barred = |job: &JobId| {
        changes.iter().any(|change| {
            matches!(change, Change::Put(other, Record { body: None, .. }) if other == job)
        })
    };
    let step = |change: &Change| match change {
        Change::Put(job, Record { stage, .. }) => {
            let place = match stage {
                Stage::Accepted { .. } => Place::Accepted,
                Stage::Starting => Place::Starting,
                Stage::Running { .. } => Place::Running,
                Stage::Ended(Ended { keep_until: Some(_), .. }) => Place::Acknowledged,
                // It is told by its report.
                Stage::Ended(Ended { keep_until: None, .. }) => return None,
                Stage::Closed => Place::Closed,
            };
            Some((place, Some(*job)))
        }
        Change::Report(job, _) if is_barred(job) => Some((Place::Barred, Some(*job))),
        Change::Report(job, _) => Some((Place::Outcome, Some(*job))),
        Change::Forget(job) => Some((Place::Forgotten, Some(*job))),
        Change::Ring(_) => Some((Place::RingSeen, None)),
        Change::HighestIat(_) | Change::ForgotUntil(_) | Change::Seen(_) => None,
    };
    changes.iter().filter_map(step).collect()
}

#[async_trait]
impl Journal for CrashingJournal {
    fn header(&self) -> Header {
        self.inner.header()
    }

    async fn entries(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        self.inner.entries().await
    }

    async fn report(&self, job: JobId) -> Result<Option<Signed<Report>>, JournalError> {
        self.inner.report(job).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), JournalError> {
        let steps = steps(&changes);
        steps.iter().for_each(|(place, job)| pass(*place, Side::Before, *job));
        self.inner.commit(changes).await?;
        steps.iter().for_each(|(place, job)| pass(*place, Side::After, *job));
        Ok(())
    }

    async fn reopen(&self) -> Result<Vec<(JobId, Record)>, JournalError> {
        self.inner.reopen().await
    }
}
