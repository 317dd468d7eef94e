//! Idempotency keys: what a key stands for, and that it never stands for two requests.

use std::time::Duration;

use super::Shared;
use super::error::Error;
use super::records::{self, Reservation};
use super::submit::{Idempotency, Plan};
use crate::auth::authorize::Permit;
use crate::backend::{Bucket, Key, StoreError};
use crate::id::{JobId, Nonce};
use crate::job::limits::SKEW_MAX;
use crate::job::record::VERSION;

/// What a key stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reserved {
    /// The request is to become this job.
    Fresh(Plan),
    /// It has become this job.
    Made(JobId),
}

/// Binds the key to this request, or finds what it is bound to.
pub(super) async fn reserve(
    shared: &Shared,
    permit: &Permit,
    idempotency: &Idempotency,
    plan: Plan,
) -> Result<Reserved, Error> {
    let key = records::reservation_key(permit.subject(), &idempotency.key);
    let reservation = Reservation {
        v: VERSION,
        job: plan.job,
        nonce: Nonce::random(),
        body: idempotency.body,
        created_at: plan.created_at,
        not_after: plan.not_after,
    };
    match shared.store.create(Bucket::Reservations, &key, records::encode(&reservation)).await {
        Ok(_) => return Ok(Reserved::Fresh(plan)),
        Err(StoreError::Exists | StoreError::Unknown(_)) => {}
        Err(err) => return Err(err.into()),
    }
    let unsettled = || StoreError::Unavailable("the idempotency key could not be reserved".into());
    let entry = shared.store.get_latest(Bucket::Reservations, &key).await?.ok_or_else(unsettled)?;
    let stored: Reservation = records::decode(&entry)?;
    if stored.nonce == reservation.nonce {
        return Ok(Reserved::Fresh(plan));
    }
    let reserved = adopt(shared, &stored, idempotency).await?;
    match reserved {
        Reserved::Fresh(earlier) if !is_of_a_request(shared, earlier, plan.within()) => {
            tracing::error!(job = %earlier.job, "a reservation in the store has times that no request has");
            Err(Error::IdempotencyDamaged)
        }
        reserved => Ok(reserved),
    }
}

/// The job that the key stands for, if the request has become one.
pub(super) async fn made(
    shared: &Shared,
    permit: &Permit,
    idempotency: &Idempotency,
) -> Result<Option<JobId>, Error> {
    let key = records::reservation_key(permit.subject(), &idempotency.key);
    let Some(entry) = shared.store.get_latest(Bucket::Reservations, &key).await? else {
        return Ok(None);
    };
    match adopt(shared, &records::decode(&entry)?, idempotency).await? {
        Reserved::Made(job) => Ok(Some(job)),
        Reserved::Fresh(_) => Ok(None),
    }
}

/// Goes on with a request that arrived before: its job, or its id and times for a job that was never recorded.
async fn adopt(
    shared: &Shared,
    stored: &Reservation,
    idempotency: &Idempotency,
) -> Result<Reserved, Error> {
    if stored.body != idempotency.body {
        return Err(Error::IdempotencyConflict);
    }
    let Reservation { job, created_at, not_after, .. } = *stored;
    let key = Key::of(&[&job]);
    if shared.store.get_latest(Bucket::Jobs, &key).await?.is_some() {
        return Ok(Reserved::Made(job));
    }
    // The record of a removed job goes after its tombstone came: without a record, a job that ever was has one.
    let was_removed = shared.store.get_latest(Bucket::Removed, &key).await?.is_some();
    if was_removed || shared.clock.wall() >= not_after {
        return Err(Error::IdempotencyExpired);
    }
    Ok(Reserved::Fresh(Plan { job, created_at, not_after }))
}

/// Whether a request can have arrived like that: its times are about to be signed, and nobody has signed the reservation.
fn is_of_a_request(shared: &Shared, earlier: Plan, within: Duration) -> bool {
    earlier.within() == within
        && earlier.job.created_at() == earlier.created_at
        && earlier.created_at <= shared.clock.wall() + SKEW_MAX
}
