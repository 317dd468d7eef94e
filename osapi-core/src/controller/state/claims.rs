//! Claims, as far as they are known: on what terms one may be taken, what follows from one that was, and when the rest is made void.

use super::{Effect, From, State};
use crate::backend::Bucket;
use crate::clock::Timestamp;
use crate::controller::claim::Claims;
use crate::controller::index::Tracked;
use crate::controller::{Now, void};
use crate::id::{Identity, JobId};
use crate::job::limits::JOIN_AFTER;
use crate::job::record::{ClaimRecord, ClaimRule, Holder};
use crate::job::view::{self, JobView};

/// Most jobs whose claims are made void at the same time.
const VOIDINGS_MAX: usize = 16;

/// Whether an agent may be given the claim that it asks for, as far as is known without verifying its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Terms {
    /// The store decides.
    Open(Claims),
    /// It is another's, or void.
    NotTheirs,
    /// The job is not for that agent, or needs no claim; or the agent was removed.
    NotAddressed,
    /// There is no such job here.
    NoJob,
}

impl State {
    pub(in crate::controller) fn claim_terms(&self, job: JobId, identity: &Identity) -> Terms {
        if self.roster.is_removed(&identity.key) {
            return Terms::NotAddressed;
        }
        // Whose a claim was may be among what the store has lost.
        let tracked = self.index.get(job).filter(|_| !self.is_rolled_back());
        let Some(tracked) = tracked else { return Terms::NoJob };
        let claims = self.claims_of(tracked);
        match tracked.view.admission(identity) {
            // Whom a job is for is not known while its host list cannot be read.
            _ if tracked.damaged.is_some() => Terms::NoJob,
            view::Admission::NotTheirs => Terms::NotTheirs,
            view::Admission::NotAddressed => Terms::NotAddressed,
            view::Admission::NotClaimed => Terms::Open(claims),
            // It holds the claim; whether with this request, the store knows.
            view::Admission::Open | view::Admission::Present(_) => match claims.rule {
                ClaimRule::None => Terms::NotAddressed,
                ClaimRule::Host | ClaimRule::Job => Terms::Open(claims),
            },
        }
    }

    /// What decides who may hold the claims of a job.
    pub(super) fn claims_of(&self, tracked: &Tracked) -> Claims {
        let is_before_restore =
            tracked.live.as_deref().is_some_and(|live| self.is_before_restore(live));
        Claims { is_before_restore, ..claims_of(&tracked.view) }
    }

    /// A claim that is in the store. From then on only its holder is sent anything.
    pub(in crate::controller) fn take_claim(&mut self, claim: &ClaimRecord) {
        let now = self.boottime();
        self.index.change(claim.job, |tracked| {
            let is_news = tracked.view.on_claim(claim);
            let Some(live) = tracked.live.as_deref_mut().filter(|_| is_news) else { return };
            if claim.host.is_none() {
                live.end_offers();
            }
            if let (Holder::Agent { identity, .. }, true) = (&claim.holder, live.has_cancel()) {
                live.send_to(identity, now);
            }
        });
    }

    /// Makes void whatever is due and not claimed, as far as there is room.
    pub(super) fn void_due(&mut self, now: Now) {
        if !self.may_void() {
            return;
        }
        let room = VOIDINGS_MAX - self.voidings;
        for job in self.index.due_to_void(now.wall, room) {
            let claims = self.index.change(job, |tracked| {
                if let Some(live) = tracked.live.as_deref_mut() {
                    live.voiding.begin(tracked.view.unclaimed_count());
                }
                void_claims(&tracked.view, now.wall)
            });
            self.voidings += 1;
            self.effects.push(Effect::Void(job, claims.unwrap_or_default()));
        }
    }

    /// Whether more can be made void now. Nothing is before the claims and cancels in the store are known.
    pub(super) fn may_void(&self) -> bool {
        self.voidings < VOIDINGS_MAX
            && !self.is_rolled_back()
            && self.linked == Some(true)
            && self.knows(&[Bucket::Claims, Bucket::Cancels])
    }

    /// These claims of a job are in the store. What is missing is tried again.
    pub(in crate::controller) fn voided(&mut self, job: JobId, claims: &[ClaimRecord]) {
        self.voidings -= 1;
        for claim in claims {
            self.take_claim(claim);
        }
        let now = self.shared.clock.wall();
        self.index.change(job, |tracked| {
            if let Some(live) = tracked.live.as_deref_mut() {
                live.voiding.end(tracked.view.unclaimed_count(), now);
            }
        });
    }
}

/// From when on a controller makes void what nobody has claimed by `at`: whoever is at it leaves the others nothing to do.
pub(super) fn void_at(at: Timestamp, from: From) -> Timestamp {
    match from {
        From::Here => at,
        From::Elsewhere => at + JOIN_AFTER,
    }
}

fn claims_of(view: &JobView) -> Claims {
    let facts = view.facts();
    Claims {
        job: facts.job,
        rule: facts.claim,
        not_after: facts.not_after,
        cancelled_at: view.cancel_requested_at(),
        is_before_restore: false,
    }
}

/// The claims that are to be void at `now`, some of them if there are many.
fn void_claims(view: &JobView, now: Timestamp) -> Vec<ClaimRecord> {
    let claims = claims_of(view);
    let Some(reason) = claims.void(now) else { return Vec::new() };
    let record = |identity: &Identity| claims.record(&identity.name, now, Holder::Void(reason));
    view.unclaimed().filter_map(record).take(void::AT_ONCE).collect()
}
