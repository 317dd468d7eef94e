//! Times as they are typed: `10`, `5s`, `2m`, `1m30s`, `48h`, `90d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use osapi_core::job::QueueFor;
use osapi_core::job::limits::{TIMEOUT_DEFAULT_S, TIMEOUT_MAX_S, TIMEOUT_MIN_S};

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDuration {
    #[error("must be a time in whole seconds, such as 10, 5s or 2m")]
    NoTime,
    #[error("must be a time with a unit, such as 12h or 90d")]
    NoLife,
    #[error("must be {TIMEOUT_MIN_S} to {TIMEOUT_MAX_S} seconds")]
    Timeout,
    #[error("must be at least 1s")]
    Life,
    #[error("must be at most 3600 seconds")]
    Wait,
    #[error("must be 1 second to 24 hours, such as 90m or 2h")]
    QueueFor,
}

/// A command's timeout: a bare number is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeout(u32);

/// The life of a token. It has to name its unit: nobody means 90 seconds by 90.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life(pub(crate) Duration);

/// How long to wait for a job, at most an hour: a bare number is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Duration);

impl Timeout {
    /// The timeout in seconds, 1 to 300.
    pub(crate) fn seconds(self) -> u32 {
        self.0
    }
}

impl Default for Timeout {
    fn default() -> Self {
        Self(TIMEOUT_DEFAULT_S)
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

impl FromStr for Timeout {
    type Err = InvalidDuration;
    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let seconds = number(text).or_else(|| with_units(text)).ok_or(InvalidDuration::NoTime)?;
        let seconds = u32::try_from(seconds).map_err(|_| InvalidDuration::Timeout)?;
        if !(TIMEOUT_MIN_S..=TIMEOUT_MAX_S).contains(&seconds) {
            return Err(InvalidDuration::Timeout);
        }
        Ok(Self(seconds))
    }
}

impl FromStr for Life {
    type Err = InvalidDuration;
    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        match with_units(text) {
            Some(0) => Err(InvalidDuration::Life),
            Some(seconds) => Ok(Self(Duration::from_secs(seconds))),
            None => Err(InvalidDuration::NoLife),
        }
    }
}

impl FromStr for Wait {
    type Err = InvalidDuration;
    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        match number(text).or_else(|| with_units(text)) {
            Some(seconds @ 0..=3600) => Ok(Self(Duration::from_secs(seconds))),
            Some(_) => Err(InvalidDuration::Wait),
            None => Err(InvalidDuration::NoTime),
        }
    }
}

/// How long hosts that are down are waited for: a bare number is seconds.
pub(crate) fn queue_for(text: &str) -> Result<QueueFor, InvalidDuration> {
    let seconds = number(text).or_else(|| with_units(text)).ok_or(InvalidDuration::NoTime)?;
    Duration::from_secs(seconds).try_into().map_err(|_| InvalidDuration::QueueFor)
}

fn number(text: &str) -> Option<u64> {
    // `parse` alone would take "+5".
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Seconds in one or more numbers with a unit each, larger units first.
fn with_units(text: &str) -> Option<u64> {
    let (mut rest, mut seconds, mut previous) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, tail) = rest.split_at(digits);
        let unit = match tail.chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        if unit >= previous {
            return None;
        }
        seconds = seconds.checked_add(number(count)?.checked_mul(unit)?)?;
        (rest, previous) = (&tail[1..], unit);
    }
    (!text.is_empty()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_seconds_or_carry_units() {
        for (text, seconds) in
            [("1", 1), ("10", 10), ("5s", 5), ("2m", 120), ("1m30s", 90), ("300", 300)]
        {
            assert_eq!(text.parse::<Timeout>().unwrap().seconds(), seconds, "{text}");
        }
    }

    #[test]
    fn timeouts_out_of_bounds_are_refused_with_the_bound() {
        for text in ["0", "0s", "301", "6m", "1d", "99999999999"] {
            let err = text.parse::<Timeout>().unwrap_err();
            assert_eq!(err.to_string(), "must be 1 to 300 seconds", "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "abc", "5x", "5ms", "s", "+5", "-1", "1.5", "5 s", "30s1m", "1s1s", "é"] {
            assert_eq!(text.parse::<Timeout>(), Err(InvalidDuration::NoTime), "{text:?}");
        }
    }

    #[test]
    fn a_life_names_its_unit() {
        assert_eq!("90d".parse::<Life>().unwrap().0, Duration::from_secs(90 * 86_400));
        assert_eq!("1d12h".parse::<Life>().unwrap().0, Duration::from_secs(36 * 3600));
        assert_eq!("90".parse::<Life>(), Err(InvalidDuration::NoLife));
        assert_eq!("0d".parse::<Life>(), Err(InvalidDuration::Life));
        assert_eq!("99999999999999999999d".parse::<Life>(), Err(InvalidDuration::NoLife));
    }

    #[test]
    fn hosts_are_waited_for_up_to_a_day() {
        let of = |text| queue_for(text).map(QueueFor::seconds);
        for (text, seconds) in [("30", 30), ("90m", 5400), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(of(text), Ok(seconds), "{text}");
        }
        for text in ["0", "25h", "99999999999999"] {
            assert_eq!(of(text), Err(InvalidDuration::QueueFor), "{text}");
        }
        assert_eq!(of("soon"), Err(InvalidDuration::NoTime));
    }

    #[test]
    fn a_wait_is_at_most_an_hour() {
        assert_eq!("1h".parse::<Wait>().unwrap().0, Duration::from_secs(3600));
        assert_eq!("0".parse::<Wait>().unwrap().0, Duration::ZERO);
        assert_eq!("61m".parse::<Wait>(), Err(InvalidDuration::Wait));
    }
}
