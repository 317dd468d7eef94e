//! Notices a connection on which only one direction works any more.
//!
//! The client library asks the server for a sign of life when nothing has come for a while. Whatever comes puts that off: an agent whose
//! words get lost, and to which orders are sent again and again because of that, would never find out.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::connection::{Line, ROUND_TRIP};

/// Between two looks at what has come; and at a connection on which nothing could be asked yet.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const FIRST_LOOK_EVERY: Duration = Duration::from_secs(1);
/// An answer that takes longer does not come. What waits to be sent over a slow line is sent before.
const ANSWER: Duration = Duration::from_secs(15);

/// What watches over a connection.
pub(super) struct Pulse {
    line: Line,
    /// The connection, by its number, on which the server has answered: there it is known to do so.
    answered: Option<u64>,
    /// The last connection on which it was asked.
    asked: Option<u64>,
    /// Messages that had come by the last look.
    come: u64,
}

impl Pulse {
    pub(super) fn new(line: Line) -> Self {
        Self { line, answered: None, asked: None, come: 0 }
    }

    /// Watches until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let pause = if self.is_new() { FIRST_LOOK_EVERY } else { LOOK_EVERY };
            tokio::time::sleep(pause).await;
            if self.line.usable().is_ok() {
                self.look().await;
            }
        }
    }

    /// Whether the connection is one on which nothing was asked yet.
    fn is_new(&self) -> bool {
        self.asked != Some(self.line.connects())
    }

    /// Asks for an answer where the client library does not. One that does not come where one came before is the end of the connection.
    async fn look(&mut self) {
        let connection = self.line.connects();
        let is_known = self.answered == Some(connection);
        let come = self.come();
        let nothing_came = std::mem::replace(&mut self.come, come) == come;
        if !self.is_new() && (!is_known || nothing_came) {
            return;
        }
        let within = if is_known { ANSWER } else { ROUND_TRIP };
        // Both only wait.
        let answered = tokio::select! {
            answered = self.line.answers(within, None) => answered,
            _ = self.line.lost() => return,
        };
        self.come = self.come();
        // Where there is nothing to answer to yet, it is asked again.
        let Ok(Some(is_answered)) = answered else { return };
        self.asked = Some(connection);
        if is_answered {
            self.answered = Some(connection);
        } else if is_known && self.line.connects() == connection {
            tracing::warn!("what is sent to NATS does not arrive: it is connected anew");
            if self.line.client.force_reconnect().await.is_err() {
                tracing::debug!("the connection to NATS has ended");
            }
        }
    }

    fn come(&self) -> u64 {
        self.line.client.statistics().in_messages.load(Ordering::Relaxed)
    }
}
