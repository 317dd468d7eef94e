//! The bus.

use async_nats::Subscriber;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use super::connection::{Line, Nats};
use super::names;
use super::relay::Relay;
use super::signals::denies_subscribing;
use crate::backend::{Bus, BusError, Link, Subscription};
use crate::message::{MESSAGE_MAX, Pattern, Subject};

/// Ephemeral messages over core NATS. Clones speak through the same connection.
///
/// While the connection is down, publishing fails at once. Subscriptions outlive its loss: the link is up again when they count again.
#[derive(Debug, Clone)]
pub struct NatsBus {
    nats: Nats,
}

/// The server does not let this connection listen.
#[derive(Debug, thiserror::Error)]
#[error("NATS denied it: {0}")]
struct Denied(String);

impl NatsBus {
    pub(super) fn new(nats: Nats) -> Self {
        Self { nats }
    }

    /// Listens, and returns once the server has said that it has done what it was asked before.
    async fn listen(&self, subject: String, group: Option<&str>) -> Result<Subscription, BusError> {
        let line = self.nats.line();
        let mut denied = line.signals.denied();
        let subscriber =
            line.hand_over(subscribe(line, subject.clone(), group)).await.map_err(unavailable)?;
        // The server answers on plain subscriptions only.
        let listens = if group.is_none() { line.listening.add(&subject) } else { None };
        let reply = listens.is_some().then(|| subject.clone());
        let (relay, deliveries) =
            Relay::new(line.namespace.clone(), line.signals.clone(), subscriber, listens);
        let relay = line.ending.clone().run_until_cancelled_owned(relay.run());
        drop(self.nats.tasks().spawn(relay));
        // Both only wait; the subscription ends when it is dropped here.
        tokio::select! {
            answered = line.round_trip(reply) => answered.map_err(unavailable)?,
            denial = denial_of(&mut denied, &subject) => return Err(unavailable(Denied(denial))),
        }
        // The denial comes before the answer, by way of another task.
        tokio::task::yield_now().await;
        match already_denied(&mut denied, &subject) {
            Some(denial) => Err(unavailable(Denied(denial))),
            None => Ok(Subscription::new(deliveries)),
        }
    }
}

#[async_trait]
impl Bus for NatsBus {
    fn link(&self) -> watch::Receiver<Link> {
        self.nats.line().signals.link()
    }

    async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError> {
        if payload.len() > MESSAGE_MAX {
            return Err(BusError::TooLarge { size: payload.len(), max: MESSAGE_MAX });
        }
        let line = self.nats.line();
        let subject = names::subject(&line.namespace, subject);
        line.hand_over(line.client.publish(subject, payload)).await.map_err(unavailable)
    }

    async fn subscribe(&self, pattern: &Pattern) -> Result<Subscription, BusError> {
        self.listen(names::pattern(&self.nats.line().namespace, pattern), None).await
    }

    async fn subscribe_in(&self, pattern: &Pattern, group: &str) -> Result<Subscription, BusError> {
        self.listen(names::pattern(&self.nats.line().namespace, pattern), Some(group)).await
    }
}

async fn subscribe(
    line: &Line,
    subject: String,
    group: Option<&str>,
) -> Result<Subscriber, async_nats::SubscribeError> {
    match group {
        None => line.client.subscribe(subject).await,
        Some(group) => line.client.queue_subscribe(subject, group.to_owned()).await,
    }
}

/// Resolves when the server denies listening to `subject`.
async fn denial_of(denied: &mut broadcast::Receiver<String>, subject: &str) -> String {
    loop {
        match denied.recv().await {
            Ok(denial) if denies_subscribing(&denial, subject) => return denial,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn already_denied(denied: &mut broadcast::Receiver<String>, subject: &str) -> Option<String> {
    loop {
        match denied.try_recv() {
            Ok(denial) if denies_subscribing(&denial, subject) => return Some(denial),
            Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(_) => return None,
        }
    }
}

fn unavailable(source: impl Into<crate::backend::Source>) -> BusError {
    BusError::Unavailable(source.into())
}
