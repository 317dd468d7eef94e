//! Doing again what a settled job did, on those of its hosts that are to be tried again: a job of its own.

use super::Controller;
use super::error::Error;
use super::records;
use super::submit::{Idempotency, Submission};
use crate::auth::authorize::Permit;
use crate::backend::{Bucket, Key, StoreError};
use crate::clock::Timestamp;
use crate::id::{AgentName, JobId};
use crate::job::{JobRecord, QueueFor, RetryHosts, Target};

/// What a client asks to be tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySubmission {
    /// The job that is tried again.
    pub job: JobId,
    /// On which of its hosts.
    pub hosts: RetryHosts,
    /// When the request first arrived.
    pub arrived_at: Timestamp,
    /// How long hosts that are down are waited for; without it, silent hosts are left out. Not with `_any`.
    pub queue_for: Option<QueueFor>,
    /// Makes the request safe to repeat.
    pub idempotency: Option<Idempotency>,
}

impl Controller {
    /// Makes a job that does what another one did, on the hosts that are to be tried again, whoever has those names now. A job for
    /// `_any` is offered anew.
    ///
    /// # Errors
    /// Without the permission of the operation; when there is no such job, it is not settled, or nothing of it is to be tried again; when
    /// one of the hosts is no longer registered; and as for [`Controller::submit`].
    pub async fn retry(&self, permit: &Permit, retry: RetrySubmission) -> Result<JobId, Error> {
        let RetrySubmission { job, hosts, arrived_at, queue_for, idempotency } = retry;
        self.find(job).await?;
        let facts = self
            .shared
            .ask(move |state| state.index.get(job).map(|tracked| tracked.view.facts().clone()));
        let facts = facts.await?.ok_or(Error::JobNotFound(job))?;
        permit.require(&facts.permission)?;
        let entry = records::read(&*self.shared.store, Bucket::Jobs, &Key::of(&[&job])).await?;
        let JobRecord { operation, target, .. } =
            records::decode(&entry.ok_or(Error::JobNotFound(job))?)?;
        let target: Target =
            target.parse().map_err(|err| Error::Store(StoreError::Damaged(Box::new(err))))?;
        let names = self.to_retry(job, hosts).await;
        let names = names.map(|names| (target != Target::Any).then_some(names));
        let submission = Submission { operation, target, arrived_at, queue_for, idempotency };
        self.make(permit, submission, Some(job), names).await
    }

    /// The hosts of a settled job that are to be tried again.
    async fn to_retry(&self, job: JobId, hosts: RetryHosts) -> Result<Vec<AgentName>, Error> {
        let names = self.shared.ask(move |state| {
            let tracked = state.index.get(job).ok_or(Error::JobNotFound(job))?;
            if let Some(reason) = &tracked.damaged {
                return Err(Error::JobDamaged { job, reason: reason.to_string() });
            }
            if !tracked.view.is_settled() {
                return Err(Error::JobUnfinished(job));
            }
            let rows = tracked.view.rows().filter(|row| hosts.takes(row.state));
            Ok(rows.map(|row| row.identity.name.clone()).collect::<Vec<_>>())
        });
        let names = names.await??;
        if names.is_empty() { Err(Error::NothingToRetry(job)) } else { Ok(names) }
    }
}
