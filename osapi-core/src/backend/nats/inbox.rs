//! Answers to requests: one subscription for all of them, and a table of who waits for which.
//!
//! The client library has such a table too, but keeps an entry for ever when an answer does not come.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::oneshot;

/// Where the answers of one connection arrive.
#[derive(Debug)]
pub(super) struct Inbox {
    prefix: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
}

/// An answer that is waited for. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Expected {
    inbox: Arc<Inbox>,
    number: u64,
    answer: oneshot::Receiver<Message>,
}

impl Inbox {
    /// Subscribes to an inbox of its own. The answers are handed over by [`Inbox::serve`].
    pub(super) async fn open(client: &Client) -> Result<(Arc<Self>, Subscriber), SubscribeError> {
        let prefix = client.new_inbox();
        let subscriber = client.subscribe(format!("{prefix}.*")).await?;
        Ok((Arc::new(Self::at(prefix)), subscriber))
    }

    fn at(prefix: String) -> Self {
        Self { prefix, next: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// Hands answers to those who wait, until the connection ends.
    pub(super) async fn serve(self: Arc<Self>, mut subscriber: Subscriber) {
        while let Some(message) = subscriber.next().await {
            self.arrived(message);
        }
    }

    /// A place for one answer.
    pub(super) fn expect(self: &Arc<Self>) -> Expected {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.lock().insert(number, sender);
        Expected { inbox: Arc::clone(self), number, answer }
    }

    fn arrived(&self, message: Message) {
        let number =
            message.subject.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix('.'));
        let waiting = number.and_then(|number| self.lock().remove(&number.parse().ok()?));
        // One that was given up, or repeated.
        let Some(waiting) = waiting else { return };
        waiting.send(message).ok();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Message>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected {
    /// Where the answer is to be sent.
    pub(super) fn subject(&self) -> String {
        format!("{}.{}", self.inbox.prefix, self.number)
    }

    /// The answer; `None` when the connection has ended.
    pub(super) async fn answer(mut self) -> Option<Message> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.inbox.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str) -> Message {
        Message {
            subject: subject.into(),
            reply: None,
            payload: "x".into(),
            headers: None,
            status: None,
            description: None,
            length: 1,
        }
    }

    #[tokio::test]
    async fn an_answer_reaches_who_waits_for_it_and_nobody_waits_for_ever() {
        let inbox = Arc::new(Inbox::at("_INBOX.a".into()));
        let (one, two, three) = (inbox.expect(), inbox.expect(), inbox.expect());
        assert_eq!(two.subject(), "_INBOX.a.1");
        inbox.arrived(message("_INBOX.a.1"));
        inbox.arrived(message("_INBOX.a.1"));
        inbox.arrived(message("_INBOX.a.77"));
        inbox.arrived(message("_INBOX.a.x"));
        assert_eq!(two.answer().await.unwrap().subject.as_str(), "_INBOX.a.1");
        drop((one, three));
        assert!(inbox.lock().is_empty());
    }
}
