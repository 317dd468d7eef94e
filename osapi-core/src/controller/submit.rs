//! Making a job: reserve its idempotency key, resolve its target, sign the order, write the record. Creating the record is the commit.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::orders::tree_of;
use super::outbound::Dispatchable;
use super::reading::read_up;
use super::records;
use super::reservation::{Reserved, reserve};
use super::resolve::{resolve, resolve_names};
use super::{Controller, Shared};
use crate::auth::authorize::Permit;
use crate::auth::envelope::{SignError, Signed};
use crate::backend::{Bucket, Key, Prefix, StoreError};
use crate::clock::Timestamp;
use crate::id::{AgentName, Digest, JobId, Nonce};
use crate::job::limits::START_DEADLINE;
use crate::job::record::VERSION;
use crate::job::{Asked, ClaimRule, Host, Invalid, JobRecord, Operation, QueueFor, Target};
use crate::message::Order;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// What is done.
    pub operation: Operation,
    /// On which hosts.
    pub target: Target,
    /// When the request first arrived.
    pub arrived_at: Timestamp,
    /// How long hosts that are down are waited for; without it, silent hosts are left out. Not with `_any`.
    pub queue_for: Option<QueueFor>,
    /// Makes the request safe to repeat.
    pub idempotency: Option<Idempotency>,
}

/// An idempotency key and the request that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key. Keys of different subjects are different keys.
    pub key: String,
    /// SHA-256 of everything in the request that matters.
    pub body: Digest,
}

/// The job that a request becomes, fixed at its first arrival.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) job: JobId,
    pub(super) created_at: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Plan {
    /// The time from its arrival to its start deadline.
    pub(super) fn within(self) -> Duration {
        self.not_after.since(self.created_at)
    }
}

/// Everything of a job but its record, ready to be written.
struct Draft {
    record: JobRecord,
    hosts: Vec<Host>,
    parts: Vec<(Digest, bytes::Bytes)>,
    order: Dispatchable,
}

impl Controller {
    /// Makes a job and sends it. The same idempotency key with the same request gives the same job, whenever it comes.
    ///
    /// # Errors
    /// Without the operation's permission; when a bound is broken; when the target names no host, or `_any` finds none that is live;
    /// when the key stands for another request, or one that is over; when as many jobs are kept as may be; when the store fails.
    pub async fn submit(&self, permit: &Permit, submission: Submission) -> Result<JobId, Error> {
        permit.require(&submission.operation.permission())?;
        self.make(permit, submission, None, Ok(None)).await
    }

    /// Makes the job, which may do another one again: for the hosts of these `names`, or wherever the target leads now. Where the hosts
    /// cannot be told, it may have been made all the same when the request came first.
    pub(super) async fn make(
        &self,
        permit: &Permit,
        submission: Submission,
        retry_of: Option<JobId>,
        names: Result<Option<Vec<AgentName>>, Error>,
    ) -> Result<JobId, Error> {
        self.check_ready()?;
        self.check_store()?;
        submission.operation.validate()?;
        let shared = &*self.shared;
        let created_at = submission.arrived_at;
        let not_after = created_at + start_within(&submission)?;
        let plan = Plan { job: JobId::new(created_at), created_at, not_after };
        let sign = |plan, hosts| draft(shared, permit, &submission, plan, hosts, retry_of);
        let hosts = match names {
            Ok(names) => candidates(shared, &submission, names.as_deref()).await,
            Err(err) => Err(err),
        };
        let drafted = hosts.and_then(|hosts| sign(plan, hosts));
        let Some(idempotency) = &submission.idempotency else {
            return write(shared, drafted?).await;
        };
        let draft = match drafted {
            Ok(draft) => draft,
            // A job that the key stands for is the answer, also where none could be made now.
            Err(err) => {
                return match reserve(shared, permit, idempotency, plan).await? {
                    Reserved::Made(job) => Ok(job),
                    Reserved::Fresh(_) => Err(err),
                };
            }
        };
        // The order is written beside the reservation: should the key stand for another job, it is dropped.
        let (reserved, written) =
            tokio::join!(reserve(shared, permit, idempotency, plan), write_parts(shared, &draft));
        match reserved {
            Ok(Reserved::Fresh(fresh)) if fresh.job == plan.job => {
                written?;
                commit(shared, draft).await
            }
            reserved => {
                drop_parts(shared, plan.job).await;
                match reserved? {
                    Reserved::Made(job) => Ok(job),
                    Reserved::Fresh(earlier) => write(shared, sign(earlier, draft.hosts)?).await,
                }
            }
        }
    }
}

/// The time from the arrival of a request to the moment after which its job no longer starts.
fn start_within(submission: &Submission) -> Result<Duration, Invalid> {
    let Some(queue_for) = submission.queue_for else { return Ok(START_DEADLINE) };
    queue_for.check_target(&submission.target)?;
    Ok(queue_for.duration())
}

/// Whether what is asked for has to be claimed: one host of several is to run it, or who was down may come too late.
fn claim_rule(submission: &Submission, hosts: &[Host]) -> ClaimRule {
    match (&submission.target, submission.queue_for) {
        (_, Some(_)) => ClaimRule::Host,
        (Target::Any, None) if hosts.len() > 1 => ClaimRule::Job,
        (_, None) => ClaimRule::None,
    }
}

/// The hosts that the target names, as they are now. While agents may still answer the ping of a new connection, `_any` waits for one.
async fn candidates(
    shared: &Shared,
    submission: &Submission,
    names: Option<&[AgentName]>,
) -> Result<Vec<Host>, Error> {
    let mut hosts = resolved(shared, &submission.target, names).await?;
    if submission.queue_for.is_some() {
        hosts.iter_mut().for_each(|host| host.unreachable = false);
    }
    Ok(hosts)
}

