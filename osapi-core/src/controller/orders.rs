//! Orders as the store has them: read back, verified, and compared with the records of their jobs. What a record says counts only where
//! it was signed.

use std::sync::Arc;

use super::Shared;
use super::error::Error;
use super::outbound::Dispatchable;
use super::records;
use crate::auth::envelope::{Signed, VerifyError};
use crate::auth::keys::KeyUse;
use crate::auth::merkle::HostTree;
use crate::backend::{Bucket, Key, StoreError};
use crate::id::{FleetId, JobId};
use crate::job::{Host, JobRecord};
use crate::message::Order;

/// Why an order that is kept is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// It was retired, or the ring that has it was not read yet: the job is not damaged.
    #[error("the key of the signed order is not in the key ring")]
    OtherKey,
    /// It cannot be read, or does not fit.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Unusable> for StoreError {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::OtherKey => Self::Unavailable(Box::new(unusable)),
            Unusable::Store(err) => err,
        }
    }
}

/// Which order to read, and whom it has to be for.
#[derive(Debug)]
pub(super) struct WantedOrder {
    pub(super) job: JobId,
    pub(super) hosts: Arc<[Host]>,
}

/// Reads an order back that is to be sent: a resend forwards only what verifies, fits its record and is for these hosts.
pub(super) async fn load(
    shared: &Shared,
    wanted: &WantedOrder,
) -> Result<Dispatchable, StoreError> {
    let gone = || StoreError::Unavailable("the job is being removed".into());
    let record = records::load_job(&*shared.store, wanted.job).await?.ok_or_else(gone)?;
    let (order, body) = signed(shared, &record).await?;
    let tree = check_hosts(shared.fleet, &body, &wanted.hosts)?;
    Ok(Dispatchable { order, tree })
}

/// The order of a job, if it verifies and its record says nothing else.
pub(super) async fn signed(
    shared: &Shared,
    record: &JobRecord,
) -> Result<(Signed<Order>, Order), Unusable> {
    let order = records::load_order(&*shared.store, record.job, record.envelope).await?;
    let ring = shared.ring.borrow().clone();
    let ring = ring.ok_or_else(|| StoreError::Unavailable("there is no key ring".into()))?;
    let body = ring.verify(&order, KeyUse::Job).map_err(|err| match err {
        VerifyError::OtherKey => Unusable::OtherKey,
        err => StoreError::Damaged(Box::new(err)).into(),
    })?;
    let is_theirs = body.fleet == shared.fleet && order.key_id().as_ref() == Ok(&record.key);
    match is_theirs && says_the_same(&body, record) {
        true => Ok((order, body)),
        false => Err(damaged("the job record says something else than the signed order").into()),
    }
}

/// The tree over the hosts of the list that the order is for, if it is the one that was signed.
pub(super) fn check_hosts(
    fleet: FleetId,
    order: &Order,
    hosts: &[Host],
) -> Result<HostTree, StoreError> {
    let tree = tree_of(fleet, hosts);
    match tree.set() == order.hosts {
        true => Ok(tree),
        false => Err(damaged("the signed order is for other hosts")),
    }
}

/// The tree over the hosts of a job that are in its signed set.
pub(super) fn tree_of(fleet: FleetId, hosts: &[Host]) -> HostTree {
    let addressed = hosts.iter().filter(|host| !host.unreachable).map(|host| &host.identity);
    HostTree::new(fleet, addressed)
}

/// Whether everything that stands in both is the same. What is added to the record has to be signed as well.
fn says_the_same(order: &Order, record: &JobRecord) -> bool {
    let JobRecord {
        v: _,
        job,
        // It settles who wrote the record.
        nonce: _,
        created_at: _,
        not_after,
        submitter,
        operation,
        target: _,
        claim,
        // By these the order was found and verified.
        envelope: _,
        key: _,
        hosts: _,
        request_id: _,
        retry_of,
    } = record;
    order.job == *job
        && order.not_after == *not_after
        && order.submitter == *submitter
        && order.operation == *operation
        && order.claim == *claim
        && order.retry_of == *retry_of
        && order.asked == record.asked().digest()
}

/// The answer about a job whose records cannot be used. If they do not fit together, that is told of it from now on, unless they are just
/// being removed.
pub(super) async fn unfit(shared: &Shared, job: JobId, err: StoreError) -> Error {
    if !matches!(err, StoreError::Damaged(_)) {
        return err.into();
    }
    match shared.store.get_latest(Bucket::Removed, &Key::of(&[&job])).await {
        Ok(None) => {}
        Ok(Some(_)) => return Error::JobNotFound(job),
        Err(err) => return err.into(),
    }
    match shared.ask(move |state| state.note_damage(job, &err)).await {
        Ok(reason) => Error::JobDamaged { job, reason: reason.into() },
        Err(err) => err,
    }
}

fn damaged(why: &'static str) -> StoreError {
    StoreError::Damaged(why.into())
}
