//! Claims, as far as they are known: on what terms one may be taken, and what follows from one that was.

use super::State;
use crate::controller::claim::Claims;
use crate::id::{Identity, JobId};
use crate::job::record::{ClaimRecord, ClaimRule};
use crate::job::view::{self, JobView};

/// Whether an agent may be given the claim that it asks for, as far as is known without verifying its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Terms {
    /// The store decides.
    Open(Claims),
    /// It is another's, or void.
    NotTheirs,
    /// The job is not for that agent, or needs no claim.
    NotAddressed,
    /// There is no such job here.
    NoJob,
}

impl State {
    pub(in crate::controller) fn claim_terms(&self, job: JobId, identity: &Identity) -> Terms {
        let Some(tracked) = self.index.get(job) else { return Terms::NoJob };
        let claims = claims_of(&tracked.view);
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

    /// A claim that is in the store.
    pub(in crate::controller) fn take_claim(&mut self, claim: &ClaimRecord) {
        self.index.change(claim.job, |tracked| tracked.view.on_claim(claim));
    }
}

fn claims_of(view: &JobView) -> Claims {
    let facts = view.facts();
    Claims {
        job: facts.job,
        rule: facts.claim,
        not_after: facts.not_after,
        cancelled_at: view.cancel_requested_at(),
    }
}
