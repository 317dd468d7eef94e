//! Patterns for one text each: a whole argument, a whole path, a whole subject.

use std::fmt;

use serde::Deserialize;

/// Stands for whatever arguments there are from here on.
const REST: &str = "...";

/// A pattern. `*` is any characters but `/`, `**` any at all, `?` one that is no `/`; `\` takes the next one as it is. It is about the whole
/// text. What it does not spell is never a `-` at the beginning, which would make an option of it, nor a path with `..` in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Is(char),
    One,
    Some,
    Any,
}

impl Part {
    fn is_wild(self) -> bool {
        !matches!(self, Self::Is(_))
    }

    /// Whether it takes `c`.
    fn takes(self, c: char) -> bool {
        match self {
            Self::Is(own) => own == c,
            Self::One | Self::Some => c != '/',
            Self::Any => true,
        }
    }

    /// Whether it takes any number of characters.
    fn repeats(self) -> bool {
        matches!(self, Self::Some | Self::Any)
    }
}

impl Pattern {
    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The one text that it is about, if there is only one.
    pub(crate) fn literal(&self) -> Option<String> {
        self.parts.iter().map(|part| if let Part::Is(c) = part { Some(*c) } else { None }).collect()
    }

    /// Whether it is about `text`.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let is_wild = self.parts.iter().any(|part| part.is_wild());
        if is_wild && has_parent_segment(text) {
            return false;
        }
        if text.starts_with('-') && self.parts.first().is_some_and(|part| part.is_wild()) {
            return false;
        }
        self.takes(text)
    }

    /// All ways at once, so that no text makes it slow: which parts may come next, after each character.
    fn takes(&self, text: &str) -> bool {
        let end = self.parts.len();
        let mut at = vec![false; end + 1];
        at[0] = true;
        self.skip_empty(&mut at);
        for c in text.chars() {
            let mut next = vec![false; end + 1];
            for (n, part) in self.parts.iter().enumerate().filter(|(n, _)| at[*n]) {
                if part.takes(c) {
                    next[if part.repeats() { n } else { n + 1 }] = true;
                }
            }
            self.skip_empty(&mut next);
            at = next;
        }
        at[end]
    }

    /// What repeats may also be nothing.
    fn skip_empty(&self, at: &mut [bool]) {
        for (n, part) in self.parts.iter().enumerate() {
            if at[n] && part.repeats() {
                at[n + 1] = true;
            }
        }
    }
}

/// Whether a path in `text` leads up again, be it alone or behind an option such as `-I` or `--file=`.
fn has_parent_segment(text: &str) -> bool {
    text.split('/').any(|segment| segment.ends_with(".."))
}

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '\\' => Part::Is(chars.next().ok_or("a pattern cannot end with a single '\\'")?),
                '?' => Part::One,
                '*' if chars.next_if_eq(&'*').is_some() => Part::Any,
                '*' => Part::Some,
                c => Part::Is(c),
            });
        }
        Ok(Self { text, parts })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Patterns for an argument list: one for each, and `...` at the end for whatever follows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct Args {
    each: Vec<Pattern>,
    rest: bool,
}

/// Why an argument list is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArgsMismatch {
    /// This one, counted from 1.
    Argument(usize, String),
    /// There are more than so many.
    TooMany(usize),
    /// There are fewer than so many.
    TooFew(usize),
}

impl Args {
    /// Whether it is about this list.
    pub(crate) fn check(&self, args: &[String]) -> Result<(), ArgsMismatch> {
        for (n, (pattern, arg)) in self.each.iter().zip(args).enumerate() {
            if !pattern.matches(arg) {
                return Err(ArgsMismatch::Argument(n + 1, arg.clone()));
            }
        }
        if args.len() < self.each.len() {
            Err(ArgsMismatch::TooFew(self.each.len()))
        } else if args.len() > self.each.len() && !self.rest {
            Err(ArgsMismatch::TooMany(self.each.len()))
        } else {
            Ok(())
        }
    }

    /// Whether it leaves something to who asks.
    pub(crate) fn is_open(&self) -> bool {
        self.rest || self.each.iter().any(|pattern| pattern.literal().is_none())
    }

    /// Whether it is about no argument at all.
    pub(crate) fn is_none(&self) -> bool {
        self.each.is_empty() && !self.rest
    }
}

impl TryFrom<Vec<String>> for Args {
    type Error = &'static str;

    fn try_from(mut texts: Vec<String>) -> Result<Self, Self::Error> {
        let rest = texts.pop_if(|last| last == REST).is_some();
        if texts.iter().any(|text| text == REST) {
            return Err("'...' stands for all further arguments, and can only be the last of args");
        }
        let each = texts.into_iter().map(Pattern::try_from).collect::<Result<_, _>>()?;
        Ok(Self { each, rest })
    }
}
