//! Brings the messages of one subscription to its reader. What a slow reader leaves waiting is bounded by count and by bytes, which the
//! client library's own queue is not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::{Message, StatusCode, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::names::{self, Namespace};
use super::signals::Signals;
use crate::backend::Delivery;

/// Messages that may wait for a slow reader: more than a large fleet's hellos at one moment.
const WAITING: usize = 64 * 1024;
/// Bytes that may wait for a slow reader.
const WAITING_BYTES: usize = 64 << 20;
/// The part of it that stands ready in the channel.
const READY: usize = 256;

/// The subjects without wildcards that a connection listens to, with how often. The server answers there that nobody listens elsewhere.
#[derive(Debug, Default)]
pub(super) struct Listening(Mutex<BTreeMap<String, usize>>);

/// One subject of [`Listening`], as long as it is kept.
#[derive(Debug)]
pub(super) struct Listens {
    to: String,
    all: Arc<Listening>,
}

/// Brings messages from the client library to a reader.
pub(super) struct Relay {
    namespace: Namespace,
    signals: Arc<Signals>,
    subscriber: Subscriber,
    /// Kept as long as the relay runs.
    _listens: Option<Listens>,
    deliveries: mpsc::Sender<Delivery>,
    waiting: Waiting,
}

/// What waits for a slow reader.
#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Delivery>,
    bytes: usize,
}

impl Listening {
    /// Notes a subject; a pattern is none.
    pub(super) fn add(self: &Arc<Self>, subject: &str) -> Option<Listens> {
        if subject.contains(['*', '>']) {
            return None;
        }
        *self.lock().entry(subject.to_owned()).or_default() += 1;
        Some(Listens { to: subject.to_owned(), all: Arc::clone(self) })
    }

    /// One of the subjects.
    pub(super) fn any(&self) -> Option<String> {
        self.lock().keys().next().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listens {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(count) = all.get_mut(&self.to) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.to);
            }
        }
    }
}

impl Relay {
    /// A relay, and where it delivers.
    pub(super) fn new(
        namespace: Namespace,
        signals: Arc<Signals>,
        subscriber: Subscriber,
        listens: Option<Listens>,
    ) -> (Self, mpsc::Receiver<Delivery>) {
        let (deliveries, receiver) = mpsc::channel(READY);
        let waiting = Waiting::default();
        (Self { namespace, signals, subscriber, _listens: listens, deliveries, waiting }, receiver)
    }

    /// Relays until the reader or the connection is gone.
    pub(super) async fn run(mut self) {
        loop {
            // Each only waits: what is not taken stays in its queue.
            let message = tokio::select! {
                message = self.subscriber.next() => message,
                permit = self.deliveries.reserve(), if !self.waiting.queue.is_empty() => {
                    let Ok(permit) = permit else { return };
                    permit.send(self.waiting.pop());
                    continue;
                }
                () = self.deliveries.closed() => return,
            };
            let Some(message) = message else { return };
            self.arrived(message);
        }
    }

    fn arrived(&mut self, message: Message) {
        match message.status {
            Some(StatusCode::NO_RESPONDERS) => return self.signals.is_unheard(),
            // Nothing of ours has a status.
            Some(_) => return,
            None => {}
        }
        let Some(subject) = names::parse_subject(&self.namespace, &message.subject) else { return };
        if !self.waiting.push(Delivery { subject, payload: message.payload }) {
            self.signals.lost_to_slowness();
        }
    }
}

impl Waiting {
    /// Keeps a message, if there is room.
    fn push(&mut self, delivery: Delivery) -> bool {
        let bytes = self.bytes + delivery.payload.len();
        let is_room = self.queue.len() < WAITING && bytes <= WAITING_BYTES;
        if is_room {
            self.bytes = bytes;
            self.queue.push_back(delivery);
        }
        is_room
    }

    fn pop(&mut self) -> Delivery {
        let delivery = self.queue.pop_front().expect("it is not empty where this is called");
        self.bytes -= delivery.payload.len();
        delivery
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::{MESSAGE_MAX, Subject};

    fn delivery(size: usize) -> Delivery {
        Delivery { subject: Subject::Ping, payload: Bytes::from(vec![0; size]) }
    }

    #[test]
    fn what_waits_is_bounded_by_bytes_and_by_count() {
        let mut waiting = Waiting::default();
        let large = delivery(MESSAGE_MAX);
        let most = WAITING_BYTES / MESSAGE_MAX;
        assert!((0..most).all(|_| waiting.push(large.clone())));
        assert!(!waiting.push(large.clone()), "it is full");
        waiting.pop();
        assert!(waiting.push(large), "there is room again");

        let mut waiting = Waiting::default();
        assert!((0..WAITING).all(|_| waiting.push(delivery(0))));
        assert!(!waiting.push(delivery(0)));
    }

    #[test]
    fn a_subject_counts_as_long_as_somebody_listens() {
        let listening = Arc::new(Listening::default());
        assert!(listening.add("osapi.from.*.h").is_none());
        let (one, two) = (listening.add("osapi.to.a"), listening.add("osapi.to.a"));
        drop(one);
        assert_eq!(listening.any().as_deref(), Some("osapi.to.a"));
        drop(two);
        assert_eq!(listening.any(), None);
    }
}
