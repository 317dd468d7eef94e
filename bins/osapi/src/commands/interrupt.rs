//! Ctrl-C, SIGTERM and the end of the terminal while something is waited for.

use std::future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CliError, Result};
use crate::exit::Exit;

/// A signal that asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupt(SignalKind);

impl Interrupt {
    /// Whether somebody typed it.
    pub(crate) fn is_ctrl_c(self) -> bool {
        self.0 == SignalKind::interrupt()
    }

    /// The exit code for it.
    pub(crate) fn exit(self) -> Exit {
        Exit::by_signal(self.0.as_raw_value())
    }
}

/// What interrupts the waiting.
pub(crate) struct Interrupts(Option<Signals>);

/// The signals that ask for the end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    /// Takes the signals over. From now on they no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn catch() -> Result<Self> {
        let catch = |kind| {
            signal(kind).map_err(|error| CliError::because("cannot take over signals", &error))
        };
        Ok(Self(Some(Signals {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hangup: catch(SignalKind::hangup())?,
        })))
    }

    /// None: they are caught elsewhere, and the waiting is dropped there.
    pub(crate) fn elsewhere() -> Self {
        Self(None)
    }

    /// Waits for the next one. The branches only receive, and lose nothing when they are dropped.
    pub(crate) async fn next(&mut self) -> Interrupt {
        let Some(signals) = &mut self.0 else { return future::pending().await };
        Interrupt(tokio::select! {
            _ = signals.interrupt.recv() => SignalKind::interrupt(),
            _ = signals.terminate.recv() => SignalKind::terminate(),
            _ = signals.hangup.recv() => SignalKind::hangup(),
        })
    }

    /// Waits for `answer`, which an interrupt drops.
    ///
    /// # Errors
    /// The interrupt, if it came first.
    pub(crate) async fn race<T>(
        &mut self,
        answer: impl Future<Output = T>,
    ) -> Result<T, Interrupt> {
        tokio::select! {
            answer = answer => Ok(answer),
            interrupt = self.next() => Err(interrupt),
        }
    }
}
