//! Which permissions the files that a command makes do not get.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is no umask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be three or four octal digits, 0000 to 0777")]
pub struct InvalidUmask;

/// The file mode creation mask of a command (umask(2)); octal digits in a text, such as `0027`.
///
/// ```
/// use osapi_core::job::Umask;
///
/// assert_eq!("027".parse::<Umask>()?.bits(), 0o027);
/// assert_eq!("027".parse::<Umask>()?.to_string(), "0027");
/// # Ok::<(), osapi_core::job::umask::InvalidUmask>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Umask(u16);

impl Umask {
    /// The permission bits that are taken away.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl FromStr for Umask {
    type Err = InvalidUmask;
    fn from_str(text: &str) -> Result<Self, InvalidUmask> {
        let is_octal = text.bytes().all(|c| matches!(c, b'0'..=b'7'));
        if !is_octal || !(3..=4).contains(&text.len()) {
            return Err(InvalidUmask);
        }
        match u16::from_str_radix(text, 8) {
            Ok(bits @ ..=0o777) => Ok(Self(bits)),
            _ => Err(InvalidUmask),
        }
    }
}

impl TryFrom<String> for Umask {
    type Error = InvalidUmask;
    fn try_from(text: String) -> Result<Self, InvalidUmask> {
        text.parse()
    }
}

impl From<Umask> for String {
    fn from(umask: Umask) -> Self {
        umask.to_string()
    }
}

impl fmt::Display for Umask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_in_octal_digits() {
        for (text, bits) in [("000", 0), ("0022", 0o022), ("777", 0o777), ("0777", 0o777)] {
            assert_eq!(text.parse::<Umask>().unwrap().bits(), bits, "{text}");
        }
        for text in ["", "0", "22", "00022", "1000", "1777", "0o22", "-022", "+022", "028", "u=rwx"]
        {
            assert_eq!(text.parse::<Umask>(), Err(InvalidUmask), "{text}");
        }
        assert_eq!(serde_json::to_string(&"022".parse::<Umask>().unwrap()).unwrap(), r#""0022""#);
        assert!(serde_json::from_str::<Umask>("22").is_err(), "a number would be decimal");
    }
}
