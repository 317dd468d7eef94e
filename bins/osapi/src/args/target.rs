//! A target as it is typed: the language of targets, or `@FILE` with one expression on each line.

use std::fs::File;
use std::io::{self, Read as _};

use osapi_core::job::Target;
use osapi_core::job::limits::TARGET_MAX;
use osapi_core::job::target::{InvalidTarget, Wrong};

/// What is shown as the help of a target.
pub(crate) const HELP: &str = "Which hosts: '_any' for one that is live and ready, '_all' for every known one; names, labels (group:web), \
globs (db-*) and ranges (web-[01-20]), joined by ',' (or), '&' (and) and '!' (not); or @FILE with one of these on each line";

/// Largest file, in bytes: comments may be longer than what they explain.
const FILE_MAX: u64 = 1024 * 1024;

/// Why what was typed is no target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidArgument {
    /// The text itself.
    #[error(transparent)]
    Text(#[from] InvalidTarget),
    /// `@` alone.
    #[error("the name of a file is missing after '@'")]
    NoName,
    /// The file cannot be read. clap shows no sources, so the cause is part of the text.
    #[error("cannot read '{path}': {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        cause: io::Error,
    },
    /// More than can be meant.
    #[error("'{0}' is larger than {FILE_MAX} bytes")]
    FileTooLarge(String),
    /// Not text.
    #[error("'{0}' is not text: it has to be UTF-8")]
    NoText(String),
    /// Only comments and blank lines.
    #[error("'{0}' names no hosts: write an expression on each line")]
    Empty(String),
    /// Too many expressions.
    #[error(
        "the lines of '{path}' make a target of {bytes} bytes: at most {TARGET_MAX} are allowed; labels, globs and ranges are shorter than names"
    )]
    TooLong {
        /// The file.
        path: String,
        /// Bytes of all expressions with the commas between them.
        bytes: usize,
    },
    /// One of the lines.
    #[error("'{path}' line {line}, column {column}: {wrong}")]
    Line {
        /// The file.
        path: String,
        /// The line, counted from 1.
        line: usize,
        /// The character in the line, counted from 1.
        column: usize,
        /// What is wrong with it.
        wrong: Wrong,
    },
}

/// The target that was typed.
///
/// # Errors
/// When it is none, or the file cannot be read or holds none.
pub(crate) fn target(text: &str) -> Result<Target, InvalidArgument> {
    match text.strip_prefix('@') {
        Some("") => Err(InvalidArgument::NoName),
        Some(path) => listed(&read(path)?).map_err(|wrong| wrong.in_file(path)),
        None => Ok(text.parse()?),
    }
}

fn read(path: &str) -> Result<String, InvalidArgument> {
    let unreadable = |cause| InvalidArgument::Unreadable { path: path.to_owned(), cause };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(InvalidArgument::FileTooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| InvalidArgument::NoText(path.to_owned()))
}

/// What is wrong with the lines of a file.
#[derive(Debug, PartialEq, Eq)]
enum InvalidList {
    Empty,
    TooLong(usize),
    Line { line: usize, column: usize, wrong: Wrong },
}

impl InvalidList {
    fn in_file(self, path: &str) -> InvalidArgument {
        let path = path.to_owned();
        match self {
            Self::Empty => InvalidArgument::Empty(path),
            Self::TooLong(bytes) => InvalidArgument::TooLong { path, bytes },
            Self::Line { line, column, wrong } => {
                InvalidArgument::Line { path, line, column, wrong }
            }
        }
    }
}

/// A line that says something.
struct Line<'a> {
    number: usize,
    /// Characters before its expression.
    indent: usize,
    expression: &'a str,
}

