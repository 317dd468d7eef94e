//! Ctrl-C, SIGTERM and the end of the terminal while something is waited for.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CliError, Result};
use crate::exit::Exit;

/// The signals that ask for the end. From now on they no longer end the process by themselves.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    /// Takes the signals over.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn catch() -> Result<Self> {
        let catch = |kind| {
            signal(kind).map_err(|error| CliError::because("cannot take over signals", &error))
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one, and tells the exit code for it. The branches only receive, and lose nothing when they are dropped.
    pub(crate) async fn next(&mut self) -> Exit {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.hangup.recv() => SignalKind::hangup(),
        };
        Exit::by_signal(kind.as_raw_value())
    }
}
