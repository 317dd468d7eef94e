//! Which bytes of an output are meant: `0-1023`, `1024-`, `-1024`, as in a range of HTTP (RFC 9110 §14.1.2).

use std::ops::Range;
use std::str::FromStr;

/// A text that is no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be bytes such as 0-1023, 1024- or -1024")]
pub(crate) struct InvalidRange;

/// A range of bytes, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// From the first to the last, which is among them.
    Between(u64, u64),
    /// From this one on.
    From(u64),
    /// So many at the end.
    Last(u64),
}

impl ByteRange {
    /// It, where there are `size` bytes.
    pub(crate) fn within(self, size: u64) -> Range<u64> {
        match self {
            Self::Between(first, last) => first..last.saturating_add(1),
            Self::From(first) => first..u64::MAX,
            Self::Last(count) => size.saturating_sub(count)..size,
        }
    }
}

impl FromStr for ByteRange {
    type Err = InvalidRange;
    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let number = |digits: &str| match digits.bytes().all(|c| c.is_ascii_digit()) {
            true => digits.parse::<u64>().map_err(|_| InvalidRange),
            false => Err(InvalidRange),
        };
        match text.split_once('-').ok_or(InvalidRange)? {
            ("", count) => Ok(Self::Last(number(count)?)),
            (first, "") => Ok(Self::From(number(first)?)),
            (first, last) => match (number(first)?, number(last)?) {
                (first, last) if first <= last => Ok(Self::Between(first, last)),
                _ => Err(InvalidRange),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_written_as_in_http() {
        for (text, range) in [
            ("0-0", 0..1),
            ("2-5", 2..6),
            ("8-100", 8..101),
            ("3-", 3..u64::MAX),
            ("-4", 6..10),
            ("-40", 0..10),
            ("-0", 10..10),
        ] {
            assert_eq!(text.parse::<ByteRange>().unwrap().within(10), range, "{text}");
        }
    }

    #[test]
    fn everything_else_is_none() {
        for text in ["", "-", "5", "5-2", "a-b", "+1-2", "1-+2", "1-2-3", "1,2", " 1-2", "1-2k"] {
            assert_eq!(text.parse::<ByteRange>(), Err(InvalidRange), "{text}");
        }
        let beyond = "99999999999999999999-";
        assert_eq!(beyond.parse::<ByteRange>(), Err(InvalidRange));
    }
}
