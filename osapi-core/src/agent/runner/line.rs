//! The link to the controllers: it is up once the bus can be reached and the agent listens to its subjects.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::work::Work;
use crate::agent::machine::Event;
use crate::backend::{Bus, BusError, Delivery, Link, Subscription};
use crate::id::AgentName;
use crate::message::{Pattern, Ping, ToAgent, decode};

/// Pause before subscribing is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The two subscriptions, if they are effective.
pub(super) type Subscribed = Option<(Subscription, Subscription)>;

pub(super) struct Line {
    bus: Arc<dyn Bus>,
    name: AgentName,
    link: watch::Receiver<Link>,
    subscribed: Subscribed,
    is_up: bool,
}

/// What was heard.
pub(super) enum Heard {
    Mine(Delivery),
    Ping(Delivery),
    /// A subscription has ended.
    End,
    /// The bus can be reached, or not any more.
    Link,
}

impl Line {
    pub(super) fn new(bus: Arc<dyn Bus>, name: AgentName) -> Self {
        let link = bus.link();
        Self { bus, name, link, subscribed: None, is_up: false }
    }

    /// Starts to listen.
    pub(super) fn open(&self, work: &mut Work) {
        work.subscribe(subscribe(Arc::clone(&self.bus), self.name.clone(), Duration::ZERO));
    }

    /// What is heard next.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Heard {
        let link = async {
            match self.link.changed().await {
                Ok(()) => Heard::Link,
                // The bus is gone; its subscriptions tell so, if there are any.
                Err(_) => std::future::pending().await,
            }
        };
        let Some((inbox, pings)) = &mut self.subscribed else { return link.await };
        tokio::select! {
            delivery = inbox.next() => delivery.map_or(Heard::End, Heard::Mine),
            ping = pings.next() => ping.map_or(Heard::End, Heard::Ping),
            heard = link => heard,
        }
    }

    /// What the machine is told of it.
    pub(super) fn heard(&mut self, heard: Heard, work: &mut Work) -> Option<Event> {
        match heard {
            Heard::Mine(delivery) => match decode::<ToAgent>(&delivery.payload) {
                Ok(message) => Some(Event::Message(message)),
                Err(err) => {
                    tracing::warn!(error = %err, "a message cannot be read");
                    None
                }
            },
            Heard::Ping(delivery) => match decode::<Ping>(&delivery.payload) {
                Ok(Ping { ring: None, .. }) => Some(Event::Pinged),
                Ok(Ping { ring: Some(ring), .. }) => Some(Event::KeysChanged(ring)),
                Err(err) => {
                    tracing::warn!(error = %err, "a ping cannot be read");
                    None
                }
            },
            Heard::End => {
                tracing::warn!("the agent's subscriptions have ended");
                self.subscribed = None;
                work.subscribe(subscribe(Arc::clone(&self.bus), self.name.clone(), RETRY));
                self.changed()
            }
            Heard::Link => self.changed(),
        }
    }

    /// The subscriptions are there, or are tried again.
    pub(super) fn subscribed(&mut self, subscribed: Subscribed, work: &mut Work) -> Option<Event> {
        if subscribed.is_none() {
            work.subscribe(subscribe(Arc::clone(&self.bus), self.name.clone(), RETRY));
        }
        self.subscribed = subscribed;
        self.changed()
    }

    fn changed(&mut self) -> Option<Event> {
        let link = self.link.borrow_and_update().clone();
        let was_up =
            std::mem::replace(&mut self.is_up, link == Link::Up && self.subscribed.is_some());
        match (was_up, self.is_up) {
            (false, true) => Some(Event::LinkUp),
            (true, false) => {
                tracing::warn!(link = ?link, "controllers cannot be reached");
                Some(Event::LinkDown)
            }
            (true, true) | (false, false) => None,
        }
    }
}

async fn subscribe(bus: Arc<dyn Bus>, name: AgentName, pause: Duration) -> Subscribed {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let both = async {
        let inbox = bus.subscribe(&Pattern::To(name)).await?;
        Ok::<_, BusError>((inbox, bus.subscribe(&Pattern::Ping).await?))
    };
    match both.await {
        Ok(both) => Some(both),
        Err(err) => {
            tracing::warn!(error = %err, "the agent cannot listen to its subjects yet");
            None
        }
    }
}
