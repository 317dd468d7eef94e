//! The end: SIGTERM and SIGINT ask for it, and a second one insists.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A token that the first SIGTERM or SIGINT cancels. The next one ends the process at once, with 128 and the signal's number.
#[derive(Debug)]
pub struct Shutdown {
    token: CancellationToken,
    _watcher: JoinSet<()>,
}

impl Shutdown {
    /// Takes over both signals. From now on they no longer end the process by themselves, also after the value is dropped: keep it
    /// until the end of `main`.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    pub fn on_signals() -> io::Result<Self> {
        let mut signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        let token = CancellationToken::new();
        let mut watcher = JoinSet::new();
        watcher.spawn({
            let token = token.clone();
            async move {
                let name = signals.next().await.name();
                tracing::info!(signal = name, "stopping; a second signal stops at once");
                token.cancel();
                let second = signals.next().await;
                tracing::warn!(signal = second.name(), "stopped at once");
                std::process::exit(second.exit_code());
            }
        });
        Ok(Self { token, _watcher: watcher })
    }

    /// Cancelled once the end was asked for.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

#[derive(Clone, Copy)]
enum Asked {
    Terminate,
    Interrupt,
}

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }

    fn exit_code(self) -> i32 {
        let signal = match self {
            Self::Terminate => SignalKind::terminate(),
            Self::Interrupt => SignalKind::interrupt(),
        };
        128 + signal.as_raw_value()
    }
}

impl Signals {
    /// The next signal. Both branches only receive, and lose nothing when they are dropped (tokio's `Signal::recv` is cancel safe).
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Terminate,
            _ = self.interrupt.recv() => Asked::Interrupt,
        }
    }
}
