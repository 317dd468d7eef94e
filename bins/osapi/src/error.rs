//! What goes wrong, as it is told: one line with its causes, a hint where there is one, and an exit code.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use osapi_core::job::Invalid;

use crate::exit::Exit;
use crate::render::escape;

/// An error at the edge of the program.
#[derive(Debug)]
pub(crate) struct CliError {
    message: String,
    hint: Option<String>,
    exit: Exit,
    form: Form,
}

/// How the message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In one line, whatever is in it.
    Line,
    /// In its own lines.
    Lines,
    /// Not at all.
    Quiet,
}

/// What most functions here return.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// OSAPI itself failed: exit code 125.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit: Exit::OSAPI, form: Form::Line }
    }

    /// The command line is wrong: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::USAGE, ..Self::new(message) }
    }

    /// `what` failed because of `cause` and its own causes.
    pub(crate) fn because(what: impl Into<String>, cause: &(dyn Error + '_)) -> Self {
        Self::new(format!("{}: {}", what.into(), chain(cause)))
    }

    /// `error` and its causes, which may take several lines, as those of a configuration do.
    pub(crate) fn lines(error: &(dyn Error + '_)) -> Self {
        Self { form: Form::Lines, ..Self::new(chain(error)) }
    }

    /// The reader of our output has gone: nothing to say, and the code that a shell gives for SIGPIPE.
    pub(crate) fn broken_pipe() -> Self {
        const SIGPIPE: i32 = 13;
        Self { exit: Exit::by_signal(SIGPIPE), form: Form::Quiet, ..Self::new("") }
    }

    /// The same with what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with another exit code.
    pub(crate) fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> Exit {
        self.exit
    }

    /// The lines for standard error; empty if there is nothing to say.
    pub(crate) fn report(&self) -> String {
        // Some of it may be a server's word, so it is shown and not obeyed.
        let message = match self.form {
            Form::Line => escape::line(&self.message),
            Form::Lines => escape::bytes(self.message.as_bytes()),
            Form::Quiet => return String::new(),
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
pub(crate) fn chain(error: &(dyn Error + '_)) -> String {
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

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::broken_pipe(),
            _ => Self::because("cannot write the output", &error),
        }
    }
}

impl From<Invalid> for CliError {
    fn from(invalid: Invalid) -> Self {
        Self::usage(invalid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("server did not answer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_is_one_line_with_its_causes_and_a_hint() {
        let outer = Outer(io::Error::other("connection refused"));
        let error = CliError::because("cannot list jobs", &outer).hint("run 'osapi start'");
        assert_eq!(
            error.report(),
            "error: cannot list jobs: server did not answer: connection refused\nhint: run 'osapi start'\n"
        );
        assert_eq!(error.code(), Exit::OSAPI);
    }

    #[test]
    fn the_words_of_a_server_do_not_move_the_cursor() {
        assert_eq!(CliError::new("a\x1b[2J\nb").report(), "error: a\\x1b[2J\\nb\n");
    }

    #[test]
    fn a_broken_pipe_is_quiet() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.report().as_str(), error.code()), ("", Exit(141)));
    }
}
