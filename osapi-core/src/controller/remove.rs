//! Removing jobs, from the outside in: by DELETE, and once their retention is past.

use std::time::Duration;

use super::error::Error;
use super::records::{self, RemovedRecord, Reservation};
use super::{Controller, Shared};
use crate::auth::authorize::Permit;
use crate::auth::permission::Permission;
use crate::backend::{Bucket, Change, Key, Prefix, Store, StoreError};
use crate::id::JobId;
use crate::job::limits::QUEUE_FOR_MAX;
use crate::job::record::VERSION;

/// What is kept of a job, in the order in which it goes: the record last, so that an interrupted removal is found again.
const LAYERS: [Bucket; 7] = [
    Bucket::Output,
    Bucket::Reports,
    Bucket::Claims,
    Bucket::Cancels,
    Bucket::Envelopes,
    Bucket::Hosts,
    Bucket::Jobs,
];

/// Time between two looks for idempotency keys and tombstones that have outlived their jobs.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// How long an idempotency key and a tombstone outlive the longest life of a job.
const OUTLIVES: Duration = Duration::from_secs(25 * 3600);

impl Controller {
    /// Removes a settled job and everything that is kept of it.
    ///
    /// # Errors
    /// Without `job:write`; when there is no such job; when it is not settled; when the store fails.
    pub async fn delete(&self, permit: &Permit, job: JobId) -> Result<(), Error> {
        permit.require(&Permission::JOB_WRITE)?;
        self.find(job).await?;
        let settled = self
            .shared
            .ask(move |state| state.index.get(job).map(|tracked| tracked.view.is_settled()))
            .await?;
        match settled {
            None => Err(Error::JobNotFound(job)),
            Some(false) => Err(Error::JobUnfinished(job)),
            Some(true) => {
                Ok(remove_all(&self.shared, job, Some(permit.subject().to_owned())).await?)
            }
        }
    }
}

/// Removes a job; what fails is tried again later.
pub(super) async fn remove(shared: &Shared, job: JobId, by: Option<String>) {
    if let Err(err) = remove_all(shared, job, by).await {
        tracing::warn!(%job, error = &err as &dyn std::error::Error, "a job could not be removed: it is tried again");
    }
}

async fn remove_all(shared: &Shared, job: JobId, by: Option<String>) -> Result<(), StoreError> {
    let record = RemovedRecord { v: VERSION, at: shared.clock.wall(), by };
    match shared.store.create(Bucket::Removed, &Key::of(&[&job]), records::encode(&record)).await {
        Ok(_) | Err(StoreError::Exists) => {}
        Err(err) => return Err(err),
    }
    // Gone from view at once, however late the store tells of it: from here on nothing more is written for it.
    shared
        .ask(move |state| state.forget(job))
        .await
        .map_err(|_| StoreError::Unavailable("the controller is shutting down".into()))?;
    purge_layers(&*shared.store, job).await
}

/// Whether the job certainly is no more: the leader knows none, and its id is older than the retention.
pub(super) async fn is_gone(shared: &Shared, job: JobId) -> bool {
    let age = shared.clock.wall().since(job.created_at());
    let old = age > shared.config.retention + QUEUE_FOR_MAX;
    let key = Key::of(&[&job]);
    let removed = matches!(shared.store.get_latest(Bucket::Removed, &key).await, Ok(Some(_)));
    (old || removed) && matches!(shared.store.get_latest(Bucket::Jobs, &key).await, Ok(None))
}

async fn purge_layers(store: &dyn Store, job: JobId) -> Result<(), StoreError> {
    let prefix = Prefix::of(&[&job]);
    for bucket in LAYERS {
        store.purge(bucket, &prefix).await?;
    }
    Ok(())
}

/// Removes idempotency keys and tombstones that have outlived their jobs, and orders that never became one, every hour, until it is
/// dropped.
pub(super) async fn sweep(shared: &Shared) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        for bucket in [Bucket::Reservations, Bucket::Removed, Bucket::Envelopes, Bucket::Hosts] {
            if let Err(err) = sweep_bucket(shared, bucket).await {
                tracing::warn!(%bucket, error = &err as &dyn std::error::Error, "old records could not be swept");
            }
        }
    }
}

async fn sweep_bucket(shared: &Shared, bucket: Bucket) -> Result<(), StoreError> {
    let kept = shared.config.retention + QUEUE_FOR_MAX + OUTLIVES;
    let mut old = Vec::new();
    let mut scan = shared.store.watch(bucket, &Prefix::ALL, None).await?;
    while let Some(change) = scan.next().await {
        match change? {
            Change::Put(entry) => {
                let job = match bucket {
                    Bucket::Reservations => {
                        records::decode::<Reservation>(&entry).ok().map(|record| record.job)
                    }
                    _ => records::job_of(&entry.key),
                };
                if job.is_some_and(|job| shared.clock.wall().since(job.created_at()) > kept) {
                    old.push(entry.key);
                }
            }
            Change::Deleted(..) | Change::Reached(_) => {}
            Change::CaughtUp(_) => break,
        }
    }
    for key in old {
        if matches!(bucket, Bucket::Envelopes | Bucket::Hosts) && has_job(shared, &key).await? {
            continue;
        }
        if let (Bucket::Removed, Some(job)) = (bucket, records::job_of(&key)) {
            // A report, a chunk or a cancel that was on its way when the job was removed came after it.
            purge_layers(&*shared.store, job).await?;
        }
        purge_one(&*shared.store, bucket, &key).await?;
    }
    Ok(())
}

async fn has_job(shared: &Shared, key: &Key) -> Result<bool, StoreError> {
    let Some(job) = records::job_of(key) else { return Ok(true) };
    Ok(shared.store.get_latest(Bucket::Jobs, &Key::of(&[&job])).await?.is_some())
}

async fn purge_one(store: &dyn Store, bucket: Bucket, key: &Key) -> Result<(), StoreError> {
    store.purge(bucket, &Prefix::of(&[key])).await.map(|_| ())
}
