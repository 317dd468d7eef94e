//! What a bus promises when nothing fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::space::within;
use crate::backend::{Bus, BusError, Delivery, Link, Subscription};
use crate::id::{AgentName, Nonce};
use crate::message::{MESSAGE_MAX, Pattern, Subject};

/// Checks a bus.
///
/// # Panics
/// When the bus breaks a promise.
pub async fn bus_suite(bus: Arc<dyn Bus>) {
    assert_eq!(*bus.link().borrow(), Link::Up);
    patterns_tell_subjects_apart(&*bus).await;
    every_subscription_gets_each_message(&*bus).await;
    a_group_gets_each_message_once(&*bus).await;
    groups_and_others_do_not_take_from_each_other(&*bus).await;
    a_subscription_counts_when_it_has_returned(&*bus).await;
    a_dropped_subscription_is_over(&*bus).await;
    messages_are_bounded(&*bus).await;
}

/// Pause between two attempts at what may be lost.
const AGAIN: Duration = Duration::from_millis(10);

/// An agent that nobody else uses.
fn agent() -> AgentName {
    format!("a{}", Nonce::random()).parse().expect("a letter and hexadecimal digits are a name")
}

async fn publish(bus: &dyn Bus, subject: &Subject, payload: &str) {
    bus.publish(subject, Bytes::from(payload.to_owned())).await.expect("it is published");
}

async fn subscribe(bus: &dyn Bus, pattern: &Pattern) -> Subscription {
    bus.subscribe(pattern).await.expect("it is subscribed")
}

async fn join(bus: &dyn Bus, pattern: &Pattern, group: &str) -> Subscription {
    bus.subscribe_in(pattern, group).await.expect("it is subscribed")
}

/// The next message that `mine` accepts; others may use the bus too.
async fn next(subscription: &mut Subscription, mine: impl Fn(&Delivery) -> bool) -> Delivery {
    loop {
        let delivery = within("a message", subscription.next()).await;
        let delivery = delivery.expect("the subscription goes on");
        if mine(&delivery) {
            return delivery;
        }
    }
}

async fn patterns_tell_subjects_apart(bus: &dyn Bus) {
    let (one, two) = (agent(), agent());
    let patterns = [
        Pattern::Heard,
        Pattern::Work,
        Pattern::To(one.clone()),
        Pattern::To(two.clone()),
        Pattern::Ping,
    ];
    let subjects = [one, two].map(|name| {
        [
            Subject::Heard(name.clone()),
            Subject::Work(name.clone()),
            Subject::To(name),
            Subject::Ping,
        ]
    });
    let mark = Nonce::random().to_string();
    let mut subscriptions = Vec::new();
    for pattern in &patterns {
        subscriptions.push(subscribe(bus, pattern).await);
    }
    for (n, subject) in subjects.iter().flatten().enumerate() {
        publish(bus, subject, &format!("{mark}{n}")).await;
    }
    for (pattern, subscription) in patterns.iter().zip(&mut subscriptions) {
        let mut expected: BTreeMap<String, &Subject> = BTreeMap::new();
        for (n, subject) in subjects.iter().flatten().enumerate() {
            if pattern.matches(subject) {
                expected.insert(format!("{mark}{n}"), subject);
            }
        }
        while !expected.is_empty() {
            let delivery = next(subscription, |d| d.payload.starts_with(mark.as_bytes())).await;
            let text = String::from_utf8_lossy(&delivery.payload).into_owned();
            let subject = expected.remove(&text).expect("only what matches comes, and once");
            assert_eq!(delivery.subject, *subject, "a message names its subject");
        }
    }
}

async fn every_subscription_gets_each_message(bus: &dyn Bus) {
    let name = agent();
    let mut subscriptions = Vec::new();
    for _ in 0..3 {
        subscriptions.push(subscribe(bus, &Pattern::To(name.clone())).await);
    }
    publish(bus, &Subject::To(name), "hello").await;
    for subscription in &mut subscriptions {
        assert_eq!(next(subscription, |_| true).await.payload, "hello");
    }
}

