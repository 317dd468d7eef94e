//! Claims: whose an execution is, or that it never starts. Who creates the record first decides; everybody else reads it back from the
//! leader, and it is never moved.

use super::Shared;
use super::error::Error;
use super::records::{self, CancelRecord};
use super::remove::is_gone;
use super::state::Terms;
use crate::auth::envelope::Signed;
use crate::backend::{Bucket, Key, Store, StoreError};
use crate::clock::Timestamp;
use crate::id::{AgentName, FleetId, Identity, JobId, Nonce};
use crate::job::record::VERSION;
use crate::job::{ClaimRecord, ClaimRule, Holder, VoidReason};
use crate::message::{AnswerKind, ClaimRequest};

/// What decides who may hold the claims of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) job: JobId,
    pub(super) rule: ClaimRule,
    pub(super) not_after: Timestamp,
    /// When a cancel was recorded.
    pub(super) cancelled_at: Option<Timestamp>,
    /// Whether the store has gone back in time since: what is not claimed in it may have been, and is not given to anybody any more.
    pub(super) is_before_restore: bool,
}

impl Claims {
    /// Why nobody may take a claim at `now`, if nobody may.
    pub(super) fn void(&self, now: Timestamp) -> Option<VoidReason> {
        match self.cancelled_at {
            Some(at) if at < self.not_after => Some(VoidReason::Cancelled),
            Some(_) | None if now >= self.not_after => Some(VoidReason::Expired),
            Some(_) => Some(VoidReason::Cancelled),
            None => self.is_before_restore.then_some(VoidReason::Cancelled),
        }
    }

    /// The record that would settle the execution of `host`; none where nothing is claimed.
    pub(super) fn record(
        &self,
        host: &AgentName,
        at: Timestamp,
        holder: Holder,
    ) -> Option<ClaimRecord> {
        let host = match self.rule {
            ClaimRule::None => return None,
            ClaimRule::Host => Some(host.clone()),
            ClaimRule::Job => None,
        };
        Some(ClaimRecord { v: VERSION, job: self.job, host, at, holder })
    }
}

/// What a claim tells whoever asked for it with `request`.
pub(super) fn answer(claim: &ClaimRecord, request: &ClaimRequest) -> AnswerKind {
    match &claim.holder {
        Holder::Agent { identity, nonce }
            if *identity == request.identity && *nonce == request.nonce =>
        {
            AnswerKind::Yours(request.nonce)
        }
        Holder::Agent { .. } | Holder::Void(_) => AnswerKind::Void(request.nonce),
    }
}

/// Creates the claim, or finds the one that is there; none if neither is certain.
pub(super) async fn settle(
    store: &dyn Store,
    claim: ClaimRecord,
) -> Result<Option<ClaimRecord>, StoreError> {
    let key = records::claim_key(claim.job, claim.host.as_ref());
    match store.create(Bucket::Claims, &key, records::encode(&claim)).await {
        Ok(_) => Ok(Some(claim)),
        Err(StoreError::Exists | StoreError::Unknown(_)) => read(store, &key).await,
        Err(err) => Err(err),
    }
}

/// The claim as the leader has it.
async fn read(store: &dyn Store, key: &Key) -> Result<Option<ClaimRecord>, StoreError> {
    let entry = store.get_latest(Bucket::Claims, key).await?;
    entry.map(|entry| records::decode(&entry)).transpose()
}

/// Brings the claim on the execution of `host` from the leader into what is known, if there is one: the watch may be behind.
pub(super) async fn look_up(
    shared: &Shared,
    rule: ClaimRule,
    job: JobId,
    host: &AgentName,
) -> Result<(), Error> {
    let host = Some(host).filter(|_| rule == ClaimRule::Host);
    if let Some(claim) = read(&*shared.store, &records::claim_key(job, host)).await? {
        shared.ask(move |state| state.take_claim(&claim)).await?;
    }
    Ok(())
}

