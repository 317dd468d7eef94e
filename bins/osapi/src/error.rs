//! What goes wrong, as it is told: a [`Fault`], or nothing at all where nobody reads any more.

use std::error::Error;
use std::io;

use osapi_core::job::Invalid;
use osapi_service::fault::Fault;

use crate::exit::Exit;

pub(crate) use osapi_service::fault::chain;

/// An error at the edge of the program.
#[derive(Debug)]
pub(crate) enum CliError {
    /// It is told.
    Told(Fault),
    /// The reader of our output has gone: nothing to say.
    BrokenPipe,
}

/// What most functions here return.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

impl CliError {
    /// OSAPI itself failed: exit code 125.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Told(Fault::new(message))
    }

    /// The command line is wrong: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Told(Fault::usage(message))
    }

    /// `what` failed because of `cause` and its own causes.
    pub(crate) fn because(what: impl Into<String>, cause: &(dyn Error + '_)) -> Self {
        Self::Told(Fault::because(what, cause))
    }

    /// `error` and its causes, which may take several lines, as those of a configuration do.
    pub(crate) fn lines(error: &(dyn Error + '_)) -> Self {
        Self::Told(Fault::lines(error))
    }

    /// The same with what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        self.map(|fault| fault.hint(hint))
    }

    /// The same with another exit code.
    pub(crate) fn exit(self, Exit(code): Exit) -> Self {
        self.map(|fault| fault.exit(code))
    }

    /// The exit code.
    pub(crate) fn code(&self) -> Exit {
        const SIGPIPE: i32 = 13;
        match self {
            Self::Told(fault) => Exit(fault.code()),
            Self::BrokenPipe => Exit::by_signal(SIGPIPE),
        }
    }

    /// The lines for standard error; empty if there is nothing to say.
    pub(crate) fn report(&self) -> String {
        match self {
            Self::Told(fault) => fault.report(),
            Self::BrokenPipe => String::new(),
        }
    }

    fn map(self, change: impl FnOnce(Fault) -> Fault) -> Self {
        match self {
            Self::Told(fault) => Self::Told(change(fault)),
            Self::BrokenPipe => Self::BrokenPipe,
        }
    }
}

impl From<Fault> for CliError {
    fn from(fault: Fault) -> Self {
        Self::Told(fault)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
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

    #[test]
    fn a_broken_pipe_is_quiet() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.report().as_str(), error.code()), ("", Exit(141)));
    }

    #[test]
    fn a_fault_has_the_exit_codes_of_the_table() {
        assert_eq!(CliError::new("x").code(), Exit::OSAPI);
        assert_eq!(CliError::usage("x").code(), Exit::USAGE);
    }
}
