//! Why a text is no target: what is wrong, where, and what would be right.

use crate::id::InvalidId;
use crate::job::limits::{HOSTS_MAX, TARGET_MAX};

use super::Target;

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Nothing, or only spaces.
    #[error("target is empty: name a host, '_any' or '_all'")]
    Empty,
    /// More than 4 KiB.
    #[error("target has {0} bytes: at most {TARGET_MAX} are allowed")]
    TooLong(usize),
    /// A part of it is wrong.
    #[error("target is wrong at column {column}: {wrong}")]
    At {
        /// Where: the character, counted from 1.
        column: usize,
        /// What.
        wrong: Wrong,
    },
}

/// What is wrong with a part of a target. Texts of it are cut to 80 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// An operator without what belongs to it.
    #[error("a name, a label or a pattern is missing here")]
    Missing,
    /// Something stands after a name without an operator.
    #[error("'{}' needs ',' (or) or '&' (and) before it", .0.escape_debug())]
    Unexpected(char),
    /// `!!`
    #[error("'!' is written twice: leave both out")]
    NotTwice,
    /// Parentheses.
    #[error("there are no parentheses: for 'a or b, and c' write a&c,b&c")]
    Parenthesis,
    /// A word that begins with `_` and is none that there is.
    #[error("unknown reserved word '{}': there are '{any}' and '{all}'", .0.escape_debug(), any = Target::ANY, all = Target::ALL)]
    Reserved(String),
    /// `_any` beside something else.
    #[error("'{}' stands alone: it is one host out of all", Target::ANY)]
    AnyIsNotAlone,
    /// `!_all`
    #[error("'!{}' leaves no host", Target::ALL)]
    ExcludesAll,
    /// Nothing but exclusions.
    #[error("it only says which hosts are left out: write {all},{0}", all = Target::ALL)]
    OnlyExclusions(String),
    /// A character that no name has.
    #[error("'{}' is no part of a name, which has letters, digits, '_' and '-'", .0.escape_debug())]
    Character(char),
    /// A name that no host can have.
    #[error("a name starts with a letter or a digit, not with '-'")]
    NameStart,
    /// A name that is longer than any can be.
    #[error("a name has at most {0} characters")]
    TooLong(usize),
    /// `[` without `]`.
    #[error("'[' is not closed by ']'")]
    Unclosed,
    /// `]` without `[`.
    #[error("']' closes no '['")]
    Unopened,
    /// Brackets around something else than numbers.
    #[error("'[{}]' is no range of numbers: write one such as [1-9], [01-20] or [1-3,7]", .0.escape_debug())]
    NoNumbers(String),
    /// A range that ends before it begins.
    #[error("range {first}-{last} ends before it begins: write {last}-{first}")]
    Reversed {
        /// Where it begins.
        first: String,
        /// Where it ends.
        last: String,
    },
    /// A range whose ends have different widths, one of them padded with zeros.
    #[error("the ends of range {first}-{last} have different widths: pad both with zeros, or none")]
    Widths {
        /// Where it begins.
        first: String,
        /// Where it ends.
        last: String,
    },
    /// A number that is larger than any range can need.
    #[error("number {0} is too large: at most {digits} digits are allowed", digits = super::numbers::DIGITS_MAX)]
    TooLarge(String),
    /// Ranges that make more names than a job may have hosts.
    #[error("its ranges make {0} names: at most {HOSTS_MAX} are allowed")]
    TooManyNames(u64),
    /// A glob or a range in a host name with dots.
    #[error(
        "a host name with dots is looked up as it is: globs and ranges are for names and labels"
    )]
    PatternInHostname,
    /// Two dots in a row, or one at an end.
    #[error("there is nothing between two dots, or before or after one")]
    EmptySegment,
    /// The key of a label.
    #[error(transparent)]
    LabelKey(#[from] InvalidId),
    /// A label without a value.
    #[error("label '{0}:' has no value: write {0}:* for any")]
    NoLabelValue(String),
}

impl Wrong {
    pub(super) fn at(self, column: usize) -> InvalidTarget {
        InvalidTarget::At { column, wrong: self }
    }
}

/// What is repeated of a text in an error.
pub(super) fn cut(text: &str) -> String {
    const MAX: usize = 80;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
