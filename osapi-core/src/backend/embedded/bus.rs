//! The bus inside one process.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use crate::backend::{Bus, BusError, Delivery, Link, Subscription};
use crate::message::{MESSAGE_MAX, Pattern, Subject};

/// Messages that a subscription may have waiting; what comes beyond them is lost to it.
const WAITING: usize = 1024;

/// A bus inside one process. Clones are handles to the same bus; when the last is gone its subscriptions end.
///
/// A message is in the queues of its subscriptions when `publish` returns.
#[derive(Clone)]
pub struct EmbeddedBus {
    shared: Arc<Shared>,
}

struct Shared {
    routes: Mutex<HashMap<Pattern, Route>>,
    link: watch::Sender<Link>,
    dropped: AtomicU64,
}

/// Who listens to one pattern.
#[derive(Default)]
struct Route {
    alone: Vec<Listener>,
    groups: HashMap<String, Group>,
}

/// Who share the messages of one pattern.
#[derive(Default)]
struct Group {
    members: Vec<Listener>,
    /// Whose turn it is.
    next: usize,
}

struct Listener {
    queue: mpsc::Sender<Delivery>,
    dropped: u64,
}

impl Default for EmbeddedBus {
    fn default() -> Self {
        Self::new()
    }
}

impl EmbeddedBus {
    /// A bus without subscriptions.
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared {
            routes: Mutex::default(),
            link: watch::Sender::new(Link::Up),
            dropped: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Messages that were lost because a subscription had 1,024 of them waiting.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    fn listen(&self, pattern: &Pattern, group: Option<&str>) -> Subscription {
        let (queue, deliveries) = mpsc::channel(WAITING);
        let listener = Listener { queue, dropped: 0 };
        let mut routes = self.shared.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(pattern.clone()).or_default();
        route.forget_the_gone();
        match group {
            None => route.alone.push(listener),
            Some(group) => {
                route.groups.entry(group.to_owned()).or_default().members.push(listener);
            }
        }
        Subscription::new(deliveries)
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }

    async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError> {
        if payload.len() > MESSAGE_MAX {
            return Err(BusError::TooLarge { size: payload.len(), max: MESSAGE_MAX });
        }
        let pattern = pattern_of(subject);
        let delivery = Delivery { subject: subject.clone(), payload };
        let mut routes = self.shared.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(route) = routes.get_mut(&pattern) else { return Ok(()) };
        let lost = route.deliver(&delivery);
        if route.is_empty() {
            routes.remove(&pattern);
        }
        self.shared.dropped.fetch_add(lost, Ordering::Relaxed);
        Ok(())
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription, BusError> {
        Ok(self.listen(pattern, None))
    }

    async fn subscribe_in(&self, pattern: &Pattern, group: &str) -> Result<Subscription, BusError> {
        Ok(self.listen(pattern, Some(group)))
    }
}

/// The one pattern that a subject falls under: found by one look-up, however many subscriptions there are.
fn pattern_of(subject: &Subject) -> Pattern {
    match subject {
        Subject::Heard(_) => Pattern::Heard,
        Subject::Work(_) => Pattern::Work,
        Subject::To(name) => Pattern::To(name.clone()),
        Subject::Ping => Pattern::Ping,
    }
}

/// What became of one message at one listener.
enum Offer {
    Taken,
    Full,
    Gone,
}

impl Route {
    /// Hands a message to all, and tells how many lost it.
    fn deliver(&mut self, delivery: &Delivery) -> u64 {
        let mut lost = 0;
        self.alone.retain_mut(|listener| match listener.offer(delivery) {
            Offer::Taken => true,
            Offer::Full => {
                listener.lost(delivery);
                lost += 1;
                true
            }
            Offer::Gone => false,
        });
        self.groups.retain(|_, group| {
            lost += group.deliver(delivery);
            !group.members.is_empty()
        });
        lost
    }

    fn forget_the_gone(&mut self) {
        self.alone.retain(|listener| !listener.queue.is_closed());
        for group in self.groups.values_mut() {
            group.members.retain(|listener| !listener.queue.is_closed());
        }
    }

    fn is_empty(&self) -> bool {
        self.alone.is_empty() && self.groups.is_empty()
    }
}

impl Group {
    /// Hands a message to the next member that can take it, and tells whether it was lost.
    fn deliver(&mut self, delivery: &Delivery) -> u64 {
        self.members.retain(|listener| !listener.queue.is_closed());
        let count = self.members.len();
        if count == 0 {
            return 0;
        }
        for turn in 0..count {
            let at = (self.next + turn) % count;
            if let Offer::Taken = self.members[at].offer(delivery) {
                self.next = (at + 1) % count;
                return 0;
            }
        }
        self.members[self.next % count].lost(delivery);
        1
    }
}

impl Listener {
    fn offer(&self, delivery: &Delivery) -> Offer {
        match self.queue.try_send(delivery.clone()) {
            Ok(()) => Offer::Taken,
            Err(TrySendError::Full(_)) => Offer::Full,
            Err(TrySendError::Closed(_)) => Offer::Gone,
        }
    }

    /// Counts a lost message, and warns ever more rarely.
    fn lost(&mut self, delivery: &Delivery) {
        self.dropped += 1;
        if self.dropped.is_power_of_two() {
            let (subject, count) = (&delivery.subject, self.dropped);
            tracing::warn!(%subject, count, "a subscription is too slow and loses messages");
        }
    }
}

impl fmt::Debug for EmbeddedBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBus").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AgentName;

    fn name(text: &str) -> AgentName {
        text.parse().unwrap()
    }

    #[test]
    fn a_subject_falls_under_one_pattern() {
        let subjects = [
            Subject::Heard(name("a")),
            Subject::Work(name("a")),
            Subject::To(name("a")),
            Subject::Ping,
        ];
        let patterns = [
            Pattern::Heard,
            Pattern::Work,
            Pattern::To(name("a")),
            Pattern::To(name("b")),
            Pattern::Ping,
        ];
        for subject in &subjects {
            for pattern in &patterns {
                assert_eq!(pattern.matches(subject), *pattern == pattern_of(subject), "{subject}");
            }
        }
    }

    #[tokio::test]
    async fn a_slow_subscription_loses_what_is_beyond_its_queue_and_the_others_do_not() {
        let bus = EmbeddedBus::new();
        let mut slow = bus.subscribe(&Pattern::Ping).await.unwrap();
        let mut quick = bus.subscribe(&Pattern::Ping).await.unwrap();
        for n in 0..WAITING + 3 {
            bus.publish(&Subject::Ping, Bytes::from(n.to_string())).await.unwrap();
            assert_eq!(quick.next().await.unwrap().payload, n.to_string());
        }
        assert_eq!(bus.dropped(), 3);
        for n in 0..WAITING {
            assert_eq!(slow.next().await.unwrap().payload, n.to_string());
        }
        bus.publish(&Subject::Ping, Bytes::from_static(b"after")).await.unwrap();
        assert_eq!(slow.next().await.unwrap().payload, "after");
    }

    #[tokio::test]
    async fn a_member_that_is_full_or_gone_is_passed_over() {
        let bus = EmbeddedBus::new();
        let full = bus.subscribe_in(&Pattern::Work, "g").await.unwrap();
        let subject = Subject::Work(name("a"));
        for _ in 0..WAITING {
            bus.publish(&subject, Bytes::new()).await.unwrap();
        }
        let mut other = bus.subscribe_in(&Pattern::Work, "g").await.unwrap();
        drop(bus.subscribe_in(&Pattern::Work, "g").await.unwrap());
        for n in 0..8 {
            bus.publish(&subject, Bytes::from(n.to_string())).await.unwrap();
            assert_eq!(other.next().await.unwrap().payload, n.to_string());
        }
        assert_eq!(bus.dropped(), 0);
        drop(full);
    }

    #[tokio::test]
    async fn what_nobody_listens_to_any_more_is_forgotten() {
        let bus = EmbeddedBus::new();
        drop(bus.subscribe(&Pattern::To(name("a"))).await.unwrap());
        bus.publish(&Subject::To(name("a")), Bytes::new()).await.unwrap();
        assert!(bus.shared.routes.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn subscriptions_end_with_the_bus() {
        let bus = EmbeddedBus::new();
        let mut subscription = bus.clone().subscribe(&Pattern::Ping).await.unwrap();
        drop(bus);
        assert_eq!(subscription.next().await, None);
    }
}
