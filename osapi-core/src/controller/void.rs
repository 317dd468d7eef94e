//! Making void what nobody has claimed in time, or what was cancelled first: by every controller, again and again until it is known.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::{Shared, claim};
use crate::clock::Timestamp;
use crate::id::JobId;
use crate::job::ClaimRecord;

/// Claims of one job that are made void together.
pub(super) const AT_ONCE: usize = 256;
/// Claims of one job that are written at the same time.
const PARALLEL: usize = 32;
/// Pause before what could not be written is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// When the claims of a job that nobody took are made void, by the wall clock.
#[derive(Debug)]
pub(super) struct Voiding {
    at: Timestamp,
    /// While it goes on, how many were not claimed when that began.
    under_way: Option<usize>,
    is_stopped: bool,
}

impl Voiding {
    pub(super) fn new(at: Timestamp) -> Self {
        Self { at, under_way: None, is_stopped: false }
    }

    /// A cancel came: there is nothing to wait for beyond `at`.
    pub(super) fn hasten(&mut self, at: Timestamp) {
        self.at = self.at.min(at);
    }

    /// Nothing is made void any more: what is not claimed may have been, and may have run.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// When it is due; not while it goes on.
    pub(super) fn due(&self) -> Option<Timestamp> {
        Some(self.at).filter(|_| self.under_way.is_none() && !self.is_stopped)
    }

    pub(super) fn begin(&mut self, unclaimed: usize) {
        self.under_way = Some(unclaimed);
    }

    /// It has ended, and so many are still not claimed: what made no progress is tried again after a pause.
    pub(super) fn end(&mut self, unclaimed: usize, now: Timestamp) {
        if self.under_way.take().is_some_and(|before| before <= unclaimed) {
            self.at = now + AGAIN_AFTER;
        }
    }
}

/// Creates these claims, all of one job, or finds those that are there. What is not certain is left out.
pub(super) async fn settle_all(
    shared: &Shared,
    job: JobId,
    claims: Vec<ClaimRecord>,
) -> Vec<ClaimRecord> {
    let settling = futures_util::stream::iter(claims)
        .map(|claim| claim::settle(&*shared.store, claim))
        .buffer_unordered(PARALLEL)
        .collect::<Vec<_>>();
    let (mut known, mut failure) = (Vec::new(), None);
    for settled in settling.await {
        match settled {
            Ok(claim) => known.extend(claim),
            Err(err) => failure = Some(err),
        }
    }
    if let Some(err) = failure {
        tracing::warn!(%job, error = &err as &dyn std::error::Error, "what nobody claimed could not be made void: it is tried again");
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_once_at_a_time_and_again_after_a_pause_only_if_nothing_changed() {
        let at = |seconds: u64| Timestamp::from_unix_millis(1000 * seconds);
        let mut voiding = Voiding::new(at(30));
        voiding.hasten(at(40));
        assert_eq!(voiding.due(), Some(at(30)));
        voiding.begin(300);
        assert_eq!(voiding.due(), None);
        voiding.end(44, at(31));
        assert_eq!(voiding.due(), Some(at(30)), "the rest is due at once");
        voiding.begin(44);
        voiding.end(44, at(32));
        assert_eq!(voiding.due(), Some(at(33)));
        voiding.hasten(at(5));
        assert_eq!(voiding.due(), Some(at(5)));
        voiding.stop();
        voiding.hasten(at(4));
        assert_eq!(voiding.due(), None);
    }
}
