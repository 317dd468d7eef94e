//! A bus that loses, repeats, delays and reorders messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::dice::Dice;
use crate::backend::{Bus, BusError, Delivery, Link, Subscription};
use crate::message::{MESSAGE_MAX, Pattern, Subject};

/// Messages that are held back at most; a further one lets the longest held go.
const HELD: usize = 256;

/// How often a [`FaultyBus`] does what, each a share between 0 and 1 of the published messages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BusFaults {
    /// Lost: `publish` says `Ok`, and nothing arrives.
    pub lose: f64,
    /// Arrive twice, the second time perhaps held back.
    pub repeat: f64,
    /// Held back until some later messages have been published, so that those overtake them.
    pub hold: f64,
    /// How many later messages at most; 0 counts as 1.
    pub overtaken_by: u64,
}

/// A bus that mistreats messages, the same way for the same seed and order of calls.
///
/// A message that is held back goes on by itself once at most `overtaken_by` later ones, on whatever subject, have been published, or at
/// [`FaultyBus::flush`]. So where somebody keeps sending, as a protocol that repeats what is not answered does, every held
/// message arrives in the end; and as each repetition is lost with the same chance below 1, one of them comes through. No timer is used:
/// with paused time a test advances the clock to the next repetition.
pub struct FaultyBus {
    inner: Arc<dyn Bus>,
    dice: Dice,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    faults: BusFaults,
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    delivery: Delivery,
    /// After so many more messages it goes on.
    after: u64,
}

impl FaultyBus {
    /// A bus over `inner` that mistreats messages as often as `faults` says.
    #[must_use]
    pub fn new(inner: Arc<dyn Bus>, seed: u64, faults: BusFaults) -> Self {
        let state = Mutex::new(State { faults, held: VecDeque::new() });
        Self { inner, dice: Dice::new(seed), state }
    }

    /// Changes how often it does what from now on: to heal it, or to cut it off.
    pub fn set(&self, faults: BusFaults) {
        self.lock().faults = faults;
    }

    /// Lets every message go that is held back, in the order in which they were published.
    ///
    /// # Errors
    /// Those of the bus beneath.
    pub async fn flush(&self) -> Result<(), BusError> {
        let held = std::mem::take(&mut self.lock().held);
        for Held { delivery, .. } in held {
            self.inner.publish(&delivery.subject, delivery.payload).await?;
        }
        Ok(())
    }

    /// What goes to the bus beneath when this message is published.
    fn mistreat(&self, delivery: Delivery) -> Vec<Delivery> {
        let mut state = self.lock();
        let faults = state.faults;
        let mut out = Vec::new();
        if !self.dice.chance(faults.lose) {
            let copies = if self.dice.chance(faults.repeat) { 2 } else { 1 };
            for _ in 0..copies {
                if self.dice.chance(faults.hold) {
                    let after = 1 + self.dice.below(faults.overtaken_by);
                    // This message itself is counted below.
                    state.held.push_back(Held { delivery: delivery.clone(), after: after + 1 });
                } else {
                    out.push(delivery.clone());
                }
            }
        }
        state.release(&mut out);
        out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts one more message, and lets those go that have been overtaken enough: after what overtakes them.
    fn release(&mut self, out: &mut Vec<Delivery>) {
        let mut kept = VecDeque::with_capacity(self.held.len());
        for mut held in self.held.drain(..) {
            held.after -= 1;
            if held.after == 0 {
                out.push(held.delivery);
            } else {
                kept.push_back(held);
            }
        }
        while kept.len() > HELD
            && let Some(oldest) = kept.pop_front()
        {
            out.push(oldest.delivery);
        }
        self.held = kept;
    }
}

#[async_trait]
impl Bus for FaultyBus {
    fn link(&self) -> watch::Receiver<Link> {
        self.inner.link()
    }

    async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError> {
        // A caller's mistake shows at once, also for a message that would have been lost.
        if payload.len() > MESSAGE_MAX {
            return self.inner.publish(subject, payload).await;
        }
        for delivery in self.mistreat(Delivery { subject: subject.clone(), payload }) {
            self.inner.publish(&delivery.subject, delivery.payload).await?;
        }
        Ok(())
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription, BusError> {
        self.inner.subscribe(pattern).await
    }

    async fn subscribe_in(&self, pattern: &Pattern, group: &str) -> Result<Subscription, BusError> {
        self.inner.subscribe_in(pattern, group).await
    }
}
