//! Durations as people write them: `300ms`, `30s`, `2m`, `1h30m`, `24h`. Days and longer are refused: they have no fixed length.

use std::fmt;
use std::time::Duration;

/// A text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Neither numbers with units, nor in bounds.
    #[error("must be a duration such as 30s, 5m or 24h")]
    Malformed,
    /// A number without a unit.
    #[error("must have a unit, such as 30s, 5m or 24h")]
    NoUnit,
    /// Days, weeks, months, years.
    #[error("must be in hours or smaller units (ms, s, m, h): for 2 days say 48h")]
    Calendar,
}

/// The duration in `text`: one or more whole numbers, each with `ms`, `s`, `m` or `h`, from the largest unit to the smallest.
///
/// # Errors
/// When the text is anything else, or longer than 2^64 milliseconds.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let (mut rest, mut total, mut smallest) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() || smallest == u64::MAX {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
        let number: u64 = number.parse().map_err(|_| InvalidDuration::Malformed)?;
        let millis = unit_millis(unit)?;
        if millis >= smallest {
            return Err(InvalidDuration::Malformed);
        }
        let part = number.checked_mul(millis).ok_or(InvalidDuration::Malformed)?;
        total = total.checked_add(part).ok_or(InvalidDuration::Malformed)?;
        (rest, smallest) = (after, millis);
    }
    Ok(Duration::from_millis(total))
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn unit_millis(unit: &str) -> Result<u64, InvalidDuration> {
    match unit {
        "ms" => Ok(1),
        "s" => Ok(1_000),
        "m" => Ok(60_000),
        "h" => Ok(3_600_000),
        "" => Err(InvalidDuration::NoUnit),
        "d" | "day" | "days" | "w" | "week" | "weeks" | "month" | "months" | "y" | "year"
        | "years" => Err(InvalidDuration::Calendar),
        _ => Err(InvalidDuration::Malformed),
    }
}

/// Shows a duration in the form that [`parse`] reads, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")] {
            if millis >= unit {
                write!(f, "{}{name}", millis / unit)?;
                millis %= unit;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("0s", 0),
            ("300ms", 300),
            ("30s", 30_000),
            ("90s", 90_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("24h", 86_400_000),
            ("1h1m1s1ms", 3_661_001),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_would_be_right() {
        use InvalidDuration::{Calendar, Malformed, NoUnit};
        for (text, error) in [
            ("", Malformed),
            ("abc", Malformed),
            ("s", Malformed),
            ("-1s", Malformed),
            ("1.5h", NoUnit),
            ("30", NoUnit),
            ("1h30", NoUnit),
            ("30 s", NoUnit),
            ("2d", Calendar),
            ("1week", Calendar),
            ("30m1h", Malformed),
            ("1s1s", Malformed),
            ("1S", Malformed),
            ("99999999999999999999s", Malformed),
            ("18446744073709551615h", Malformed),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&Written(duration).to_string()), Ok(duration));
        }
    }
}