async fn resolved(
    shared: &Shared,
    target: &Target,
    names: Option<&[AgentName]>,
) -> Result<Vec<Host>, Error> {
    read_up(shared, Bucket::Agents).await?;
    let mut heard = shared.heard.subscribe();
    loop {
        let (target, names) = (target.clone(), names.map(<[_]>::to_vec));
        let max = shared.config.max_jobs;
        let resolved = shared.ask(move |state| {
            let resolved = match state.index.len() {
                kept if kept >= max => Err(Error::TooManyJobs(kept)),
                _ => match &names {
                    Some(names) => resolve_names(names, &state.roster, state.boottime()),
                    None => resolve(&target, &state.roster, state.boottime()),
                },
            };
            (resolved, state.answers_due())
        });
        match resolved.await? {
            // Who was heard, or that the time is over, shows at the next look.
            (Err(Error::NoLiveHost), Some(left)) => {
                drop(tokio::time::timeout(left, heard.changed()).await);
            }
            (resolved, _) => return resolved,
        }
    }
}

/// Writes the order and the host list, then the record.
async fn write(shared: &Shared, draft: Draft) -> Result<JobId, Error> {
    write_parts(shared, &draft).await?;
    commit(shared, draft).await
}

/// Drops what was written for a job that is not to be. What stays behind is swept.
async fn drop_parts(shared: &Shared, job: JobId) {
    for bucket in [Bucket::Envelopes, Bucket::Hosts] {
        if let Err(err) = shared.store.purge(bucket, &Prefix::of(&[&job])).await {
            tracing::debug!(%job, error = &err as &dyn std::error::Error, "an order that is not needed stays for a while");
        }
    }
}

fn draft(
    shared: &Shared,
    permit: &Permit,
    submission: &Submission,
    plan: Plan,
    hosts: Vec<Host>,
    retry_of: Option<JobId>,
) -> Result<Draft, Error> {
    let Plan { job, created_at, not_after } = plan;
    let (submitter, claim) = (permit.submitter(), claim_rule(submission, &hosts));
    let tree = tree_of(shared.fleet, &hosts);
    let parts = records::host_parts(&hosts);
    let listed: Vec<_> = parts.iter().map(|(digest, _)| *digest).collect();
    let (target, request_id) = (submission.target.to_string(), permit.request_id());
    let asked = Asked { created_at, request_id, target: &target, hosts: &listed };
    let order = Order {
        v: VERSION,
        fleet: shared.fleet,
        job,
        wave: 0,
        iat: shared.clock.wall(),
        not_after,
        claim,
        hosts: tree.set(),
        submitter: submitter.clone(),
        operation: submission.operation.clone(),
        asked: asked.digest(),
        retry_of,
    };
    let job_key = shared.job_key();
    // Also where nobody is there to take it: only what was signed is ever tried again.
    let order = Signed::sign(&order, &job_key)
        .map_err(|SignError::TooLarge { size, .. }| Error::OrderTooLarge(size))?;
    let record = JobRecord {
        v: VERSION,
        job,
        nonce: Nonce::random(),
        created_at,
        not_after,
        submitter,
        operation: submission.operation.clone(),
        target,
        claim,
        envelope: order.digest(),
        key: job_key.id(),
        hosts: listed,
        request_id,
        retry_of,
    };
    Ok(Draft { record, hosts, parts, order: Dispatchable { order, tree } })
}

/// Writes the order and the host list. Their keys are their hashes, so that one which is there is the same.
async fn write_parts(shared: &Shared, draft: &Draft) -> Result<(), Error> {
    let job = draft.record.job;
    let envelope = (
        Bucket::Envelopes,
        records::envelope_key(job, draft.record.envelope),
        draft.order.order.as_str().as_bytes().to_vec().into(),
    );
    let parts = draft
        .parts
        .iter()
        .map(|(digest, bytes)| (Bucket::Hosts, records::hosts_key(job, *digest), bytes.clone()));
    let writes = std::iter::once(envelope).chain(parts).map(async |(bucket, key, bytes)| {
        match shared.store.create(bucket, &key, bytes).await {
            Ok(_) | Err(StoreError::Exists) => Ok(()),
            Err(err) => Err(err),
        }
    });
    futures_util::future::try_join_all(writes).await?;
    Ok(())
}

/// Writes the record, and sends the job. Whoever is second adopts what the first has written, and drops its own order.
async fn commit(shared: &Shared, draft: Draft) -> Result<JobId, Error> {
    let Draft { record, hosts, order, .. } = draft;
    let (job, nonce, envelope) = (record.job, record.nonce, record.envelope);
    let key = Key::of(&[&job]);
    match shared.store.create(Bucket::Jobs, &key, records::encode(&record)).await {
        Ok(_) => {}
        Err(source @ (StoreError::Exists | StoreError::Unknown(_))) => {
            match shared.store.get_latest(Bucket::Jobs, &key).await {
                Ok(Some(entry)) => {
                    let winner: JobRecord = records::decode(&entry)?;
                    if winner.nonce != nonce {
                        // Signed at the same moment for the same hosts, the two orders are one.
                        if winner.envelope != envelope {
                            drop_order(shared, job, envelope).await?;
                        }
                        return Ok(job);
                    }
                }
                Ok(None) | Err(_) => return Err(Error::OutcomeUnknown { job, source }),
            }
        }
        Err(err) => return Err(err.into()),
    }
    shared.ask(move |state| state.add_job(&record, hosts, Some(Arc::new(order)))).await?;
    Ok(job)
}

async fn drop_order(shared: &Shared, job: JobId, envelope: Digest) -> Result<(), Error> {
    shared.store.purge(Bucket::Envelopes, &Prefix::of(&[&job, &envelope])).await?;
    Ok(())
}
