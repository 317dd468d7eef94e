//! One connection: everything else in this backend speaks through it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::bus::NatsBus;
use super::connect::{self, Phase, ROUND};
use super::error::{ConnectError, OpenError};
use super::inbox::Inbox;
use super::names::{self, Namespace};
use super::open;
use super::options::{Options, StoreOptions};
use super::pulse::Pulse;
use super::relay::Listening;
use super::signals::Signals;
use super::store::NatsStore;
use crate::backend::{Denials, Link};
use crate::id::AgentName;

/// An answer that takes longer does not come.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// A round trip that takes longer is tried again.
pub(super) const ROUND_TRIP: Duration = Duration::from_secs(2);
/// After which an agent asks again whether anybody listens; each time it waits twice as long.
const UNHEARD: Duration = Duration::from_millis(50);
/// Between two looks at the connection that no event called for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A connection to NATS. Clones are handles to the same connection, which ends when the last of them and of what was made from them is
/// gone. It connects again by itself, for ever, after random pauses of about a second.
#[derive(Clone)]
pub struct Nats {
    shared: Arc<Shared>,
}

struct Shared {
    line: Line,
    tasks: TaskTracker,
    watches: TaskTracker,
    watching: CancellationToken,
    options: Options,
    warnings: watch::Receiver<Vec<String>>,
    _end_on_drop: DropGuard,
}

/// What the tasks of a connection need; they do not keep it alive.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) signals: Arc<Signals>,
    pub(super) namespace: Namespace,
    pub(super) listening: Arc<Listening>,
    /// When the connection is over.
    pub(super) ending: CancellationToken,
    phase: Arc<Phase>,
    echo: Arc<Echo>,
}

/// How the server is brought to answer on this connection.
enum Echo {
    /// By sending to oneself.
    Inbox(Arc<Inbox>),
    /// By publishing where nobody listens, since an agent may not send to itself: the server then answers on the subject that the message
    /// names for replies, to the subscription of the same connection. One at a time, as the answers are all alike.
    Unheard(AgentName, Semaphore),
}

/// Why an answer did not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Nothing was sent.
    #[error("{0}")]
    Down(String),
    /// It was sent; whether it arrived is not known.
    #[error("no answer: {0}")]
    Lost(String),
}

impl Nats {
    /// Connects: one round over the servers, within five seconds.
    ///
    /// # Errors
    /// See [`ConnectError`]; later losses of the connection show in the links of bus and store.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let addresses = options.servers.join(", ");
        match tokio::time::timeout(ROUND, Self::open(options)).await {
            Ok(opened) => opened,
            Err(_) => {
                let source = format!("no answer within {} s", ROUND.as_secs()).into();
                Err(ConnectError::Unreachable { addresses, source })
            }
        }
    }

    async fn open(options: Options) -> Result<Self, ConnectError> {
        let (signals, phase) = (Arc::<Signals>::default(), Arc::<Phase>::default());
        let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
        let over = ending.clone().drop_guard();
        let client = connect::connect(&options, Arc::clone(&signals), Arc::clone(&phase)).await?;
        let warning = connect::check(&client.server_info())?;
        let unreachable = |source| {
            let addresses = options.servers.join(", ");
            ConnectError::Unreachable { addresses, source }
        };
        let echo = match &options.agent {
            Some(agent) => Echo::Unheard(agent.clone(), Semaphore::new(1)),
            None => {
                let opened =
                    Inbox::open(&client).await.map_err(|error| unreachable(error.into()))?;
                let (inbox, subscriber) = opened;
                let serve = Arc::clone(&inbox).serve(subscriber);
                drop(tasks.spawn(ending.clone().run_until_cancelled_owned(serve)));
                Echo::Inbox(inbox)
            }
        };
        let namespace = options.namespace.clone();
        let (listening, echo) = (Arc::default(), Arc::new(echo));
        let line = Line { client, signals, namespace, listening, ending, phase, echo };
        line.round_trip(None).await.map_err(|error| unreachable(error.into()))?;
        line.phase.connected.store(true, Ordering::Relaxed);
        line.signals.up();
        let (warn, warnings) = watch::channel(warning.into_iter().collect());
        let keep = line.clone().keep(line.connects(), warn);
        drop(tasks.spawn(line.ending.clone().run_until_cancelled_owned(keep)));
        let pulse = Pulse::new(line.clone()).run();
        drop(tasks.spawn(line.ending.clone().run_until_cancelled_owned(pulse)));
        let (watches, watching) = (TaskTracker::new(), line.ending.child_token());
        let shared =
            Shared { line, tasks, watches, watching, options, warnings, _end_on_drop: over };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The bus over this connection.
    #[must_use]
    pub fn bus(&self) -> NatsBus {
        NatsBus::new(self.clone())
    }

    /// The store behind this connection: makes the buckets that are missing and checks the others.
    ///
    /// # Errors
    /// See [`OpenError`]. Buckets that exist are never changed.
    pub async fn store(&self, options: StoreOptions) -> Result<NatsStore, OpenError> {
        open::open(self.clone(), options).await
    }

    /// What the server denied this connection, as far as it said so.
    #[must_use]
    pub fn denials(&self) -> watch::Receiver<Denials> {
        self.shared.line.signals.denials()
    }

    /// What should be said of the server that it is connected to: it works, and should be newer.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.shared.warnings.borrow().clone()
    }

    /// Ends the connection, and what was made from it.
    pub async fn close(&self) {
        let Shared { line, tasks, watches, watching, .. } = &*self.shared;
        // Each removes its consumer, so the connection is needed until then.
        watching.cancel();
        watches.close();
        watches.wait().await;
        line.end();
        tasks.close();
        tasks.wait().await;
        // What was published is sent first. A connection that is down has nothing to drain.
        if line.client.connection_state() == State::Connected && line.client.drain().await.is_err()
        {
            tracing::debug!("the connection to NATS had ended already");
        }
    }

    pub(super) fn line(&self) -> &Line {
        &self.shared.line
    }

    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// The running watches.
    pub(super) fn watches(&self) -> &TaskTracker {
        &self.shared.watches
    }

    /// How it was connected.
    pub(super) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// When the watches of one store end, at the latest.
    pub(super) fn watching(&self) -> CancellationToken {
        self.shared.watching.child_token()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.line.end();
    }
}

