//! The command's input: written into a pipe beside everything else.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;
use tokio_util::sync::CancellationToken;

use crate::job::Stdin;

/// What is still to be written, and where.
#[derive(Debug)]
pub(super) struct Input {
    to: Sender,
    bytes: Stdin,
}

impl Input {
    /// Takes over the writing end.
    ///
    /// # Errors
    /// When it cannot be registered with the runtime.
    pub(super) fn new(to: OwnedFd, bytes: Stdin) -> io::Result<Self> {
        Ok(Self { to: Sender::from_owned_fd(to)?, bytes })
    }

    /// Writes all of it and closes the pipe. It is given up when nobody reads any more, or once `tree_gone` is cancelled: then only
    /// somebody who could not be ended may still hold the pipe.
    pub(super) async fn feed(mut self, tree_gone: &CancellationToken) {
        // Both branches only wait: that a part was written does not matter once nobody is left.
        let written = tokio::select! {
            written = self.to.write_all(self.bytes.as_bytes()) => written,
            () = tree_gone.cancelled() => return,
        };
        match written {
            // A command need not read what it is given.
            Err(err) if err.kind() != io::ErrorKind::BrokenPipe => {
                tracing::warn!(error = %err, "the command's input cannot be written");
            }
            Ok(()) | Err(_) => {}
        }
    }
}
