//! Which hosts are meant, parsed once from the text that a user wrote. The language is described in docs/targets.md.
//!
//! A text is parsed to a [`Target`], whose [`Expression`] holds names, labels and patterns; a [`Matcher`] says of
//! many hosts which of them it means. Only controllers ask it, once per job.

mod error;
mod expression;
mod matcher;
mod numbers;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::id::AgentName;

pub use error::{InvalidTarget, Wrong};
pub use expression::{Expression, Hostname};
pub use matcher::{Described, Matcher};

/// Which hosts are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// `_any`: exactly one host that is live and ready.
    Any,
    /// `_all`: every known host.
    All,
    /// The host of that name.
    Host(AgentName),
    /// Whatever else the language can say.
    Hosts(Expression),
}

impl Target {
    /// The reserved word for one host that is live and ready.
    pub const ANY: &'static str = "_any";
    /// The reserved word for every known host.
    pub const ALL: &'static str = "_all";

    /// Whether it names every host by `_all` or `*`, even if it then leaves some out: a reason to ask whether it is meant.
    #[must_use]
    pub fn names_everyone(&self) -> bool {
        match self {
            Self::Any | Self::Host(_) => false,
            Self::All => true,
            Self::Hosts(expression) => expression.names_everyone(),
        }
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        parse::target(text)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(Self::ANY),
            Self::All => f.write_str(Self::ALL),
            Self::Host(name) => name.fmt(f),
            Self::Hosts(expression) => expression.fmt(f),
        }
    }
}
