//! Cancelling a job: a signed record that is created once, and sent like an order.

use super::error::Error;
use super::orders::{self, Unusable};
use super::records::{self, CancelRecord};
use super::state::From;
use super::{Controller, Shared};
use crate::api::types::CancelAnswer;
use crate::auth::authorize::Permit;
use crate::auth::envelope::Signed;
use crate::auth::permission::Permission;
use crate::backend::{Bucket, Key, StoreError};
use crate::clock::Timestamp;
use crate::id::{JobId, KeyId};
use crate::job::facts::JobFacts;
use crate::job::limits::QUEUE_FOR_MAX;
use crate::job::record::{Submitter, VERSION};
use crate::message::CancelOrder;

impl Controller {
    /// Cancels a job: what has not started never starts, what runs is ended, what has ended keeps its outcome. Cancelling again changes
    /// nothing.
    ///
    /// # Errors
    /// Without the permission of the job's operation, or without `job:write` for the job of another; when there is no such job; when
    /// nothing of it can be cancelled any more; when the store fails.
    pub async fn cancel(&self, permit: &Permit, job: JobId) -> Result<CancelAnswer, Error> {
        let shared = &*self.shared;
        self.find(job).await?;
        let (facts, is_final, requested) = shared
            .ask(move |state| {
                let view = &state.index.get(job)?.view;
                Some((view.facts().clone(), view.is_final(), view.cancel_requested_at().is_some()))
            })
            .await?
            .ok_or(Error::JobNotFound(job))?;
        permit.require(&facts.permission)?;
        if *facts.subject != *permit.subject() {
            permit.require(&Permission::JOB_WRITE)?;
        }
        if is_final && !requested {
            return Err(Error::JobSettled(job));
        }
        if !requested {
            record(shared, permit.submitter(), &facts).await?;
        }
        let status = shared
            .ask(move |state| state.index.get(job).map(|tracked| tracked.view.status()))
            .await?;
        Ok(CancelAnswer { job_id: job, status: status.ok_or(Error::JobNotFound(job))? })
    }
}

/// Cancels a job because the key under which it was ordered was retired.
pub(super) async fn bar(shared: &Shared, facts: &JobFacts, key: &KeyId) -> Result<(), Error> {
    let by = Submitter {
        subject: "osapi:key-retired".into(),
        token_id: key.to_string(),
        roles: Vec::new(),
    };
    record(shared, by, facts).await
}

async fn record(shared: &Shared, by: Submitter, facts: &JobFacts) -> Result<(), Error> {
    let (job, at) = (facts.job, shared.clock.wall());
    let not_after = last_start(shared, facts).await?;
    let order = CancelOrder { v: VERSION, fleet: shared.fleet, job, not_after, by, at };
    let cancel = Signed::sign(&order, &shared.job_key())
        .map_err(|err| Error::Store(StoreError::Damaged(Box::new(err))))?;
    let record = CancelRecord { v: VERSION, cancel, at };
    let key = Key::of(&[&job]);
    let stored = match shared.store.create(Bucket::Cancels, &key, records::encode(&record)).await {
        Ok(_) => record,
        // Somebody was faster, or it was written and the answer was lost: the first one stands.
        Err(source @ (StoreError::Exists | StoreError::Unknown(_))) => {
            let entry = shared.store.get_latest(Bucket::Cancels, &key).await?;
            records::decode(&entry.ok_or(Error::OutcomeUnknown { job, source })?)?
        }
        Err(err) => return Err(err.into()),
    };
    shared.ask(move |state| state.take_cancel(job, stored.cancel, stored.at, From::Here)).await
}

/// Up to when an agent that obeys the order of a job could start it: so long the agent remembers that it was cancelled.
async fn last_start(shared: &Shared, facts: &JobFacts) -> Result<Timestamp, Error> {
    let read = async {
        let record = records::load_job(&*shared.store, facts.job).await?;
        let record = record.ok_or_else(|| StoreError::Damaged("it has no record".into()))?;
        orders::signed(shared, &record).await
    };
    match read.await {
        Ok((_, order)) => Ok(order.not_after),
        // Agents take nothing under that key either.
        Err(Unusable::OtherKey) => Ok(facts.not_after),
        // What the record says counts for nothing then. There is no order that may start later.
        Err(Unusable::Store(StoreError::Damaged(err))) => {
            tracing::error!(job = %facts.job, error = &*err, "a job whose order cannot be verified is cancelled");
            Ok(facts.job.created_at() + QUEUE_FOR_MAX)
        }
        Err(Unusable::Store(err)) => Err(err.into()),
    }
}