impl<'a> Line<'a> {
    fn of((n, text): (usize, &'a str)) -> Option<Self> {
        let text = text.split('#').next().unwrap_or_default();
        let expression = text.trim();
        let indent = text.chars().take_while(|c| c.is_whitespace()).count();
        (!expression.is_empty()).then_some(Self { number: n + 1, indent, expression })
    }
}

/// The target that means whatever any line of `text` means.
fn listed(text: &str) -> Result<Target, InvalidList> {
    let lines: Vec<_> = text.lines().enumerate().filter_map(Line::of).collect();
    let expressions: Vec<_> = lines.iter().map(|line| line.expression).collect();
    let joined = expressions.join(",");
    joined.parse::<Target>().map_err(|err| match err {
        InvalidTarget::Empty => InvalidList::Empty,
        InvalidTarget::TooLong(bytes) => InvalidList::TooLong(bytes),
        InvalidTarget::At { column, wrong } => place(&lines, column, wrong),
    })
}

/// Where in the lines a character of the whole stands.
fn place(lines: &[Line<'_>], column: usize, wrong: Wrong) -> InvalidList {
    let (mut line, mut before) = (0, 0);
    for candidate in lines {
        let length = candidate.expression.chars().count() + 1;
        line = candidate.number;
        if column <= before + length {
            let column = column - before + candidate.indent;
            return InvalidList::Line { line, column, wrong };
        }
        before += length;
    }
    InvalidList::Line { line, column: column - before, wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        listed(text).unwrap_err().in_file("hosts.txt").to_string()
    }

    #[test]
    fn every_line_of_a_file_is_a_term() {
        let text = "# the web\n\n  web-[01-20]   # all of them\r\ngroup:db&env:prod\n\t!web-07\n";
        assert_eq!(listed(text).unwrap().to_string(), "web-[01-20],group:db&env:prod,!web-07");
        assert_eq!(listed("web-01").unwrap(), "web-01".parse().unwrap());
        assert_eq!(listed("_any # one\n").unwrap(), Target::Any);
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number() {
        for (text, said) in [
            (
                "web-01\n\n  web-[9-1]\ndb",
                "line 3, column 7: range 9-1 ends before it begins: write 1-9",
            ),
            ("web-01,\ndb", "line 1, column 8: a name, a label or a pattern is missing here"),
            ("web-01\ndb,", "line 2, column 4: a name, a label or a pattern is missing here"),
            ("web-01\n_any", "line 2, column 1: '_any' stands alone: it is one host out of all"),
            ("web-01\n# x\nweb 2\n", "line 3, column 5: '2' needs ',' (or) or '&' (and) before it"),
            ("a\nweb-[01\ndb", "line 2, column 5: '[' is not closed by ']'"),
            ("!a", "line 1, column 1: it only says which hosts are left out: write _all,!a"),
            (
                "é",
                "line 1, column 1: 'é' is no part of a name, which has letters, digits, '_' and '-'",
            ),
        ] {
            assert_eq!(refused(text), format!("'hosts.txt' {said}"), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_names_nobody_or_too_many_is_refused() {
        for empty in ["", "\n\n", "# web-01\n  \n"] {
            assert_eq!(
                refused(empty),
                "'hosts.txt' names no hosts: write an expression on each line"
            );
        }
        let said = refused(&"host-0001\n".repeat(500));
        assert!(
            said.starts_with(
                "the lines of 'hosts.txt' make a target of 4999 bytes: at most 4096 are allowed"
            ),
            "{said}"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.txt");
        let at = |what: &str| {
            target(&format!("@{}", path.display()))
                .unwrap_err()
                .to_string()
                .replace(dir.path().to_str().unwrap(), what)
        };
        assert_eq!(
            at("DIR"),
            "cannot read 'DIR/hosts.txt': No such file or directory (os error 2)"
        );
        std::fs::create_dir(&path).unwrap();
        assert_eq!(at("DIR"), "cannot read 'DIR/hosts.txt': Is a directory (os error 21)");
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, b"web-01\xff").unwrap();
        assert_eq!(at("DIR"), "'DIR/hosts.txt' is not text: it has to be UTF-8");
        std::fs::write(&path, "#".repeat(FILE_MAX as usize + 1)).unwrap();
        assert_eq!(at("DIR"), "'DIR/hosts.txt' is larger than 1048576 bytes");
        std::fs::write(&path, "web-01\n").unwrap();
        assert_eq!(target(&format!("@{}", path.display())).unwrap().to_string(), "web-01");
        assert_eq!(target("@").unwrap_err().to_string(), "the name of a file is missing after '@'");
    }
}
