//! What the store has of claims, and what controllers answer from it.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::id::{JobId, Nonce};
use crate::job::ClaimRule;
use crate::message::ClaimRequest;
use crate::message::order::{AnswerKind, Order};

/// One claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Of(usize, Nonce),
    Void,
}

#[derive(Debug, Default)]
pub(super) struct Claims {
    of: BTreeMap<(JobId, Option<usize>), Claim>,
    pub(super) cancelled: BTreeSet<JobId>,
}

impl Claims {
    /// The store decides once, as a controller would have it at that moment.
    pub(super) fn ask(
        &mut self,
        place: usize,
        request: &ClaimRequest,
        order: &Order,
        now: Timestamp,
    ) -> AnswerKind {
        let is_over = self.cancelled.contains(&order.job) || now >= order.not_after;
        let mine = Claim::Of(place, request.nonce);
        let fresh = if is_over { Claim::Void } else { mine };
        if *self.of.entry(key(place, order)).or_insert(fresh) == mine {
            AnswerKind::Yours(request.nonce)
        } else {
            AnswerKind::Void(request.nonce)
        }
    }

    pub(super) fn holds(&self, place: usize, order: &Order) -> bool {
        let claim = self.of.get(&key(place, order));
        matches!(claim, Some(Claim::Of(holder, _)) if *holder == place)
    }

    /// Who was granted which job.
    pub(super) fn granted(&self) -> impl Iterator<Item = (JobId, usize)> {
        self.of.iter().filter_map(|((job, _), claim)| match claim {
            Claim::Of(place, _) => Some((*job, *place)),
            Claim::Void => None,
        })
    }
}

/// Which claim the host at `place` needs.
fn key(place: usize, order: &Order) -> (JobId, Option<usize>) {
    (order.job, (order.claim == ClaimRule::Host).then_some(place))
}
