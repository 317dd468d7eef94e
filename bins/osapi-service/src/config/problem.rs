//! What can be wrong with a configuration, and how it is said.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No YAML, or a value of another type: file, line, column and an excerpt.
    #[error("configuration file '{}' is not valid: {message}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong and where, in several lines.
        message: String,
    },
    /// Everything that is wrong with its keys and values.
    #[error("configuration is not valid:{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `file:line:column`, or the name of an environment variable.
    pub place: String,
    /// What, and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// The one of `known` that somebody who wrote `written` may have meant.
pub(super) fn near<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let tolerated = (written.chars().count() / 3).clamp(1, 3);
    let distances = known.into_iter().map(|name| (strsim::osa_distance(written, name), name));
    distances.filter(|(distance, _)| *distance <= tolerated).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_told_from_another_word() {
        let known = ["port", "host", "max_connections"];
        assert_eq!(near("prot", known), Some("port"));
        assert_eq!(near("max_conections", known), Some("max_connections"));
        assert_eq!(near("colour", known), None);
        assert_eq!(near("x", known), None);
    }
}
