//! What an order has to pass: is it authentic and for me, and then: may it be taken now.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::Admit;
use crate::auth::envelope::{Document, Signed, VerifyError};
use crate::auth::keys::{KeyRing, KeyUse};
use crate::auth::merkle::Membership;
use crate::clock::Timestamp;
use crate::id::{FleetId, Identity, JobId};
use crate::job::limits::{QUEUE_FOR_MAX, SKEW_MAX};
use crate::job::record::VERSION;
use crate::job::{Failure, Outcome};
use crate::message::{Order, Refusal};

/// The agent's own wall clock, and the server's as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    pub(super) own: Timestamp,
    pub(super) server: Option<Timestamp>,
}

impl Clocks {
    /// Whether either clock is at or past the deadline.
    pub(super) fn passed(self, not_after: Timestamp) -> bool {
        self.latest() >= not_after
    }

    /// Whether both clocks are at or past the moment.
    pub(super) fn surely_passed(self, moment: Timestamp) -> bool {
        self.own >= moment && self.server.is_some_and(|server| server >= moment)
    }

    pub(super) fn latest(self) -> Timestamp {
        self.server.map_or(self.own, |server| server.max(self.own))
    }
}

/// The order, if it was signed with a job key of `ring`, for this fleet, and `identity` is in its set of hosts.
pub(super) fn authentic(
    signed: &Signed<Order>,
    membership: &Membership,
    ring: &KeyRing,
    fleet: FleetId,
    identity: &Identity,
) -> Result<Order, Refusal> {
    // base64 takes four characters for three bytes; header, signature and footer stay below 1 KiB.
    if signed.as_str().len() > Order::MAX.div_ceil(3) * 4 + 1024 {
        return Err(Refusal::TooLarge);
    }
    let order = ring.verify(signed, KeyUse::Job).map_err(|err| match err {
        VerifyError::TooLarge => Refusal::TooLarge,
        VerifyError::OtherKey => Refusal::UnknownKey,
        VerifyError::Malformed | VerifyError::BadSignature => Refusal::BadSignature,
        VerifyError::UnknownForm => Refusal::Unsupported,
    })?;
    if order.fleet != fleet || order.v != VERSION {
        return Err(Refusal::Unsupported);
    }
    if !membership.proves(fleet, identity, &order.hosts) {
        return Err(Refusal::NotAddressed);
    }
    Ok(order)
}

/// What becomes of a new job.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Judgement {
    /// It is taken.
    Take,
    /// It is not taken, and nothing is written down: it may still be taken later.
    Refuse(Refusal),
    /// It never starts, and that is its outcome; or the receipt, where it cannot be reported.
    Close(Outcome, Refusal),
}

/// Judges an authentic order for a job that is not known.
pub(super) fn judge(
    order: &Order,
    clocks: Clocks,
    highest_iat: Timestamp,
    is_draining: bool,
    admit: &Admit,
) -> Judgement {
    if clocks.server.is_none() {
        return Judgement::Refuse(Refusal::NotReady);
    }
    // Anything later comes from a clock, or a signer, that is off.
    if order.not_after > order.iat + QUEUE_FOR_MAX + SKEW_MAX {
        return Judgement::Refuse(Refusal::Unsupported);
    }
    if clocks.own < highest_iat - SKEW_MAX {
        return Judgement::Refuse(Refusal::ClockSkew);
    }
    if clocks.passed(order.not_after) {
        return Judgement::Close(Outcome::Expired, Refusal::Late);
    }
    let rejected = |failure, why| Judgement::Close(Outcome::Rejected(failure), why);
    if is_draining {
        let failure = Failure::new("draining", "the agent is shutting down");
        return rejected(failure, Refusal::Draining);
    }
    if let Err(invalid) = order.operation.validate() {
        return rejected(Failure::new("invalid", invalid.to_string()), Refusal::Policy);
    }
    match admit(&order.operation, &order.submitter) {
        Ok(()) => Judgement::Take,
        Err(failure) => rejected(failure, Refusal::Policy),
    }
}

/// The job that an order claims to be for. Nothing has confirmed it: it only tells the sender which of its orders was refused.
pub(super) fn claimed_job(signed: &Signed<Order>) -> Option<JobId> {
    /// Bytes of an Ed25519 signature, which follow the body.
    const SIGNATURE: usize = 64;
    #[derive(Deserialize)]
    struct Claimed {
        job: JobId,
    }
    let body = signed.as_str().strip_prefix("v4.public.")?.split('.').next()?;
    let body = URL_SAFE_NO_PAD.decode(body).ok()?;
    let body = body.get(..body.len().checked_sub(SIGNATURE)?)?;
    serde_json::from_slice(body).ok().map(|Claimed { job }| job)
}
