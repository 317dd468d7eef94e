//! What goes wrong at the edge of a program, as it is told: one line with its causes, a hint where there is one, and an exit code.

use std::error::Error;
use std::fmt::Write as _;

use crate::escape;

/// An error at the edge of a program.
#[derive(Debug)]
pub struct Fault {
    message: String,
    hint: Option<String>,
    code: u8,
    form: Form,
}

/// How the message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In one line, whatever is in it.
    Line,
    /// In its own lines.
    Lines,
}

impl Fault {
    /// Exit code where OSAPI itself failed: none that a command would choose.
    pub const FAILED: u8 = 125;
    /// Exit code where what was given is wrong: the command line, a configuration, a file. It is clap's own.
    pub const USAGE: u8 = 2;

    /// OSAPI itself failed.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: Self::FAILED, form: Form::Line }
    }

    /// What was given is wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: Self::USAGE, ..Self::new(message) }
    }

    /// `what` failed because of `cause` and its own causes.
    #[must_use]
    pub fn because(what: impl Into<String>, cause: &(dyn Error + '_)) -> Self {
        Self::new(format!("{}: {}", what.into(), chain(cause)))
    }

    /// `error` and its causes, which may take several lines, as those of a configuration do.
    #[must_use]
    pub fn lines(error: &(dyn Error + '_)) -> Self {
        Self { form: Form::Lines, ..Self::new(chain(error)) }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with another exit code.
    #[must_use]
    pub fn exit(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The lines for standard error.
    #[must_use]
    pub fn report(&self) -> String {
        // Some of it may be a server's word, so it is shown and not obeyed.
        let message = match self.form {
            Form::Line => escape::line(&self.message),
            Form::Lines => escape::bytes(self.message.as_bytes()),
        };
        let mut text = format!("error: {}\n", message.trim_end());
        if let Some(hint) = &self.hint {
            // Writing to a string does not fail.
            writeln!(text, "hint: {}", escape::line(hint)).expect("a string takes all");
        }
        text
    }
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &(dyn Error + '_)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some libraries repeat the source in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("server did not answer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_is_one_line_with_its_causes_and_a_hint() {
        let outer = Outer(io::Error::other("connection refused"));
        let fault = Fault::because("cannot list jobs", &outer).hint("run 'osapi start'");
        assert_eq!(
            fault.report(),
            "error: cannot list jobs: server did not answer: connection refused\nhint: run 'osapi start'\n"
        );
        assert_eq!(fault.code(), Fault::FAILED);
    }

    #[test]
    fn the_words_of_a_server_do_not_move_the_cursor() {
        assert_eq!(Fault::new("a\x1b[2J\nb").report(), "error: a\\x1b[2J\\nb\n");
    }
}
