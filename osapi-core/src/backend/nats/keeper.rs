//! Keeps true what a store says of itself: whether it can be reached, is still the same, and whether its writes are synced.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::api::code;
use super::connection::Line;
use super::durability::Reader;
use super::settings::{self, IDENTIFIES};
use super::store::stream_info;
use crate::backend::{Durability, Link};
use crate::id::StoreId;

/// Pause before it is asked again whether the store is there.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two readings of what nothing else would show: a server that joined, or was started with another setting.
const READ_EVERY: Duration = Duration::from_secs(300);

const GONE: &str = "the store that was opened is gone: start this program again to make a new one";
const ANOTHER: &str = "another store has taken the place of the one that was opened: start this program again to use it";

/// What keeps it true.
pub(super) struct Keeper {
    pub(super) line: Line,
    pub(super) id: StoreId,
    pub(super) reader: Option<Reader>,
    pub(super) link: watch::Sender<Link>,
    pub(super) durability: watch::Sender<Durability>,
}

impl Keeper {
    /// Keeps it true until it is dropped. What was read at the opening counts as read now.
    pub(super) async fn run(self) {
        let mut connection = self.line.signals.link();
        let mut read_at = Instant::now();
        loop {
            let is_up = *self.link.borrow() == Link::Up;
            // Both only wait.
            tokio::select! {
                changed = connection.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(if is_up { READ_EVERY } else { AGAIN }) => {}
            }
            let connected = connection.borrow_and_update().clone();
            let now = if connected == Link::Up { self.look().await } else { connected };
            let is_back = now == Link::Up && !is_up;
            self.link.send_if_modified(|link| std::mem::replace(link, now.clone()) != now);
            if now == Link::Up && (is_back || read_at.elapsed() >= READ_EVERY) {
                self.read().await;
                read_at = Instant::now();
            }
        }
    }

    /// Whether the store that was opened is still there.
    async fn look(&self) -> Link {
        match stream_info(&self.line, IDENTIFIES).await {
            Ok(info) if settings::store_id(&info.config) == Some(self.id) => Link::Up,
            Ok(_) => Link::Down(ANOTHER.into()),
            Err(error) if error.code() == Some(code::NO_STREAM) => Link::Down(GONE.into()),
            Err(error) => Link::Down(error.to_string()),
        }
    }

    /// Reads whether writes are synced.
    pub(super) async fn read(&self) {
        let Some(reader) = &self.reader else { return };
        let now = reader.read().await;
        if self.durability.send_if_modified(|known| std::mem::replace(known, now) != now) {
            tracing::info!(durability = %now, "whether NATS syncs writes");
        }
    }
}
