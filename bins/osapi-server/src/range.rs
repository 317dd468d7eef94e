//! Which bytes a `Range` header asks for (RFC 9110 §14).

use std::ops::Range;

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};

/// What to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ranged {
    /// 200 with everything.
    Whole,
    /// 206 with these bytes, of which there is at least one.
    Part(Range<u64>),
    /// 416: none of them exists.
    Unsatisfiable,
}

/// What to answer when there are `size` bytes. Another unit, several ranges and what cannot be read are ignored, as §14.2 allows; so
/// is a range under a condition, because answers carry no validator that it could name (§13.1.5).
pub(crate) fn of(headers: &HeaderMap, size: u64) -> Ranged {
    let mut fields = headers.get_all(RANGE).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(only), None) if !headers.contains_key(IF_RANGE) => only.to_str().unwrap_or_default(),
        _ => return Ranged::Whole,
    };
    let Some((unit, range)) = field.split_once('=') else { return Ranged::Whole };
    let Some((first, last)) = range.trim().split_once('-') else { return Ranged::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranged::Whole;
    }
    match (number(first), number(last)) {
        (Bound::At(first), Bound::At(last)) if first <= last => {
            part(first..last.saturating_add(1).min(size))
        }
        (Bound::At(first), Bound::Absent) => part(first..size),
        (Bound::Absent, Bound::At(count)) => part(size.saturating_sub(count)..size),
        _ => Ranged::Whole,
    }
}

fn part(range: Range<u64>) -> Ranged {
    if range.is_empty() { Ranged::Unsatisfiable } else { Ranged::Part(range) }
}

enum Bound {
    Absent,
    At(u64),
    Unreadable,
}

fn number(text: &str) -> Bound {
    match text {
        "" => Bound::Absent,
        _ if !text.bytes().all(|c| c.is_ascii_digit()) => Bound::Unreadable,
        _ => Bound::At(text.parse().unwrap_or(u64::MAX)), // beyond every size, not unreadable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranged(field: &str, size: u64) -> Ranged {
        of(&[(RANGE, field.parse().unwrap())].into_iter().collect(), size)
    }

    #[test]
    fn one_range_is_clamped_to_what_there_is() {
        for (field, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-4", 2..5),
            ("bytes=2-99999999999999999999999", 2..10),
            ("BYTES=9-9", 9..10),
            ("bytes=4-", 4..10),
            ("bytes=-3", 7..10),
            ("bytes=-30", 0..10),
        ] {
            assert_eq!(ranged(field, 10), Ranged::Part(part), "{field}");
        }
    }

    #[test]
    fn what_begins_behind_the_end_is_unsatisfiable() {
        for (field, size) in
            [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
        {
            assert_eq!(ranged(field, size), Ranged::Unsatisfiable, "{field}");
        }
    }

    #[test]
    fn everything_else_is_answered_whole() {
        for field in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=0-1,3-4",
            "lines=0-1",
        ] {
            assert_eq!(ranged(field, 10), Ranged::Whole, "{field}");
        }
        assert_eq!(of(&HeaderMap::new(), 10), Ranged::Whole);
        let range = (RANGE, "bytes=0-1".parse().unwrap());
        let twice = [range.clone(), range.clone()].into_iter().collect();
        assert_ne!(of(&twice, 10), Ranged::Part(0..2), "given twice");
        let conditional = [range, (IF_RANGE, "\"x\"".parse().unwrap())].into_iter().collect();
        assert_eq!(of(&conditional, 10), Ranged::Whole, "under a condition");
    }
}
