//! How every program begins, and how it ends: the configuration, the log, the runtime, and an error in its words.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use osapi_core::auth::permission::Permissions;

use crate::config::{self, Loaded, Log};
use crate::fault::Fault;
use crate::logging;

/// The configuration in `file`, or else in the file `otherwise`, if that exists.
///
/// # Errors
/// When it cannot be read or is wrong: that is a mistake in what was given.
pub fn load(file: Option<PathBuf>, otherwise: &str) -> Result<Loaded, Fault> {
    let source = config::Source::new(file, otherwise);
    config::load(&source, std::env::vars_os(), Permissions::built_in())
        .map_err(|error| Fault::lines(&error).exit(Fault::USAGE))
}

/// Starts the log.
///
/// # Errors
/// When `RUST_LOG` cannot be understood.
pub fn log(log: &Log, debug: bool) -> Result<(), Fault> {
    let directives = std::env::var("RUST_LOG").ok();
    logging::init(logging::Settings { log, debug, directives: directives.as_deref() })
        .map_err(|error| Fault::because("cannot log", &error).exit(Fault::USAGE))
}

/// Loads the configuration as [`load`] does, starts the log as it says, and warns of variables that mean nothing.
///
/// # Errors
/// As [`load`] and [`log`].
pub fn begin(file: Option<PathBuf>, otherwise: &str, debug: bool) -> Result<Loaded, Fault> {
    let loaded = load(file, otherwise)?;
    log(&loaded.config.log, debug)?;
    loaded.unknown_variables.iter().for_each(|variable| tracing::warn!("{variable}"));
    Ok(loaded)
}

/// The full host name of this machine.
#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Runs a whole program, and tells how it ended.
#[must_use]
pub fn run(program: impl Future<Output = Result<(), Fault>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::because("cannot start", &error));
    end(runtime.and_then(|runtime| runtime.block_on(program)))
}

/// The end of a program: its error, if there is one, on standard error, and its exit code.
#[must_use]
pub fn end(result: Result<(), Fault>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // If standard error is closed, the exit code is all that can be told.
            drop(std::io::stderr().write_all(fault.report().as_bytes()));
            fault.code().into()
        }
    }
}

/// Tells something that is no log line: on standard output, where who started the program looks.
pub fn say(text: &str) {
    // Whoever closed standard output does not want to know.
    drop(writeln!(std::io::stdout(), "{text}"));
}
