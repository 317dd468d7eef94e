//! How long a job waits for hosts that are down.

use std::time::Duration;

use super::Target;
use super::limits::{Invalid, QUEUE_FOR_MAX, QUEUE_FOR_MIN};

/// How long hosts that are down are waited for, from the arrival of the request: 1 second to 24 hours, in whole seconds.
///
/// ```
/// use std::time::Duration;
/// use osapi_core::job::QueueFor;
///
/// let two_hours: QueueFor = Duration::from_secs(7200).try_into()?;
/// assert_eq!(two_hours.seconds(), 7200);
/// assert!(QueueFor::try_from(Duration::ZERO).is_err());
/// # Ok::<(), osapi_core::job::Invalid>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueFor(u32);

impl QueueFor {
    /// The time in seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// The time.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }

    /// Makes sure that `target` says which hosts are waited for: `_any` means one that is up.
    ///
    /// # Errors
    /// When it is `_any`.
    pub fn check_target(self, target: &Target) -> Result<(), Invalid> {
        match target {
            Target::Any => {
                Err(Invalid::new("queue_for", "used with a target that says which hosts", target))
            }
            _ => Ok(()),
        }
    }
}

impl TryFrom<Duration> for QueueFor {
    type Error = Invalid;
    /// A part of a second counts as one.
    fn try_from(time: Duration) -> Result<Self, Invalid> {
        let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
        let bounds = QUEUE_FOR_MIN.as_secs()..=QUEUE_FOR_MAX.as_secs();
        match u32::try_from(seconds) {
            Ok(whole) if bounds.contains(&seconds) => Ok(Self(whole)),
            _ => {
                let bound = format!("{} to {} seconds", bounds.start(), bounds.end());
                Err(Invalid::new("queue_for", bound, seconds))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_bounds_and_counts_whole_seconds() {
        let of = |time| QueueFor::try_from(time).map(QueueFor::seconds);
        for (time, seconds) in [
            (Duration::from_millis(1), 1),
            (Duration::from_millis(1001), 2),
            (Duration::from_secs(86_400), 86_400),
        ] {
            assert_eq!(of(time).unwrap(), seconds, "{time:?}");
        }
        for (time, text) in [
            (Duration::ZERO, "queue_for must be 1 to 86400 seconds, not 0"),
            (Duration::from_secs(86_401), "queue_for must be 1 to 86400 seconds, not 86401"),
            (
                Duration::from_secs(1 << 40),
                "queue_for must be 1 to 86400 seconds, not 1099511627776",
            ),
        ] {
            assert_eq!(of(time).unwrap_err().to_string(), text);
        }
        assert!(of(Duration::MAX).is_err());
    }

    #[test]
    fn any_waits_for_nobody() {
        let hour: QueueFor = Duration::from_secs(3600).try_into().unwrap();
        let text = "queue_for must be used with a target that says which hosts, not _any";
        assert_eq!(hour.check_target(&Target::Any).unwrap_err().to_string(), text);
        for target in ["_all", "web-01", "group:web"] {
            assert!(hour.check_target(&target.parse().unwrap()).is_ok(), "{target}");
        }
    }
}
