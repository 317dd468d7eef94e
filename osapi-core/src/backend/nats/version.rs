//! Which servers this backend works with.

use std::fmt;
use std::str::FromStr;

/// A server's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// The first that keeps what the buckets are made with; older ones ignore it silently.
pub(super) const OLDEST: Version = Version::new(2, 11, 0);

/// What is said of a server that works and should be replaced all the same.
pub(super) const FIXED_IN: &str = "2.12.12, 2.14.3 or newer";

impl Version {
    const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Whether the security fixes of its line are in it.
    pub(super) fn has_security_fixes(self) -> bool {
        let line = (self.major, self.minor);
        self >= Self::new(2, 14, 3) || line == (2, 12) && self.patch >= 12
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = std::num::ParseIntError;

    /// Reads `2.15.1`, also with a `v` before or a suffix such as `-RC.1` behind it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = numbers.split('.').map(str::parse);
        let mut part = || parts.next().unwrap_or(Ok(0));
        Ok(Self::new(part()?, part()?, part()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version("v2.12.0-RC.1"), version("2.12"));
        assert!(version("2.9.22") < OLDEST && version("2.11.0") >= OLDEST);
        assert_eq!(version("2.15.1").to_string(), "2.15.1");
        assert!("".parse::<Version>().is_err() && "devel".parse::<Version>().is_err());
    }

    #[test]
    fn each_line_has_its_own_fix() {
        for (text, fixed) in [
            ("2.11.20", false),
            ("2.12.11", false),
            ("2.12.12", true),
            ("2.13.9", false),
            ("2.14.2", false),
            ("2.14.3", true),
            ("2.15.0", true),
            ("3.0.0", true),
        ] {
            assert_eq!(version(text).has_security_fixes(), fixed, "{text}");
        }
    }
}