/// Reads a subscription up to the payload `end`, which is not among what it returns.
async fn drain(subscription: &mut Subscription, end: &str) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let delivery = next(subscription, |_| true).await;
        let text = String::from_utf8_lossy(&delivery.payload).into_owned();
        if text == end {
            return texts;
        }
        texts.push(text);
    }
}

async fn a_group_gets_each_message_once(bus: &dyn Bus) {
    let name = agent();
    let pattern = Pattern::To(name.clone());
    let (mut one, mut two) = (join(bus, &pattern, "g").await, join(bus, &pattern, "g").await);
    let subject = Subject::To(name);
    for n in 0..64 {
        publish(bus, &subject, &format!("{n:02}")).await;
    }
    let mut texts = Vec::new();
    while texts.len() < 64 {
        let delivery = within("a message", async {
            // Whichever has one; what is not taken stays in its queue.
            tokio::select! { d = one.next() => d, d = two.next() => d }
        });
        texts.push(delivery.await.expect("the subscription goes on").payload);
    }
    texts.sort();
    let expected: Vec<Bytes> = (0..64).map(|n| format!("{n:02}").into()).collect();
    assert_eq!(texts, expected, "each message goes to one member, and none is lost");
    drop(two);
    // What goes to a member that is just leaving is lost, as any message may be.
    let end = within("a message after a member has left", async {
        loop {
            publish(bus, &subject, "end").await;
            tokio::select! {
                delivery = one.next() => break delivery,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    });
    assert_eq!(end.await.map(|d| d.payload), Some("end".into()), "the others go on");
}

async fn groups_and_others_do_not_take_from_each_other(bus: &dyn Bus) {
    let name = agent();
    let pattern = Pattern::To(name.clone());
    let mut alone = subscribe(bus, &pattern).await;
    let mut first = join(bus, &pattern, "first").await;
    let mut second = join(bus, &pattern, "second").await;
    let subject = Subject::To(name);
    for text in ["1", "2", "end"] {
        publish(bus, &subject, text).await;
    }
    for subscription in [&mut alone, &mut first, &mut second] {
        let mut texts = drain(subscription, "end").await;
        texts.sort();
        assert_eq!(texts, ["1", "2"]);
    }
}

async fn a_subscription_counts_when_it_has_returned(bus: &dyn Bus) {
    for n in 0..50 {
        let name = agent();
        let pattern = Pattern::To(name.clone());
        let mut subscription = if n % 2 == 0 {
            subscribe(bus, &pattern).await
        } else {
            join(bus, &pattern, "g").await
        };
        publish(bus, &Subject::To(name), "at once").await;
        assert_eq!(next(&mut subscription, |_| true).await.payload, "at once");
    }
}

async fn a_dropped_subscription_is_over(bus: &dyn Bus) {
    let name = agent();
    let pattern = Pattern::To(name.clone());
    drop(subscribe(bus, &pattern).await);
    publish(bus, &Subject::To(name.clone()), "to nobody").await;
    let mut later = subscribe(bus, &pattern).await;
    publish(bus, &Subject::To(name), "to somebody").await;
    assert_eq!(next(&mut later, |_| true).await.payload, "to somebody", "nothing is kept");
}

async fn messages_are_bounded(bus: &dyn Bus) {
    let name = agent();
    let mut subscription = subscribe(bus, &Pattern::To(name.clone())).await;
    let subject = Subject::To(name);
    let refused = bus.publish(&subject, vec![7; MESSAGE_MAX + 1].into()).await;
    let Err(BusError::TooLarge { size, max }) = refused else {
        panic!("at most {MESSAGE_MAX} bytes are taken: {refused:?}")
    };
    assert_eq!((size, max), (MESSAGE_MAX + 1, MESSAGE_MAX));
    for size in [0, MESSAGE_MAX] {
        bus.publish(&subject, vec![7; size].into()).await.expect("the bound is allowed");
        assert_eq!(next(&mut subscription, |_| true).await.payload.len(), size);
    }
}