/// Writes down again that a claim was this identity's: it has reported, which it does under its own claim only.
pub(super) async fn give_back(
    shared: &Shared,
    claims: &Claims,
    identity: &Identity,
) -> Result<(), Error> {
    let holder = Holder::Agent { identity: identity.clone(), nonce: Nonce::random() };
    let record = claims.record(&identity.name, shared.clock.wall(), holder);
    let Some(record) = record else { return Ok(()) };
    if let Some(claim) = settle(&*shared.store, record).await? {
        shared.ask(move |state| state.take_claim(&claim)).await?;
    }
    Ok(())
}

/// Takes a request that came from the agent of this name. Whom to answer, about which job, and what; nothing if nothing is certain,
/// so that the agent asks again.
pub(super) async fn requested(
    shared: &Shared,
    name: &AgentName,
    signed: &Signed<ClaimRequest>,
) -> Result<Option<(Identity, JobId, AnswerKind)>, Error> {
    let Some(request) = signed.peek().filter(|request| request.identity.name == *name) else {
        tracing::warn!(agent = %name, "a claim request cannot be read, or came under another agent's name");
        return Ok(None);
    };
    let (job, asked) = (request.job, request.identity.clone());
    let kind = match shared.ask(move |state| state.claim_terms(job, &asked)).await? {
        Terms::NoJob if is_gone(shared, job).await => AnswerKind::Void(request.nonce),
        Terms::NoJob => return Ok(None),
        Terms::NotAddressed => {
            tracing::error!(agent = %name, %job, "a claim request of a host that the job is not for: ignored");
            return Ok(None);
        }
        Terms::NotTheirs => AnswerKind::Void(request.nonce),
        Terms::Open(claims) => {
            if !is_authentic(signed, &request, shared.fleet) {
                tracing::error!(agent = %name, %job, "a claim request does not verify: ignored");
                return Ok(None);
            }
            match decide(shared, &claims, &request).await? {
                Some(kind) => kind,
                None => return Ok(None),
            }
        }
    };
    Ok(Some((request.identity, job, kind)))
}

/// Whether the host to which the job is addressed signed it: its identity was found in the job's signed set.
fn is_authentic(signed: &Signed<ClaimRequest>, claimed: &ClaimRequest, fleet: FleetId) -> bool {
    signed
        .verify(&claimed.identity.key)
        .is_ok_and(|request| request == *claimed && request.v == VERSION && request.fleet == fleet)
}

async fn decide(
    shared: &Shared,
    claims: &Claims,
    request: &ClaimRequest,
) -> Result<Option<AnswerKind>, Error> {
    let (now, cancelled_at) = (shared.clock.wall(), cancelled_at(shared, claims).await?);
    let claims = Claims { cancelled_at, ..*claims };
    let (identity, nonce) = (request.identity.clone(), request.nonce);
    if claims.is_before_restore && claims.rule == ClaimRule::Job {
        // Whoever asks has not started it. Whether another has is not known, so that it cannot be made void.
        let claim = read(&*shared.store, &records::claim_key(claims.job, None)).await?;
        let kind = claim.map_or(AnswerKind::Void(nonce), |claim| answer(&claim, request));
        return Ok(Some(kind));
    }
    let holder = claims.void(now).map_or(Holder::Agent { identity, nonce }, Holder::Void);
    let Some(record) = claims.record(&request.identity.name, now, holder) else { return Ok(None) };
    let Some(claim) = settle(&*shared.store, record).await? else { return Ok(None) };
    let kind = answer(&claim, request);
    if matches!(kind, AnswerKind::Yours(_)) && is_removed(shared, claims.job).await? {
        // Its claims may have gone with it, so that this one proves nothing.
        return Ok(Some(AnswerKind::Void(request.nonce)));
    }
    shared.ask(move |state| state.take_claim(&claim)).await?;
    Ok(Some(kind))
}

/// When a cancel was recorded, as the leader has it: once somebody was told that the job is cancelled, nobody is given its claims.
async fn cancelled_at(shared: &Shared, claims: &Claims) -> Result<Option<Timestamp>, StoreError> {
    if claims.cancelled_at.is_some() {
        return Ok(claims.cancelled_at);
    }
    let entry = shared.store.get_latest(Bucket::Cancels, &Key::of(&[&claims.job])).await?;
    let record: Option<CancelRecord> = entry.as_ref().map(records::decode).transpose()?;
    Ok(record.map(|record| record.at))
}

