//! The log: to standard error, as text or JSON.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing::subscriber::{SetGlobalDefaultError, set_global_default};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Format, Level, Log};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` cannot be understood.
    #[error("RUST_LOG is not a list of directives such as info,osapi_core=debug: '{}'", text.escape_debug())]
    Directives {
        /// What it holds.
        text: String,
        /// What is wrong.
        source: ParseError,
    },
    /// The program logs already.
    #[error("cannot start the log twice")]
    Twice(#[from] SetGlobalDefaultError),
}

/// What decides how much is logged.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The configuration.
    pub log: &'a Log,
    /// `-d`: at least [`Level::Debug`], whatever else says.
    pub debug: bool,
    /// The variable `RUST_LOG`: directives in place of the configured level.
    pub directives: Option<&'a str>,
}

impl Settings<'_> {
    /// The directives: those of OSAPI at the level, those of libraries at most `warn`, unless everything is asked for.
    fn filter(&self) -> Result<EnvFilter, LoggingError> {
        let text = match (self.debug, self.directives.filter(|text| !text.is_empty())) {
            (true, _) => {
                directives(if self.log.level == Level::Trace { Level::Trace } else { Level::Debug })
            }
            (false, Some(text)) => text,
            (false, None) => directives(self.log.level),
        };
        EnvFilter::try_new(text)
            .map_err(|source| LoggingError::Directives { text: text.to_owned(), source })
    }
}

fn directives(level: Level) -> &'static str {
    match level {
        Level::Off => "off",
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "warn,osapi=info",
        Level::Debug => "warn,osapi=debug",
        Level::Trace => "trace",
    }
}

/// Starts the log of this process.
///
/// # Errors
/// When `RUST_LOG` cannot be understood, or the log was started before.
pub fn init(settings: Settings<'_>) -> Result<(), LoggingError> {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Ok(set_global_default(subscriber(settings, io::stderr, colour)?)?)
}

/// What writes log lines to `writer`; in colour, if it is a terminal.
fn subscriber<W>(
    settings: Settings<'_>,
    writer: W,
    colour: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(settings.filter()?)
        .with_writer(writer)
        .with_ansi(colour)
        // It would be told by `eprintln`, which panics where standard error is closed.
        .log_internal_errors(false);
    Ok(match settings.log.format {
        Format::Text => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The messages that come through, of OSAPI and of a library, at every level.
    fn logged(log: &Log, debug: bool, directives: Option<&str>) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let settings = Settings { log, debug, directives };
        let subscriber = subscriber(settings, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "osapi_core::agent", "our-error");
            tracing::warn!(target: "osapi_core::agent", "our-warning");
            tracing::info!(target: "osapi_core::agent", host = "a", "our-information");
            tracing::debug!(target: "osapi_core::agent", "our-debug");
            tracing::trace!(target: "osapi_core::agent", "our-trace");
            tracing::warn!(target: "hyper::proto", "their-warning");
            tracing::info!(target: "hyper::proto", "their-information");
        });
        String::from_utf8(std::mem::take(&mut lines.0.lock().unwrap())).unwrap()
    }

    fn names(text: &str) -> Vec<&str> {
        text.split_ascii_whitespace()
            .filter(|word| word.contains("our-") || word.contains("their-"))
            .collect()
    }

    fn level(level: Level) -> Log {
        Log { level, format: Format::Text }
    }

    #[test]
    fn the_level_is_that_of_osapi_and_libraries_only_warn() {
        for (level_of, count) in [
            (Level::Off, 0),
            (Level::Error, 1),
            (Level::Warn, 3),
            (Level::Info, 4),
            (Level::Debug, 5),
            (Level::Trace, 7),
        ] {
            let text = logged(&level(level_of), false, None);
            assert_eq!(names(&text).len(), count, "{level_of:?}: {text}");
        }
    }

    #[test]
    fn directives_replace_the_level_and_debug_replaces_both() {
        let info = level(Level::Info);
        let chosen = logged(&info, false, Some("hyper=info"));
        assert_eq!(names(&chosen), ["their-warning", "their-information"]);
        assert_eq!(names(&logged(&info, false, Some(""))).len(), 4, "empty is unset");
        assert_eq!(names(&logged(&info, true, Some("off"))).len(), 5);
        assert_eq!(names(&logged(&level(Level::Trace), true, None)).len(), 7);
    }

    #[test]
    fn wrong_directives_are_named() {
        let log = Log::default();
        let settings = Settings { log: &log, debug: false, directives: Some("a=b=c") };
        let error = settings.filter().unwrap_err().to_string();
        assert!(
            error.starts_with("RUST_LOG is not a list") && error.ends_with("'a=b=c'"),
            "{error}"
        );
    }

    #[test]
    fn json_is_one_object_per_line() {
        let log = Log { level: Level::Info, format: Format::Json };
        let text = logged(&log, false, None);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2]["message"], "our-information");
        assert_eq!((&lines[2]["host"], &lines[2]["level"]), (&"a".into(), &"INFO".into()));
    }
}
