//! Numbers in brackets: `[1-9]`, `[01-20]`, `[1-3,7]`. They are compared, never written out.

use std::fmt;

use super::error::{Wrong, cut};

/// Most digits of a number.
pub(super) const DIGITS_MAX: usize = 9;

/// Some ranges of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbers(Vec<Range>);

/// Numbers from the first to the last, each written with at least so many digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    last: u32,
    /// Digits of every number, if they are padded with zeros; 0 if not.
    width: usize,
}

impl Numbers {
    /// The numbers in `text`, which stood between brackets.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        text.split(',').map(|part| Range::parse(part, text)).collect::<Result<_, _>>().map(Self)
    }

    /// How many texts it stands for, some perhaps twice.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.last - range.first) + 1).sum()
    }

    /// Fewest characters that it stands for.
    pub(super) fn min_len(&self) -> usize {
        let digits = |range: &Range| range.width.max(digits_of(range.first));
        self.0.iter().map(digits).min().unwrap_or_default()
    }

    /// The lengths of the texts at the beginning of `text` that it stands for.
    pub(super) fn lengths(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        let digits = text.iter().take(DIGITS_MAX).take_while(|c| c.is_ascii_digit()).count();
        let has_zero = digits > 0 && text[0] == b'0';
        let mut number = 0;
        (1..=digits).filter(move |len| {
            number = number * 10 + u32::from(text[len - 1] - b'0');
            let is_padded = has_zero && *len > 1;
            self.0.iter().any(|range| {
                let fits = if range.width > 0 { range.width == *len } else { !is_padded };
                fits && (range.first..=range.last).contains(&number)
            })
        })
    }
}

impl Range {
    fn parse(part: &str, all: &str) -> Result<Self, Wrong> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        for end in [first, last] {
            if end.is_empty() || !end.bytes().all(|c| c.is_ascii_digit()) {
                return Err(Wrong::NoNumbers(cut(all)));
            }
        }
        let ends = || (cut(first), cut(last));
        let number = |text: &str| match text.parse() {
            Ok(number) if text.len() <= DIGITS_MAX => Ok(number),
            _ => Err(Wrong::TooLarge(cut(text))),
        };
        let is_padded = [first, last].iter().any(|end| end.len() > 1 && end.starts_with('0'));
        let range = Self {
            first: number(first)?,
            last: number(last)?,
            width: if is_padded { first.len() } else { 0 },
        };
        match ends() {
            (first, last) if range.first > range.last => Err(Wrong::Reversed { first, last }),
            (first, last) if is_padded && first.len() != last.len() => {
                Err(Wrong::Widths { first, last })
            }
            _ => Ok(range),
        }
    }
}

fn digits_of(number: u32) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (n, Range { first, last, width }) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first:0width$}")?,
                false => write!(f, "{comma}{first:0width$}-{last:0width$}")?,
            }
        }
        f.write_str("]")
    }
}
