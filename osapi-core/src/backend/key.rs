//! Keys of records: tokens `[A-Za-z0-9_-]+` joined by dots, so that they fit every backend as they are.

use std::fmt;
use std::str::FromStr;

/// The key of a record, at most 256 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// The first tokens of keys; the empty prefix is the prefix of all. A prefix is whole tokens: `a.b` covers `a.b` and `a.b.c`, not `a.bc`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid key '{}': must be tokens of letters, digits, '_' and '-' joined by dots", .0.escape_debug())]
pub struct InvalidKey(String);

impl Key {
    const MAX: usize = 256;

    /// The key of these tokens.
    ///
    /// # Panics
    /// When a token is none: call it with parsed identifiers, hashes and numbers.
    #[must_use]
    pub fn of(tokens: &[&(dyn fmt::Display + Sync)]) -> Self {
        let text: Vec<_> = tokens.iter().map(ToString::to_string).collect();
        text.join(".").parse().expect("identifiers, hashes and numbers are tokens")
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its tokens, first to last.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl Prefix {
    /// The prefix of every key.
    pub const ALL: Self = Self(String::new());

    /// The keys that begin with these tokens.
    ///
    /// # Panics
    /// When a token is none.
    #[must_use]
    pub fn of(tokens: &[&(dyn fmt::Display + Sync)]) -> Self {
        Self(Key::of(tokens).0)
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `key` begins with it.
    #[must_use]
    pub fn covers(&self, key: &Key) -> bool {
        self.0.is_empty()
            || key
                .0
                .strip_prefix(&self.0)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = InvalidKey;
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let token = |token: &str| {
            !token.is_empty()
                && token.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
        };
        if text.len() <= Self::MAX && text.split('.').all(token) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidKey(text.chars().take(80).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_whole_tokens() {
        let prefix = Prefix::of(&[&"a", &"b"]);
        for (key, covered) in [("a.b", true), ("a.b.c", true), ("a.bc", false), ("a", false)] {
            assert_eq!(prefix.covers(&key.parse().unwrap()), covered, "{key}");
        }
        assert!(Prefix::ALL.covers(&"x".parse().unwrap()));
    }

    #[test]
    fn keys_are_tokens() {
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "a*", "é", &"x".repeat(257)] {
            assert!(bad.parse::<Key>().is_err(), "{bad:?}");
        }
    }
}
