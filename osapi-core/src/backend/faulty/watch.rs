//! A watch that tells some changes again, or breaks off.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::dice::Dice;
use super::store::{Injected, StoreFaults};
use crate::backend::{Change, Entry, StoreError, Watch};

/// Changes that wait for a slow watcher.
pub(super) const WATCH_QUEUE: usize = 16;
/// How many of the last writes are told again.
const AGAIN: usize = 8;

/// Hands the changes of one watch on.
pub(super) struct Relay {
    dice: Dice,
    faults: Arc<Mutex<StoreFaults>>,
    changes: mpsc::Sender<Result<Change, StoreError>>,
    /// The last writes that still stand. One that was overwritten or removed is no longer in the store, so no store tells it again.
    last: VecDeque<Entry>,
}

/// The reader has gone, or the watch has ended.
struct Over;

impl Relay {
    /// A relay to `changes`.
    pub(super) fn new(
        dice: Dice,
        faults: Arc<Mutex<StoreFaults>>,
        changes: mpsc::Sender<Result<Change, StoreError>>,
    ) -> Self {
        Self { dice, faults, changes, last: VecDeque::new() }
    }

    /// Relays until the watch or its reader ends.
    pub(super) async fn run(mut self, mut watch: Watch) {
        loop {
            // Both only wait: a change that is not taken stays in the watch.
            let change = tokio::select! {
                change = watch.next() => change,
                () = self.changes.closed() => return,
            };
            let Some(change) = change else { return };
            if self.relay(change).await.is_err() {
                return;
            }
        }
    }

    async fn relay(&mut self, change: Result<Change, StoreError>) -> Result<(), Over> {
        if let Ok(change) = &change {
            self.keep(change);
        }
        self.send(change).await?;
        let faults = *self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if self.dice.chance(faults.repeat) {
            for entry in self.last.clone() {
                self.send(Ok(Change::Put(entry))).await?;
            }
        }
        if self.dice.chance(faults.cut) {
            self.send(Err(StoreError::Unavailable(Box::new(Injected)))).await?;
        }
        Ok(())
    }

    fn keep(&mut self, change: &Change) {
        match change {
            Change::Put(entry) => {
                self.last.retain(|earlier| earlier.key != entry.key);
                self.last.push_back(entry.clone());
                while self.last.len() > AGAIN {
                    self.last.pop_front();
                }
            }
            Change::Deleted(key, _) => self.last.retain(|earlier| earlier.key != *key),
            Change::CaughtUp(_) | Change::Reached(_) => {}
        }
    }

    /// Sends a change; after an error nothing more comes.
    async fn send(&self, change: Result<Change, StoreError>) -> Result<(), Over> {
        let last = change.is_err();
        let sent = self.changes.send(change).await;
        if last || sent.is_err() { Err(Over) } else { Ok(()) }
    }
}
