//! The command's output: both pipes are read at the same time, all the time, whatever else happens.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::join;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::executor::Events;
use crate::job::report::Stream;

/// How much is asked for in one read, in bytes.
const READ: usize = 64 * 1024;
/// What a pipe is made to hold: the most that a user without privileges may ask for (pipe(7)). It reads three times as fast.
const CAPACITY: usize = 1024 * 1024;

/// Both pipes of a command.
#[derive(Debug)]
pub(super) struct Pipes {
    stdout: Pipe,
    stderr: Pipe,
}

#[derive(Debug)]
struct Pipe {
    stream: Stream,
    from: Receiver,
    buffer: BytesMut,
}

impl Pipes {
    /// Takes over the reading ends.
    ///
    /// # Errors
    /// When they cannot be registered with the runtime.
    pub(super) fn new(stdout: OwnedFd, stderr: OwnedFd) -> io::Result<Self> {
        let (stdout, stderr) =
            (Pipe::new(Stream::Stdout, stdout)?, Pipe::new(Stream::Stderr, stderr)?);
        Ok(Self { stdout, stderr })
    }

    /// Reads both to their ends, which is when the last process that holds them is gone.
    ///
    /// Once `tree_gone` is cancelled, somebody who could not be ended may still hold one. Then it is given up, and told to be
    /// incomplete, when nothing comes for `patience`, or more than a pipe can hold.
    pub(super) async fn drain(
        mut self,
        events: &dyn Events,
        tree_gone: &CancellationToken,
        patience: Duration,
    ) {
        let stdout = self.stdout.drain(events, tree_gone, patience);
        let stderr = self.stderr.drain(events, tree_gone, patience);
        join(stdout, stderr).await;
    }
}

impl Pipe {
    fn new(stream: Stream, from: OwnedFd) -> io::Result<Self> {
        if let Err(err) = rustix::pipe::fcntl_setpipe_size(&from, CAPACITY) {
            tracing::debug!(error = %err, "the pipe keeps its size");
        }
        let from = Receiver::from_owned_fd(from)?;
        Ok(Self { stream, from, buffer: BytesMut::new() })
    }

    async fn drain(
        &mut self,
        events: &dyn Events,
        tree_gone: &CancellationToken,
        patience: Duration,
    ) {
        let mut left = CAPACITY;
        while left > 0 {
            // Both branches only wait: bytes that were read are never dropped. A slow taker of them is waited for as long as it takes.
            let read = tokio::select! {
                biased;
                read = self.read() => read,
                () = given_up(tree_gone, patience) => break,
            };
            match read {
                Ok(0) => return,
                Ok(len) => {
                    if tree_gone.is_cancelled() {
                        left = left.saturating_sub(len);
                    }
                    events.output(self.stream, self.buffer.split().freeze()).await;
                }
                Err(err) => {
                    tracing::warn!(error = %err, "output cannot be read");
                    break;
                }
            }
        }
        events.incomplete(self.stream).await;
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ);
        self.from.read_buf(&mut self.buffer).await
    }
}

async fn given_up(tree_gone: &CancellationToken, patience: Duration) {
    tree_gone.cancelled().await;
    sleep(patience).await;
}
