//! Doing again what a settled job did, on those of its hosts that are to be tried again: a job of its own.

use std::collections::HashSet;

use super::error::Error;
use super::orders::{self, Unusable};
use super::records;
use super::reservation;
use super::submit::{Idempotency, Submission};
use super::{Controller, Shared};
use crate::auth::authorize::Permit;
use crate::backend::{Bucket, StoreError};
use crate::clock::Timestamp;
use crate::id::{AgentName, JobId};
use crate::job::{Operation, QueueFor, RetryHosts, Target};

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
    /// Without the permission of the operation; when there is no such job, it is not settled, nothing of it is to be tried again, or its
    /// order does not verify any more; when one of the hosts is no longer registered; and as for [`Controller::submit`].
    pub async fn retry(&self, permit: &Permit, retry: RetrySubmission) -> Result<JobId, Error> {
        let RetrySubmission { job, hosts, arrived_at, queue_for, idempotency } = retry;
        self.check_ready()?;
        // Before anything is asked of the first job, which may be gone by now.
        if let Some(idempotency) = &idempotency
            && let Some(made) = reservation::made(&self.shared, permit, idempotency).await?
        {
            return Ok(made);
        }
        self.find(job).await?;
        let facts = self
            .shared
            .ask(move |state| state.index.get(job).map(|tracked| tracked.view.facts().clone()));
        let facts = facts.await?.ok_or(Error::JobNotFound(job))?;
        permit.require(&facts.permission)?;
        let Ordered { operation, target, listed } = self.ordered(job).await?;
        permit.require(&operation.permission())?;
        let names = self.to_retry(job, hosts, listed).await;
        let names = names.map(|names| (target != Target::Any).then_some(names));
        let submission = Submission { operation, target, arrived_at, queue_for, idempotency };
        self.make(permit, submission, Some(job), names).await
    }

    /// What was ordered, by the word of the order: a record alone is nobody's word, and its operation is about to be signed.
    async fn ordered(&self, job: JobId) -> Result<Ordered, Error> {
        let shared = &*self.shared;
        // The ring under which it was ordered may be a new one.
        self.read_up(Bucket::Keyrings).await?;
        match ordered(shared, job).await {
            Ok(ordered) => ordered.ok_or(Error::JobNotFound(job)),
            Err(Unusable::OtherKey) => Err(Error::JobKeyNotValid(job)),
            Err(Unusable::Store(err)) => Err(orders::unfit(shared, job, err).await),
        }
    }

    /// The hosts of a settled job that are to be tried again.
    async fn to_retry(
        &self,
        job: JobId,
        hosts: RetryHosts,
        listed: HashSet<AgentName>,
    ) -> Result<Vec<AgentName>, Error> {
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
        match names.iter().all(|name| listed.contains(name)) {
            true if names.is_empty() => Err(Error::NothingToRetry(job)),
            true => Ok(names),
            false => {
                let err = StoreError::Damaged("the host list was another one before".into());
                Err(orders::unfit(&self.shared, job, err).await)
            }
        }
    }
}

/// What was signed of a job, as far as a retry repeats it.
struct Ordered {
    operation: Operation,
    target: Target,
    /// All its hosts.
    listed: HashSet<AgentName>,
}

async fn ordered(shared: &Shared, job: JobId) -> Result<Option<Ordered>, Unusable> {
    let Some(record) = records::load_job(&*shared.store, job).await? else { return Ok(None) };
    let (_, order) = orders::signed(shared, &record).await?;
    let hosts = records::load_hosts(&*shared.store, job, &record.hosts).await?;
    orders::check_hosts(shared.fleet, &order, &hosts)?;
    let target = record.target.parse().map_err(|err| StoreError::Damaged(Box::new(err)))?;
    let listed = hosts.into_iter().map(|host| host.identity.name).collect();
    Ok(Some(Ordered { operation: order.operation, target, listed }))
}
