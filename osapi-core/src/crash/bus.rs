//! A bus that crashes before or after a message.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::point::{Place, Side};
use super::trap::{is_armed_at, pass};
use crate::backend::{Bus, BusError, Link, Subscription};
use crate::id::JobId;
use crate::message::{AnswerKind, FromAgent, Pattern, Subject, ToAgent, decode};

pub(super) struct CrashingBus {
    inner: Arc<dyn Bus>,
}

impl CrashingBus {
    pub(super) fn new(inner: Arc<dyn Bus>) -> Self {
        Self { inner }
    }

    /// Waits until what was published before has left this process: a subscription counts once the other side has said so, and it hears
    /// one thing after the other.
    async fn flush(&self) {
        if let Err(error) = self.inner.subscribe(&Pattern::Ping).await {
            tracing::debug!(%error, "a message may not have left");
        }
    }
}

/// What a message is, and of which job; nothing of those that cannot be read.
fn said(subject: &Subject, payload: &[u8]) -> Option<(Place, Option<JobId>)> {
    match subject {
        Subject::Ping => Some((Place::Ping, None)),
        Subject::Heard(_) | Subject::Work(_) => decode(payload).ok().map(|word| by_agent(&word)),
        Subject::To(_) => decode(payload).ok().and_then(|word| by_server(&word)),
    }
}

fn by_agent(word: &FromAgent) -> (Place, Option<JobId>) {
    match word {
        FromAgent::Hello(_) => (Place::Hello, None),
        FromAgent::Register(_) => (Place::Registration, None),
        FromAgent::Receipt(receipt) => (Place::Receipt, Some(receipt.job)),
        FromAgent::Claim(signed) => (Place::ClaimRequest, signed.peek().map(|claim| claim.job)),
        FromAgent::Report(signed) => (Place::Report, signed.peek().map(|report| report.job)),
        FromAgent::Output(chunk) => (Place::OutputChunk, Some(chunk.job)),
    }
}

fn by_server(word: &ToAgent) -> Option<(Place, Option<JobId>)> {
    Some(match word {
        ToAgent::Dispatch { order, .. } => (Place::Dispatch, order.peek().map(|order| order.job)),
        ToAgent::Cancel(cancel) => (Place::Cancel, cancel.peek().map(|cancel| cancel.job)),
        ToAgent::OutputSettled(settled) => (Place::OutputSettled, Some(settled.job)),
        ToAgent::Welcome(_) => (Place::Welcome, None),
        ToAgent::Refused(_) => (Place::Refused, None),
        ToAgent::Answer(signed) => {
            let answer = signed.peek()?;
            let place = match answer.kind {
                AnswerKind::Stored(_) => Place::Stored,
                AnswerKind::Yours(_) => Place::Yours,
                AnswerKind::Void(_) => Place::Void,
                AnswerKind::Gone(_) => Place::Gone,
                AnswerKind::Conflict(_) => Place::Conflict,
            };
            (place, Some(answer.job))
        }
    })
}

#[async_trait]
impl Bus for CrashingBus {
    fn link(&self) -> watch::Receiver<Link> {
        self.inner.link()
    }

    async fn publish(&self, subject: &Subject, payload: Bytes) -> Result<(), BusError> {
        let Some((place, job)) = said(subject, &payload) else {
            return self.inner.publish(subject, payload).await;
        };
        pass(place, Side::Before, job);
        self.inner.publish(subject, payload).await?;
        if is_armed_at(place, Side::After) {
            self.flush().await;
            pass(place, Side::After, job);
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
