//! Whose turn it is, where one of several candidates is to take a job: each is offered it when the one before it did not. Pure.

use std::time::Duration;

use crate::job::limits::{JOIN_AFTER, OFFER_EVERY};

/// How far the offers of a job have come. Candidates are named by their place; moments are of this controller's boottime clock.
#[derive(Debug)]
pub(super) struct Offers {
    candidates: usize,
    /// The candidates before this one were offered it, here or by another controller.
    made: usize,
    /// When the next one is.
    next: Option<Duration>,
}

impl Offers {
    pub(super) fn new(candidates: usize) -> Self {
        Self { candidates, made: 0, next: None }
    }

    /// The first candidate is offered it from `at` on, unless a candidate has been.
    pub(super) fn begin(&mut self, at: Duration) {
        if self.made == 0 {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    /// When the next offer is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.next
    }

    /// The candidate whose turn it is at `now`.
    pub(super) fn take(&mut self, now: Duration) -> Option<usize> {
        self.next.filter(|next| *next <= now)?;
        let place = self.made;
        self.advance(place, now + OFFER_EVERY);
        Some(place)
    }

    /// The candidate answered. If it was not offered it from here, another controller is at it, which goes on by itself unless it ends.
    pub(super) fn answered(&mut self, place: usize, declines: bool, now: Duration) {
        if place >= self.made {
            self.advance(place, now + JOIN_AFTER);
        } else if declines {
            self.declined(place, now);
        }
    }

    /// The candidate does not take it, at least not now. If nobody else was offered it since, it is the turn of the next.
    pub(super) fn declined(&mut self, place: usize, now: Duration) {
        if place + 1 == self.made {
            self.advance(place, now);
        }
    }

    /// Nobody's turn comes any more: it is claimed, or never will be.
    pub(super) fn end(&mut self) {
        self.made = self.candidates;
        self.next = None;
    }

    /// Whether the candidate was offered it.
    pub(super) fn is_made(&self, place: usize) -> bool {
        place < self.made
    }

    fn advance(&mut self, place: usize, next: Duration) {
        self.made = place + 1;
        self.next = Some(next).filter(|_| self.made < self.candidates);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn one_after_the_other_when_nothing_is_heard() {
        let mut offers = Offers::new(3);
        assert_eq!((offers.due(), offers.take(ms(9))), (None, None));
        offers.begin(ms(10));
        assert_eq!(offers.take(ms(9)), None);
        for (place, at) in [(0, ms(10)), (1, ms(1010)), (2, ms(2010))] {
            assert_eq!((offers.due(), offers.is_made(place)), (Some(at), false));
            assert_eq!(offers.take(at), Some(place));
            assert_eq!((offers.take(at), offers.is_made(place)), (None, true));
        }
        assert_eq!(offers.due(), None, "nobody is left");
    }

    #[test]
    fn whoever_declines_makes_room_for_the_next_at_once() {
        let mut offers = Offers::new(3);
        offers.begin(ms(0));
        assert_eq!(offers.take(ms(0)), Some(0));
        offers.answered(0, true, ms(5));
        assert_eq!(offers.take(ms(5)), Some(1));
        // What the first says again is no news.
        offers.answered(0, true, ms(6));
        assert_eq!(offers.due(), Some(ms(1005)));
        offers.answered(1, false, ms(6));
        assert_eq!(offers.due(), Some(ms(1005)), "it may wait for a slot there");
        offers.answered(1, true, ms(7));
        assert_eq!(offers.take(ms(7)), Some(2));
        offers.declined(2, ms(8));
        assert_eq!(offers.due(), None);
    }

    #[test]
    fn what_another_controller_offers_is_not_offered_again() {
        let mut offers = Offers::new(4);
        offers.begin(ms(2000));
        offers.answered(0, true, ms(5));
        assert_eq!((offers.take(ms(5)), offers.due()), (None, Some(ms(2005))));
        offers.answered(1, false, ms(5));
        assert_eq!((offers.is_made(1), offers.is_made(2)), (true, false));
        assert_eq!(offers.due(), Some(ms(2005)));
        offers.begin(ms(0));
        assert_eq!(offers.due(), Some(ms(2005)), "it has begun");
    }

    #[test]
    fn once_it_is_claimed_nobodys_turn_comes() {
        let mut offers = Offers::new(3);
        offers.begin(ms(0));
        offers.end();
        offers.begin(ms(0));
        offers.declined(2, ms(0));
        assert_eq!((offers.due(), offers.take(ms(9000))), (None, None));
        assert!(offers.is_made(2), "whoever has it may be sent to");
    }
}
