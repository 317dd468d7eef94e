//! What the connection tells of itself: whether it can be used, and what the server denied. The client library tells it by events; they
//! are brought here and read from here.

use async_nats::{Event, ServerError};
use tokio::sync::{Notify, broadcast, watch};

use crate::backend::{Denials, Link};

/// Denials that a subscriber may have waiting to look at.
const DENIALS_WAITING: usize = 64;

/// Most characters of a denial that are kept. It names a subject, and is the server's word, so that it may be anything.
const DENIAL_MAX: usize = 512;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Signals {
    link: watch::Sender<Link>,
    denials: watch::Sender<Denials>,
    denied: broadcast::Sender<String>,
    /// Counts answers of the server that nobody listens.
    unheard: watch::Sender<u64>,
    /// Messages that were lost to slow subscriptions.
    slow: watch::Sender<u64>,
    woken: Notify,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            link: watch::Sender::new(Link::Down("not connected yet".into())),
            denials: watch::Sender::default(),
            denied: broadcast::Sender::new(DENIALS_WAITING),
            unheard: watch::Sender::default(),
            slow: watch::Sender::default(),
            woken: Notify::new(),
        }
    }
}

impl Signals {
    /// Takes in what the client library tells.
    pub(super) fn event(&self, event: Event) {
        match event {
            Event::Connected => self.woken.notify_one(),
            Event::Disconnected => {
                self.down("the connection was lost");
                self.woken.notify_one();
            }
            Event::Closed | Event::Draining => self.down("the connection was closed"),
            Event::ClientError(error) => self.attempt_failed(&error.to_string()),
            Event::ServerError(ServerError::Other(text)) if is_denial(&text) => self.deny(text),
            Event::ServerError(error) => tracing::warn!(%error, "NATS reported an error"),
            Event::SlowConsumer(_) => self.lost_to_slowness(),
            Event::LameDuckMode => tracing::info!("the NATS server is about to stop"),
        }
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(super) fn denials(&self) -> watch::Receiver<Denials> {
        self.denials.subscribe()
    }

    /// The denials from now on.
    pub(super) fn denied(&self) -> broadcast::Receiver<String> {
        self.denied.subscribe()
    }

    /// How often the server has said that nobody listens.
    pub(super) fn unheard(&self) -> watch::Receiver<u64> {
        self.unheard.subscribe()
    }

    /// The server said that nobody listens.
    pub(super) fn is_unheard(&self) {
        self.unheard.send_modify(|count| *count += 1);
    }

    /// Resolves after an event that calls for a look at the connection.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    pub(super) fn up(&self) {
        self.link.send_replace(Link::Up);
    }

    pub(super) fn down(&self, why: &str) {
        self.link.send_replace(Link::Down(why.to_owned()));
    }

    /// Tells why the connection is still down; an attempt beside a working connection changes nothing.
    fn attempt_failed(&self, why: &str) {
        let why = why.strip_prefix("nats: ").unwrap_or(why);
        self.link.send_if_modified(|link| match link {
            Link::Up => false,
            Link::Down(known) => {
                let is_news = known != why;
                why.clone_into(known);
                is_news
            }
        });
    }

    /// Warns of each denial once, and of one that is repeated ever more rarely.
    fn deny(&self, text: String) {
        // Whoever subscribes at this moment listens; nobody else does.
        self.denied.send(text.clone()).ok();
        let text: String = text.chars().take(DENIAL_MAX).collect();
        self.denials.send_modify(|denials| {
            denials.count += 1;
            let is_news = denials.last.as_ref() != Some(&text);
            if is_news || denials.count.is_power_of_two() {
                tracing::warn!(denial = %text, count = denials.count, "NATS denied something: the credential does not allow it");
            }
            denials.last = Some(text);
        });
    }

    /// Warns ever more rarely.
    pub(super) fn lost_to_slowness(&self) {
        self.slow.send_modify(|count| *count += 1);
        let count = *self.slow.borrow();
        if count.is_power_of_two() {
            tracing::warn!(count, "a subscription is too slow and loses messages");
        }
    }
}

fn is_denial(text: &str) -> bool {
    text.to_ascii_lowercase().starts_with("permissions violation")
}

/// Whether a denial is of subscribing to `subject`.
pub(super) fn denies_subscribing(denial: &str, subject: &str) -> bool {
    let rest = denial.to_ascii_lowercase();
    rest.starts_with("permissions violation for subscription")
        && denial.contains(&format!("\"{subject}\""))
}

#[cfg(test)]
mod tests {
    use async_nats::ClientError;

    use super::*;

    fn server_error(text: &str) -> Event {
        Event::ServerError(ServerError::Other(text.into()))
    }

    #[test]
    fn denials_are_counted_and_told() {
        let signals = Signals::default();
        let mut told = signals.denied();
        signals.event(server_error("Permissions Violation for Publish to \"osapi.to.b\""));
        signals.event(server_error("Permissions Violation for Subscription to \"osapi.to.b\""));
        signals.event(server_error("maximum connections exceeded"));
        let last = "Permissions Violation for Subscription to \"osapi.to.b\"";
        let expected = Denials { count: 2, last: Some(last.into()) };
        assert_eq!(*signals.denials().borrow(), expected);
        let (publish, subscribe) = (told.try_recv().unwrap(), told.try_recv().unwrap());
        assert!(!denies_subscribing(&publish, "osapi.to.b"));
        assert!(denies_subscribing(&subscribe, "osapi.to.b"));
        assert!(!denies_subscribing(&subscribe, "osapi.to"));
        signals.event(server_error(&format!("Permissions Violation {}", "x".repeat(10_000))));
        assert_eq!(signals.denials().borrow().last.as_ref().map(String::len), Some(DENIAL_MAX));
    }

    #[test]
    fn the_link_says_why_it_is_down() {
        let signals = Signals::default();
        signals.up();
        signals.event(Event::ClientError(ClientError::Other("IO error".into())));
        assert_eq!(*signals.link().borrow(), Link::Up, "an attempt is no loss");
        signals.event(Event::Disconnected);
        assert_eq!(*signals.link().borrow(), Link::Down("the connection was lost".into()));
        signals.event(Event::ClientError(ClientError::Other("IO error".into())));
        assert_eq!(*signals.link().borrow(), Link::Down("IO error".into()));
    }
}
