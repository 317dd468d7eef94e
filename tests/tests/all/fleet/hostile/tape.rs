//! What goes over the wire, as somebody hears it who may hear everything and say anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_nats::{Client, ConnectOptions, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use osapi_core::auth::envelope::{Document, Signed};
use osapi_core::backend::faulty::Dice;
use osapi_core::message::{FromAgent, Ping, ToAgent, decode};
use osapi_tests::NatsServer;
use tokio::task::JoinSet;

/// Where something is said. Nobody may listen to what else an agent publishes: that the server says so is its round trip.
const SAID: [&str; 4] = ["from.*.h", "from.*.w", "to.*", "ping"];
/// Messages of each kind that are kept.
const MOST: usize = 4000;
/// Messages of this size are kept rarely: each thrown copy costs as much.
const LARGE: usize = 16 * 1024;

/// Where nobody may answer.
const REPLY: &str = "hostile.reply";

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Order,
    Cancel,
    Answer,
    Registration,
    Claim,
    Report,
    Output,
    OutputSettled,
    Welcome,
    Refused,
    Hello,
    Receipt,
    Ping,
    /// Nobody would take it for a message.
    Noise,
}

impl Kind {
    /// What is signed.
    pub(super) const SIGNED: [Self; 6] =
        [Self::Order, Self::Cancel, Self::Answer, Self::Registration, Self::Claim, Self::Report];
    /// What is told apart by a hash, or not at all.
    pub(super) const UNSIGNED: [Self; 6] =
        [Self::Output, Self::OutputSettled, Self::Welcome, Self::Hello, Self::Receipt, Self::Ping];

    /// Whether it is not signed. Output is none of these: it is told apart by its hash.
    fn is_hint(self) -> bool {
        use Kind::{Hello, OutputSettled, Receipt, Refused, Welcome};
        matches!(self, Welcome | Refused | OutputSettled | Hello | Receipt)
    }
}

/// A message as it went over the wire.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) subject: String,
    pub(super) payload: Bytes,
}

/// What was heard, by what it is.
type Kept = BTreeMap<Kind, Vec<Heard>>;

/// A recording that goes on, and a voice.
pub(super) struct Tape {
    client: Client,
    heard: Arc<Mutex<Kept>>,
    replies: Mutex<Subscriber>,
    _recording: JoinSet<()>,
}

impl Tape {
    /// Records everything under these namespaces. What is thrown is not recorded.
    pub(super) async fn of(server: &NatsServer, namespaces: &[&str]) -> Self {
        let client = ConnectOptions::new().no_echo().connect(server.url()).await.unwrap();
        let mut subscriptions = Vec::new();
        for namespace in namespaces {
            for subject in SAID {
                let subject = format!("{namespace}.{subject}");
                subscriptions.push(client.subscribe(subject).await.unwrap());
            }
        }
        let replies = Mutex::new(client.subscribe(REPLY).await.unwrap());
        client.flush().await.unwrap();
        let heard: Arc<Mutex<Kept>> = Arc::default();
        let (kept, mut recording) = (Arc::clone(&heard), JoinSet::new());
        recording.spawn(async move {
            let mut messages = stream::select_all(subscriptions);
            let mut large = 0;
            while let Some(message) = messages.next().await {
                large += usize::from(message.payload.len() > LARGE);
                let is_kept = message.payload.len() <= LARGE || large % 8 == 1;
                let (subject, payload) = (message.subject.to_string(), message.payload);
                let message = Heard { subject, payload };
                let mut kept = kept.lock().unwrap();
                let same = kept.entry(message.kind()).or_default();
                if is_kept && same.len() < MOST {
                    same.push(message);
                }
            }
        });
        Self { client, heard, replies, _recording: recording }
    }

    /// A message of any kind, each as often as the others.
    pub(super) fn pick(&self, dice: &Dice) -> Heard {
        let kinds: Vec<_> = self.heard.lock().unwrap().keys().copied().collect();
        self.pick_of(dice, *one_of(dice, &kinds)).expect("it was heard")
    }

    /// A message of this kind: half of the time one of the latest, which are about what goes on.
    pub(super) fn pick_of(&self, dice: &Dice, kind: Kind) -> Option<Heard> {
        const LATEST: usize = 16;
        let heard = self.heard.lock().unwrap();
        let same = heard.get(&kind)?;
        let from = if dice.chance(0.5) { same.len().saturating_sub(LATEST) } else { 0 };
        Some(same[from + below(dice, same.len() - from)].clone())
    }

    /// One of the messages in which `find` finds something, if one comes up soon.
    pub(super) fn find<T>(&self, dice: &Dice, find: impl Fn(&Heard) -> Option<T>) -> Option<T> {
        (0..200).find_map(|_| find(&self.pick(dice)))
    }

    /// Throws a message, perhaps as one that asks for an answer.
    pub(super) async fn throw(&self, message: Heard, asks: bool) {
        let Heard { subject, payload } = message;
        match asks {
            true => self.client.publish_with_reply(subject, REPLY, payload).await.unwrap(),
            false => self.client.publish(subject, payload).await.unwrap(),
        }
    }

    /// Nobody said anything where a message had asked to be answered. (That nobody listens is said by the server.)
    pub(super) fn nobody_replied(&self) {
        let mut replies = self.replies.lock().unwrap();
        while let Some(Some(reply)) = replies.next().now_or_never() {
            assert!(reply.status.is_some(), "{reply:?}");
        }
    }

    /// Returns once the server has taken what was thrown.
    pub(super) async fn landed(&self) {
        self.client.flush().await.unwrap();
    }
}

impl Heard {
    pub(super) fn as_from_agent(&self) -> Option<FromAgent> {
        decode(&self.payload).ok()
    }

    pub(super) fn as_to_agent(&self) -> Option<ToAgent> {
        decode(&self.payload).ok()
    }

    /// What somebody would take it for.
    pub(super) fn kind(&self) -> Kind {
        match (self.as_from_agent(), self.as_to_agent()) {
            (Some(FromAgent::Hello(_)), _) => Kind::Hello,
            (Some(FromAgent::Receipt(_)), _) => Kind::Receipt,
            (Some(FromAgent::Register(_)), _) => Kind::Registration,
            (Some(FromAgent::Claim(_)), _) => Kind::Claim,
            (Some(FromAgent::Report(_)), _) => Kind::Report,
            (Some(FromAgent::Output(_)), _) => Kind::Output,
            (_, Some(ToAgent::Dispatch { .. })) => Kind::Order,
            (_, Some(ToAgent::Cancel(_))) => Kind::Cancel,
            (_, Some(ToAgent::Answer(_))) => Kind::Answer,
            (_, Some(ToAgent::OutputSettled(_))) => Kind::OutputSettled,
            (_, Some(ToAgent::Welcome(_))) => Kind::Welcome,
            (_, Some(ToAgent::Refused(_))) => Kind::Refused,
            (None, None) if decode::<Ping>(&self.payload).is_ok() => Kind::Ping,
            (None, None) => Kind::Noise,
        }
    }

    /// Whether somebody would take it for a message that is not signed.
    pub(super) fn is_hint(&self) -> bool {
        self.kind().is_hint()
    }
}

/// What a document says, whoever signed it.
pub(super) fn body<D: Document>(signed: &Signed<D>) -> Option<D> {
    signed.peek()
}

pub(super) fn below(dice: &Dice, end: usize) -> usize {
    usize::try_from(dice.below(end as u64)).unwrap()
}

pub(super) fn one_of<'a, T>(dice: &Dice, choices: &'a [T]) -> &'a T {
    &choices[below(dice, choices.len())]
}
