//! As whom a command runs: a user of the host, by name or by number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of a user, in bytes (`LOGIN_NAME_MAX` is 256 on Linux, with the NUL).
const NAME_MAX: usize = 255;
/// It stands for "no user" in setresuid(2).
const NOBODY_AT_ALL: u32 = u32::MAX;

/// A text that names no user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be the name of a user, which does not begin with a digit, or a number up to 4294967294"
)]
pub struct InvalidUser;

/// A user of a host: a name, or digits alone, which are a number.
///
/// What begins with a digit and is no number is neither: it has been taken for a number, and so for root, by other programs.
///
/// ```
/// use osapi_core::job::UserName;
///
/// assert_eq!("www-data".parse::<UserName>()?.uid(), None);
/// assert_eq!("33".parse::<UserName>()?.uid(), Some(33));
/// assert!("0day".parse::<UserName>().is_err());
/// # Ok::<(), osapi_core::job::user::InvalidUser>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// It as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number, if it is one.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        self.0.parse().ok()
    }
}

impl TryFrom<String> for UserName {
    type Error = InvalidUser;
    fn try_from(text: String) -> Result<Self, InvalidUser> {
        // A line of passwd(5) ends its fields by ':' and itself by a newline.
        let is_name = (1..=NAME_MAX).contains(&text.len())
            && !text.starts_with(['-', '+'])
            && !text
                .contains(|c: char| c == ':' || c == '/' || c.is_control() || c.is_whitespace());
        let begins_as_number = text.starts_with(|c: char| c.is_ascii_digit());
        let is_number = || {
            text.bytes().all(|c| c.is_ascii_digit())
                && text.parse::<u32>().is_ok_and(|uid| uid != NOBODY_AT_ALL)
        };
        if is_name && (!begins_as_number || is_number()) {
            Ok(Self(text))
        } else {
            Err(InvalidUser)
        }
    }
}

impl FromStr for UserName {
    type Err = InvalidUser;
    fn from_str(text: &str) -> Result<Self, InvalidUser> {
        text.to_owned().try_into()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_number_and_everything_else_a_name() {
        for (text, uid) in [
            ("web", None),
            ("_apt", None),
            ("systemd-network", None),
            ("ann@example.com", None),
            ("müller", None),
            ("0", Some(0)),
            ("007", Some(7)),
            ("4294967294", Some(u32::MAX - 1)),
        ] {
            assert_eq!(text.parse::<UserName>().unwrap().uid(), uid, "{text}");
        }
    }

    #[test]
    fn what_could_be_taken_for_somebody_else_is_nobody() {
        let long = "x".repeat(NAME_MAX + 1);
        for text in [
            "",
            "0day",
            "0x0",
            "1e3",
            "4294967295",
            "4294967296",
            "-1",
            "+0",
            "a b",
            " 0",
            "0\n",
            "root:x",
            "a/b",
            "a\0",
            &long,
        ] {
            assert_eq!(text.parse::<UserName>(), Err(InvalidUser), "{text:?}");
        }
        assert!(serde_json::from_str::<UserName>("0").is_err(), "a text in JSON");
    }
}
