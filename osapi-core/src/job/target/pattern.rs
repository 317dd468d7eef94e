//! Patterns over names and the segments of label values: `web-*`, `db?`, `web-[01-20]`.

use std::fmt;

use super::numbers::Numbers;
use crate::job::limits::LABEL_VALUE_MAX;

/// A pattern. Work and memory to match it are bounded by its length times that of the text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pattern {
    elements: Vec<Element>,
    min_len: usize,
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    /// These characters.
    Literal(String),
    /// Any one character.
    One,
    /// Any characters, or none.
    Many,
    /// Any of these numbers.
    Numbers(Numbers),
}

impl Pattern {
    /// Appends an element. What says nothing new is left out, so that equal patterns are written alike.
    pub(super) fn push(&mut self, element: Element) {
        self.min_len += match &element {
            Element::Literal(text) => text.len(),
            Element::One => 1,
            Element::Many => 0,
            Element::Numbers(numbers) => numbers.min_len(),
        };
        match (self.elements.last_mut(), element) {
            (Some(Element::Many), Element::Many) => {}
            (Some(Element::Literal(text)), Element::Literal(more)) => text.push_str(&more),
            (_, element) => self.elements.push(element),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The text, if it stands for one only.
    pub(super) fn as_literal(&self) -> Option<&str> {
        match self.elements.as_slice() {
            [Element::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Fewest characters that it matches.
    pub(super) fn min_len(&self) -> usize {
        self.min_len
    }

    /// How many texts its ranges make.
    pub(super) fn count(&self) -> u64 {
        let numbers = self.elements.iter().filter_map(|element| match element {
            Element::Numbers(numbers) => Some(numbers.count()),
            Element::Literal(_) | Element::One | Element::Many => None,
        });
        numbers.fold(1, u64::saturating_mul)
    }

    /// Whether it matches every text that is not empty.
    pub(super) fn is_everything(&self) -> bool {
        self.min_len <= 1
            && self.elements.contains(&Element::Many)
            && self.elements.iter().all(|e| matches!(e, Element::Many | Element::One))
    }

    /// Whether it matches the whole of `text`, which has at most 128 bytes.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        if text.len() < self.min_len || text.len() > LABEL_VALUE_MAX || !self.fits_ends(text) {
            return false;
        }
        if let Some(literal) = self.as_literal() {
            return literal.as_bytes() == text;
        }
        let mut reached = [false; PLACES];
        reached[0] = true;
        for element in &self.elements {
            reached = element.step(&reached, text);
        }
        reached[text.len()]
    }

    /// Most texts differ at an end already.
    fn fits_ends(&self, text: &[u8]) -> bool {
        let begins = match self.elements.first() {
            Some(Element::Literal(literal)) => text.starts_with(literal.as_bytes()),
            _ => true,
        };
        begins
            && match self.elements.last() {
                Some(Element::Literal(literal)) => text.ends_with(literal.as_bytes()),
                _ => true,
            }
    }
}

/// Places between the characters of the longest text, and at its ends.
const PLACES: usize = LABEL_VALUE_MAX + 1;

impl Element {
    /// The places after this element, from each of those before it.
    fn step(&self, before: &[bool; PLACES], text: &[u8]) -> [bool; PLACES] {
        let mut after = [false; PLACES];
        for place in (0..=text.len()).filter(|place| before[*place]) {
            let rest = &text[place..];
            match self {
                Self::Many => {
                    after[place..=text.len()].fill(true);
                    break;
                }
                Self::Literal(literal) if rest.starts_with(literal.as_bytes()) => {
                    after[place + literal.len()] = true;
                }
                Self::One if !rest.is_empty() => after[place + 1] = true,
                Self::Numbers(numbers) => {
                    numbers.lengths(rest).for_each(|len| after[place + len] = true);
                }
                Self::Literal(_) | Self::One => {}
            }
        }
        after
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.elements.iter().try_for_each(|element| match element {
            Element::Literal(text) => f.write_str(text),
            Element::One => f.write_str("?"),
            Element::Many => f.write_str("*"),
            Element::Numbers(numbers) => numbers.fmt(f),
        })
    }
}