/// Whether the removal of the job has begun. Its tombstone comes before its claims go.
async fn is_removed(shared: &Shared, job: JobId) -> Result<bool, StoreError> {
    Ok(shared.store.get_latest(Bucket::Removed, &Key::of(&[&job])).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{JournalId, PublicKey};

    const CREATED: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);

    fn at(seconds: u64) -> Timestamp {
        CREATED + std::time::Duration::from_secs(seconds)
    }

    fn claims(rule: ClaimRule, cancelled_at: Option<Timestamp>) -> Claims {
        let is_before_restore = false;
        Claims {
            job: JobId::new(CREATED),
            rule,
            not_after: at(30),
            cancelled_at,
            is_before_restore,
        }
    }

    fn request(journal: u8, nonce: u8) -> ClaimRequest {
        let (key, journal) = (PublicKey::from_bytes([1; 32]), JournalId::from_bytes([journal; 16]));
        ClaimRequest {
            v: VERSION,
            fleet: FleetId::from_bytes([1; 16]),
            identity: Identity { name: "web-1".parse().unwrap(), key, journal },
            job: JobId::new(CREATED),
            nonce: Nonce::from_bytes([nonce; 16]),
        }
    }

    #[test]
    fn a_claim_is_free_until_the_deadline_or_a_cancel() {
        for (cancelled_at, now, expected) in [
            (None, at(29), None),
            (None, at(30), Some(VoidReason::Expired)),
            (Some(at(5)), at(6), Some(VoidReason::Cancelled)),
            // A cancel that came in time counts also where it could not be written down in time.
            (Some(at(5)), at(31), Some(VoidReason::Cancelled)),
            (Some(at(31)), at(32), Some(VoidReason::Expired)),
            // The clock of who cancelled is ahead.
            (Some(at(31)), at(29), Some(VoidReason::Cancelled)),
        ] {
            let claims = claims(ClaimRule::Host, cancelled_at);
            assert_eq!(claims.void(now), expected, "cancelled at {cancelled_at:?}, now {now}");
        }
    }

    #[test]
    fn what_the_store_may_have_lost_is_given_to_nobody() {
        let lost = |cancelled_at| {
            let is_before_restore = true;
            Claims { is_before_restore, ..claims(ClaimRule::Host, cancelled_at) }
        };
        assert_eq!(lost(None).void(at(1)), Some(VoidReason::Cancelled));
        assert_eq!(lost(None).void(at(30)), Some(VoidReason::Expired));
        assert_eq!(lost(Some(at(5))).void(at(31)), Some(VoidReason::Cancelled));
    }

    #[test]
    fn a_record_is_on_the_host_or_on_the_whole_job() {
        let name: AgentName = "web-1".parse().unwrap();
        let host = |rule| {
            let holder = Holder::Void(VoidReason::Expired);
            claims(rule, None).record(&name, at(31), holder).map(|record| record.host)
        };
        assert_eq!(host(ClaimRule::None), None);
        assert_eq!(host(ClaimRule::Host), Some(Some(name.clone())));
        assert_eq!(host(ClaimRule::Job), Some(None));
    }

    #[test]
    fn only_the_same_request_of_the_same_identity_is_answered_yours() {
        let mine = request(1, 1);
        let (identity, nonce) = (mine.identity.clone(), mine.nonce);
        let name = mine.identity.name.clone();
        let claim = |holder| claims(ClaimRule::Host, None).record(&name, at(1), holder).unwrap();
        let held = claim(Holder::Agent { identity, nonce });
        assert_eq!(answer(&held, &mine), AnswerKind::Yours(nonce));
        let (copy, wiped) = (request(1, 2), request(2, 1));
        assert_eq!(answer(&held, &copy), AnswerKind::Void(copy.nonce));
        assert_eq!(answer(&held, &wiped), AnswerKind::Void(wiped.nonce));
        let void = claim(Holder::Void(VoidReason::Cancelled));
        assert_eq!(answer(&void, &mine), AnswerKind::Void(nonce));
    }
}
