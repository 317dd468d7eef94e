//! What is due when, by time since boot.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::id::JobId;
use crate::job::limits::{RESEND_MAX, RESEND_MIN};

/// What a timer is for. There is one timer of each kind per job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Wake {
    /// The regular hello, and whatever else is done that often.
    Hello,
    /// The registration is sent again.
    Register,
    /// Changes that nothing waits for are written.
    Lazy,
    /// The journal is opened again.
    Journal,
    /// A drain runs out of patience.
    Drain,
    /// An execution runs past its timeout.
    Timeout(JobId),
    /// Leftovers are ended again.
    Leftovers(JobId),
    /// A claim is asked for again.
    Claim(JobId),
    /// A report is sent again.
    Report(JobId),
    /// Parts of an output are sent.
    Upload(JobId),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Duration, Wake)>,
    of: HashMap<Wake, Duration>,
}

impl Timers {
    /// Sets the timer, whatever it was set to.
    pub(super) fn set(&mut self, wake: Wake, at: Duration) {
        self.clear(wake);
        self.of.insert(wake, at);
        self.due.insert((at, wake));
    }

    pub(super) fn clear(&mut self, wake: Wake) {
        if let Some(at) = self.of.remove(&wake) {
            self.due.remove(&(at, wake));
        }
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A timer that is due, cleared.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Wake> {
        let (at, wake) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.clear(wake);
        Some(wake)
    }
}

/// The pause after the attempt number `tries` (from 0): it doubles from [`RESEND_MIN`] up to [`RESEND_MAX`].
pub(in crate::agent) fn pause_after(tries: u32) -> Duration {
    RESEND_MIN.saturating_mul(1 << tries.min(10)).min(RESEND_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds() {
        let pauses: Vec<_> = (0..7).map(|tries| pause_after(tries).as_millis()).collect();
        assert_eq!(pauses, [300, 600, 1200, 2400, 4800, 5000, 5000]);
        assert_eq!(pause_after(u32::MAX), RESEND_MAX);
    }

    #[test]
    fn a_timer_that_is_set_again_rings_once() {
        let mut timers = Timers::default();
        timers.set(Wake::Hello, Duration::from_secs(1));
        timers.set(Wake::Hello, Duration::from_secs(3));
        timers.set(Wake::Register, Duration::from_secs(2));
        assert_eq!(timers.pop(Duration::from_secs(1)), None);
        assert_eq!(timers.pop(Duration::from_secs(9)), Some(Wake::Register));
        assert_eq!(timers.pop(Duration::from_secs(9)), Some(Wake::Hello));
        assert_eq!(timers.pop(Duration::from_secs(9)), None);
    }
}
