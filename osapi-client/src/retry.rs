//! Whether and when a request is sent again. Pure: elapsed time and dice are arguments.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::request::{Effect, Place};

/// One attempt that failed.
#[derive(Debug)]
pub(crate) struct Setback {
    pub(crate) error: Error,
    pub(crate) repeat: Repeat,
    pub(crate) trace: Trace,
}

/// Whether the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// No.
    Never,
    /// Perhaps: after a pause that grows.
    Paced,
    /// The server said when (RFC 9110 §10.2.3).
    After(Duration),
}

/// What the attempt may have left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    /// Nothing: it did not reach the server, or the server refused it.
    None,
    /// It may have had its effect.
    Possible,
}

/// Pauses between attempts: the first, doubled up to the longest, each shortened at random by up to a half so that clients that failed
/// together do not come back together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

impl Pace {
    pub(crate) const DEFAULT: Self =
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(3) };

    /// The pause after attempt `n`, counted from 0; `dice` is in 0..1.
    fn pause(self, n: u32, dice: f64) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(n.min(30)));
        doubled.min(self.longest).mul_f64(1.0 - dice.clamp(0.0, 1.0) / 2.0)
    }
}

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Attempts {
    /// No attempt begins later than this after the first.
    budget: Duration,
    pace: Pace,
    effect: Effect,
    failed: u32,
    in_doubt: bool,
}

impl Attempts {
    pub(crate) fn new(budget: Duration, pace: Pace, effect: Effect) -> Self {
        Self { budget, pace, effect, failed: 0, in_doubt: false }
    }

    /// The pause before the next attempt, after one that failed `elapsed` after the first began.
    ///
    /// # Errors
    /// What to tell the caller if there is no next attempt.
    pub(crate) fn after(
        &mut self,
        place: &Place,
        setback: Setback,
        elapsed: Duration,
        dice: f64,
    ) -> Result<Duration, Error> {
        let Setback { error, repeat, trace } = setback;
        self.in_doubt |= self.effect == Effect::Acts && trace == Trace::Possible;
        let pause = match repeat {
            Repeat::Never => None,
            Repeat::Paced => Some(self.pace.pause(self.failed, dice)),
            Repeat::After(pause) => Some(pause),
        };
        self.failed += 1;
        match pause {
            Some(pause) if elapsed.saturating_add(pause) < self.budget => Ok(pause),
            _ => Err(self.give_up(place, error)),
        }
    }

    /// The last error says what became of the request only if no earlier attempt left a question, or it answers the question itself.
    fn give_up(&self, place: &Place, last: Error) -> Error {
        if !self.in_doubt {
            return last;
        }
        match last.kind() {
            // These come from looking at what the request asks for, or under its key: no attempt of it had an effect, or it did not
            // have to.
            ErrorKind::InvalidRequest
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::OutcomeUnknown => last.after_doubt(),
            ErrorKind::Unauthorized
            | ErrorKind::PermissionDenied
            | ErrorKind::TooManyRequests
            | ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Connect
            | ErrorKind::Protocol
            | ErrorKind::Server
            | ErrorKind::NoOutput => {
                let what = format!("it is unknown whether {place} took effect");
                Error::new(ErrorKind::OutcomeUnknown, what).because(last)
            }
        }
    }
}

/// A number in 0..1. Jitter is a courtesy: without a random source all pauses are whole.
pub(crate) fn dice() -> f64 {
    getrandom::u32().map_or(0.0, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use osapi_core::api::endpoints::HealthGet;
    use proptest::prelude::*;

    use super::*;
    use crate::request::Outgoing;

    const BUDGET: Duration = Duration::from_secs(30);

    fn place() -> Place {
        let base = "http://127.0.0.1:1".parse().unwrap();
        Outgoing::to::<HealthGet>(&base, None, &(), &(), &()).unwrap().place
    }

    fn setback(kind: ErrorKind, repeat: Repeat, trace: Trace) -> Setback {
        Setback { error: Error::new(kind, "x"), repeat, trace }
    }

    fn attempts(effect: Effect) -> Attempts {
        Attempts::new(BUDGET, Pace::DEFAULT, effect)
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<_> = (0..7).map(|n| Pace::DEFAULT.pause(n, 0.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3000, 3000]);
        assert_eq!(Pace::DEFAULT.pause(u32::MAX, 1.0), Duration::from_millis(1500));
    }

    #[test]
    fn the_servers_word_on_when_goes_before_the_pace() {
        let after = Duration::from_secs(7);
        let busy = || setback(ErrorKind::Unavailable, Repeat::After(after), Trace::None);
        let mut attempts = attempts(Effect::Acts);
        assert_eq!(attempts.after(&place(), busy(), Duration::ZERO, 0.5).unwrap(), after);
        let late = BUDGET - Duration::from_secs(6);
        let err = attempts.after(&place(), busy(), late, 0.5).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Unavailable, "a pause beyond the budget is not begun");
    }

    #[test]
    fn a_broken_connection_leaves_a_question_that_a_later_refusal_does_not_answer() {
        let broke = || setback(ErrorKind::Connect, Repeat::Paced, Trace::Possible);
        let refused = || setback(ErrorKind::Connect, Repeat::Paced, Trace::None);
        for (effect, kind) in
            [(Effect::Acts, ErrorKind::OutcomeUnknown), (Effect::Reads, ErrorKind::Connect)]
        {
            let mut attempts = attempts(effect);
            attempts.after(&place(), broke(), Duration::ZERO, 0.0).unwrap();
            let err = attempts.after(&place(), refused(), BUDGET, 0.0).unwrap_err();
            assert_eq!(err.kind(), kind, "{effect:?}");
        }
        let err = attempts(Effect::Acts).after(&place(), refused(), BUDGET, 0.0).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Connect, "it never reached the server");
    }

    #[test]
    fn what_was_found_under_the_key_answers_the_question() {
        let mut attempts = attempts(Effect::Acts);
        let broke = setback(ErrorKind::Connect, Repeat::Paced, Trace::Possible);
        attempts.after(&place(), broke, Duration::ZERO, 0.0).unwrap();
        let expired = setback(ErrorKind::Conflict, Repeat::Never, Trace::None);
        let err = attempts.after(&place(), expired, Duration::ZERO, 0.0).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Conflict);
        assert!(err.is_in_doubt());
    }

    proptest! {
        #[test]
        fn no_attempt_begins_after_the_budget_and_none_after_a_final_answer(
            elapsed in 0_u64..60_000, dice in 0.0..1.0_f64, after in 0_u64..60_000, kind in 0_usize..3,
        ) {
            let (elapsed, after) = (Duration::from_millis(elapsed), Duration::from_millis(after));
            let repeat = [Repeat::Never, Repeat::Paced, Repeat::After(after)][kind];
            let setback = setback(ErrorKind::Unavailable, repeat, Trace::None);
            match attempts(Effect::Acts).after(&place(), setback, elapsed, dice) {
                Ok(pause) => {
                    prop_assert!(elapsed + pause < BUDGET);
                    prop_assert_ne!(repeat, Repeat::Never);
                }
                Err(err) => prop_assert_eq!(err.kind(), ErrorKind::Unavailable),
            }
        }
    }
}
