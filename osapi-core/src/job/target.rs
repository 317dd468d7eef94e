//! Which hosts are meant, parsed once from the text that a user wrote.

use std::fmt;
use std::str::FromStr;

use super::limits::TARGET_MAX;
use crate::id::AgentName;

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
}

/// Why a text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Nothing, or only spaces.
    #[error("target is empty: name a host, '_any' or '_all'")]
    Empty,
    /// More than 4 KiB.
    #[error("target has {0} bytes: at most {TARGET_MAX} are allowed")]
    TooLong(usize),
    /// Starts with `_` and is not one of the reserved words.
    #[error("unknown reserved target '{}': there are '_any' and '_all'", .0.escape_debug())]
    Reserved(String),
    /// Not the name of a host.
    #[error("target '{}' is no host name: {rule}", text.escape_debug())]
    Name {
        /// The text, cut to 80 characters.
        text: String,
        /// What a name may be.
        rule: &'static str,
    },
}

impl Target {
    /// The reserved word for one host that is live and ready.
    pub const ANY: &'static str = "_any";
    /// The reserved word for every known host.
    pub const ALL: &'static str = "_all";
}

impl FromStr for Target {
    type Err = InvalidTarget;
    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let cut = || text.chars().take(80).collect::<String>();
        match text {
            _ if text.trim().is_empty() => Err(InvalidTarget::Empty),
            _ if text.len() > TARGET_MAX => Err(InvalidTarget::TooLong(text.len())),
            Self::ANY => Ok(Self::Any),
            Self::ALL => Ok(Self::All),
            _ if text.starts_with('_') => Err(InvalidTarget::Reserved(cut())),
            _ => text.parse().map(Self::Host).map_err(|err: crate::id::InvalidId| {
                InvalidTarget::Name { text: cut(), rule: err.rule }
            }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str(Self::ANY),
            Self::All => f.write_str(Self::ALL),
            Self::Host(name) => name.fmt(f),
        }
    }
}