impl Line {
    /// Whether it can be used.
    pub(super) fn usable(&self) -> Result<(), String> {
        match &*self.signals.link().borrow() {
            Link::Up => Ok(()),
            Link::Down(why) => Err(why.clone()),
        }
    }

    /// Resolves when the connection is lost, with the reason.
    pub(super) async fn lost(&self) -> String {
        let mut link = self.signals.link();
        let is_down = |link: &Link| matches!(link, Link::Down(_));
        match link.wait_for(is_down).await.as_deref() {
            Ok(Link::Down(why)) => why.clone(),
            _ => "the connection was closed".into(),
        }
    }

    /// Resolves when it can be used.
    pub(super) async fn restored(&self) {
        let mut link = self.signals.link();
        // Without a sender the connection has ended, and with it whoever waits here.
        link.wait_for(|link| *link == Link::Up).await.ok();
    }

    /// Does what hands something to the client library, whose queue may be full while the connection is down.
    pub(super) async fn hand_over<T, E: std::error::Error>(
        &self,
        handing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, String> {
        self.usable()?;
        // All three may be dropped: what was handed over by then is published or not, as with any message.
        tokio::select! {
            handed = handing => handed.map_err(|error| error.to_string()),
            why = self.lost() => Err(why),
            () = tokio::time::sleep(ANSWER) => Err("too much is waiting to be sent".into()),
        }
    }

    /// Publishes a request and waits for its answer.
    pub(super) async fn request(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Message, NoAnswer> {
        let Echo::Inbox(inbox) = &*self.echo else {
            return Err(NoAnswer::Down("an agent's credential allows no requests".into()));
        };
        self.usable().map_err(NoAnswer::Down)?;
        let expected = inbox.expect();
        let reply = expected.subject();
        let request = async {
            self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await?;
            Ok(expected.answer().await)
        };
        // The answer alone is awaited; the other two tell that it does not come.
        tokio::select! {
            answer = request => match answer {
                Ok(Some(message)) => Ok(message),
                Ok(None) => Err(NoAnswer::Lost("the connection was closed".into())),
                Err(error) => Err(publish_failed(&error)),
            },
            why = self.lost() => Err(NoAnswer::Lost(why)),
            () = tokio::time::sleep(ANSWER) => Err(NoAnswer::Lost("timed out".into())),
        }
    }

    /// Returns once the server has done everything that was handed over before. With an agent's credential it answers to `reply`, or to
    /// any other subject that the agent listens to; while there is none, there is nothing to wait for.
    pub(super) async fn round_trip(&self, reply: Option<String>) -> Result<(), NoAnswer> {
        match (self.answers(ROUND_TRIP, reply).await?, &*self.echo) {
            (Some(false), Echo::Inbox(_)) => Err(NoAnswer::Lost("timed out".into())),
            // Somebody listens to everything, so the server does not say that nobody does. By now it has done what it was sent.
            (Some(false), Echo::Unheard(..)) => {
                tracing::debug!(
                    "the server did not answer: something else listens to the agent's subjects"
                );
                Ok(())
            }
            (Some(true) | None, _) => Ok(()),
        }
    }

    /// Whether the server answers within this time, after all that was handed over before; nothing where it has nothing to answer to.
    pub(super) async fn answers(
        &self,
        within: Duration,
        reply: Option<String>,
    ) -> Result<Option<bool>, NoAnswer> {
        match &*self.echo {
            Echo::Inbox(inbox) => self.echo(inbox, within).await.map(Some),
            Echo::Unheard(agent, turn) => match reply.or_else(|| self.listening.any()) {
                Some(reply) => self.unheard(agent, turn, reply, within).await.map(Some),
                None => Ok(None),
            },
        }
    }

    async fn echo(&self, inbox: &Arc<Inbox>, within: Duration) -> Result<bool, NoAnswer> {
        let expected = inbox.expect();
        let echo = async {
            self.client.publish(expected.subject(), Bytes::new()).await?;
            Ok(expected.answer().await.is_some())
        };
        match tokio::time::timeout(within, echo).await {
            Ok(echoed) => echoed.map_err(|error| publish_failed(&error)),
            Err(_) => Ok(false),
        }
    }

    async fn unheard(
        &self,
        agent: &AgentName,
        turn: &Semaphore,
        reply: String,
        within: Duration,
    ) -> Result<bool, NoAnswer> {
        let subject = names::unheard(&self.namespace, agent);
        let round_trip = async {
            // It is never closed.
            let _turn = turn.acquire().await.ok();
            let mut unheard = self.signals.unheard();
            unheard.mark_unchanged();
            let mut patience = UNHEARD;
            loop {
                let (subject, reply) = (subject.clone(), reply.clone());
                self.client.publish_with_reply(subject, reply, Bytes::new()).await?;
                // The answer may go to an earlier subscription that is just ending.
                match tokio::time::timeout(patience, unheard.changed()).await {
                    Ok(changed) => return Ok(changed.is_ok()),
                    Err(_) => patience *= 2,
                }
            }
        };
        match tokio::time::timeout(within, round_trip).await {
            Ok(answered) => answered.map_err(|error| publish_failed(&error)),
            Err(_) => Ok(false),
        }
    }

    /// How often the client library has connected.
    pub(super) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.phase.ended.store(true, Ordering::Relaxed);
        self.ending.cancel();
        self.signals.down("the connection was closed");
    }

    /// Keeps the link true. The events of the client library may be lost when there are many: they only call for a look.
    async fn keep(self, mut checked: u64, warnings: watch::Sender<Vec<String>>) {
        loop {
            // Both only wait.
            tokio::select! {
                () = self.signals.woken() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let (state, connects) = (self.client.connection_state(), self.connects());
            if state != State::Connected {
                if self.usable().is_ok() {
                    self.signals.down("the connection was lost");
                }
            } else if (connects != checked || self.usable().is_err())
                && let Some(warning) = self.check_again(connects).await
            {
                warnings.send_replace(warning.into_iter().collect());
                checked = connects;
            }
        }
    }

    /// After the client library has connected again: its subscriptions count once the server has answered, and the server may be another.
    async fn check_again(&self, connects: u64) -> Option<Option<String>> {
        if self.usable().is_ok() {
            self.signals.down("the connection was lost");
        }
        self.round_trip(None).await.ok()?;
        if self.connects() != connects {
            return None;
        }
        match connect::check(&self.client.server_info()) {
            Ok(warning) => {
                self.signals.up();
                Some(warning)
            }
            Err(error) => {
                self.signals.down(&error.to_string());
                // Another server may be newer. The pause is that of any attempt.
                if self.client.force_reconnect().await.is_err() {
                    tracing::debug!("the connection to NATS has ended");
                }
                None
            }
        }
    }
}

fn publish_failed(error: &async_nats::PublishError) -> NoAnswer {
    // Too large, or the connection has ended: it was not handed over.
    NoAnswer::Down(error.to_string())
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = self.shared.line.signals.link();
        f.debug_struct("Nats").field("link", &*link.borrow()).finish_non_exhaustive()
    }
}
