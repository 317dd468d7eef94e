//! The wrappers conform when nothing fails, and do what their rates say.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BusFaults, FaultyBus, FaultyStore, StoreFaults};
use crate::backend::conformance::{Promises, bus_suite, store_suite};
use crate::backend::embedded::{EmbeddedBus, EmbeddedStore};
use crate::backend::{Bucket, Bus, Change, Key, Prefix, Store, StoreError};
use crate::message::{Pattern, Subject};

fn store(faults: StoreFaults) -> (Arc<EmbeddedStore>, FaultyStore) {
    let inner = Arc::new(EmbeddedStore::in_memory());
    (Arc::clone(&inner), FaultyStore::new(inner, 7, faults))
}

fn key(n: usize) -> Key {
    Key::of(&[&"k", &n])
}

#[tokio::test]
async fn without_faults_the_store_conforms() {
    let (_, store) = store(StoreFaults::default());
    store_suite(Arc::new(store), Promises { tells_removals: true }).await;
}

#[tokio::test]
async fn without_faults_the_bus_conforms() {
    let bus = FaultyBus::new(Arc::new(EmbeddedBus::new()), 7, BusFaults::default());
    bus_suite(Arc::new(bus)).await;
}

/// What arrives of a thousand messages, in order, without and with what was still held back.
async fn arrivals(seed: u64, faults: BusFaults) -> (Vec<u32>, Vec<u32>) {
    let inner = EmbeddedBus::new();
    let bus = FaultyBus::new(Arc::new(inner.clone()), seed, faults);
    let mut subscription = bus.subscribe(&Pattern::Ping).await.unwrap();
    let (mut seen, mut late) = (Vec::new(), Vec::new());
    let end = u32::MAX.to_string();
    for n in 0..1000_u32 {
        bus.publish(&Subject::Ping, n.to_string().into()).await.unwrap();
        inner.publish(&Subject::Ping, end.clone().into()).await.unwrap();
        drain(&mut subscription, &mut seen).await;
    }
    bus.flush().await.unwrap();
    inner.publish(&Subject::Ping, end.into()).await.unwrap();
    drain(&mut subscription, &mut late).await;
    (seen, late)
}

async fn drain(subscription: &mut crate::backend::Subscription, seen: &mut Vec<u32>) {
    loop {
        let payload = subscription.next().await.unwrap().payload;
        match std::str::from_utf8(&payload).unwrap().parse().unwrap() {
            u32::MAX => return,
            n => seen.push(n),
        }
    }
}

#[tokio::test]
async fn messages_are_lost_repeated_and_reordered_at_their_rates() {
    let (seen, late) = arrivals(1, BusFaults { lose: 0.3, ..BusFaults::default() }).await;
    assert!((600..800).contains(&seen.len()), "{}", seen.len());
    assert!(seen.is_sorted() && late.is_empty());

    let (seen, _) = arrivals(1, BusFaults { repeat: 0.3, ..BusFaults::default() }).await;
    assert!((1200..1400).contains(&seen.len()), "{}", seen.len());

    let hold = BusFaults { hold: 0.5, overtaken_by: 10, ..BusFaults::default() };
    let (seen, late) = arrivals(1, hold).await;
    assert!(!seen.is_sorted());
    assert!(late.len() <= 10, "only what was published last can still be held: {late:?}");
    let mut all: Vec<_> = seen.iter().chain(&late).copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>(), "nothing is lost by being held back");
    for (at, n) in seen.iter().enumerate() {
        let overtaking = seen[..at].iter().filter(|earlier| *earlier > n).count();
        assert!(overtaking <= 10, "{n} was overtaken by {overtaking}");
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let faults = BusFaults { lose: 0.2, repeat: 0.2, hold: 0.2, overtaken_by: 5 };
    assert_eq!(arrivals(3, faults).await, arrivals(3, faults).await);
    assert_ne!(arrivals(3, faults).await, arrivals(4, faults).await);
}

/// How a hundred creates are answered, and which of the records are there.
async fn creates(faults: StoreFaults) -> BTreeMap<(String, bool), usize> {
    let (inner, store) = store(faults);
    let mut counts = BTreeMap::new();
    for n in 0..100 {
        let answer = match store.create(Bucket::Claims, &key(n), "v".into()).await {
            Ok(_) => "ok".to_owned(),
            Err(error) => format!("{error:?}").split('(').next().unwrap().to_owned(),
        };
        let there = inner.get(Bucket::Claims, &key(n)).await.unwrap().is_some();
        *counts.entry((answer, there)).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn answers_to_writes_are_wrong_only_as_the_contract_allows() {
    let all = |answer: &str, there| BTreeMap::from([((answer.to_owned(), there), 100)]);
    let none = StoreFaults::default();
    assert_eq!(creates(none).await, all("ok", true));
    assert_eq!(creates(StoreFaults { unknown: 1.0, ..none }).await, all("Unknown", true));
    let unwritten = StoreFaults { unknown_unwritten: 1.0, ..none };
    assert_eq!(creates(unwritten).await, all("Unknown", false));
    assert_eq!(creates(StoreFaults { own_exists: 1.0, ..none }).await, all("Exists", true));
    assert_eq!(creates(StoreFaults { unavailable: 1.0, ..none }).await, all("Unavailable", false));
    let some = creates(StoreFaults { unknown: 0.3, unavailable: 0.3, ..none }).await;
    assert_eq!(some.len(), 3, "{some:?}");
}

#[tokio::test]
async fn a_refusal_is_told_also_when_answers_are_lost() {
    let (inner, store) = store(StoreFaults { unknown: 1.0, ..StoreFaults::default() });
    inner.create(Bucket::Claims, &key(0), "v".into()).await.unwrap();
    let refused = store.create(Bucket::Claims, &key(0), "w".into()).await;
    assert!(matches!(refused, Err(StoreError::Exists)), "{refused:?}");
}

#[tokio::test]
async fn a_stale_read_is_what_was_and_the_leader_is_never_stale() {
    let (_, store) = store(StoreFaults { stale: 1.0, ..StoreFaults::default() });
    let key = key(0);
    store.create(Bucket::Drains, &key, "1".into()).await.unwrap();
    assert_eq!(store.get(Bucket::Drains, &key).await.unwrap(), None);
    store.put(Bucket::Drains, &key, "2".into()).await.unwrap();
    let value = |entry: Option<crate::backend::Entry>| entry.unwrap().value;
    assert_eq!(value(store.get(Bucket::Drains, &key).await.unwrap()), "1");
    assert_eq!(value(store.get_latest(Bucket::Drains, &key).await.unwrap()), "2");
}

#[tokio::test]
async fn a_watch_repeats_what_stands_and_leads_to_the_same() {
    let (_, store) = store(StoreFaults { repeat: 0.5, ..StoreFaults::default() });
    let mut watch = store.watch(Bucket::Drains, &Prefix::ALL, None).await.unwrap();
    for n in 0..60 {
        store.put(Bucket::Drains, &key(n % 7), n.to_string().into()).await.unwrap();
        if n % 10 == 9 {
            store.purge(Bucket::Drains, &Prefix::of(&[&"k", &(n % 7)])).await.unwrap();
        }
    }
    // After a removal there is occasion enough to tell the removed record again.
    store.purge(Bucket::Drains, &Prefix::of(&[&"k", &0])).await.unwrap();
    for n in 0..6 {
        store.put(Bucket::Drains, &key(6), n.to_string().into()).await.unwrap();
    }
    let head = store.head(Bucket::Drains).await.unwrap();
    let (mut told, mut seen, mut records) = (0, None, BTreeMap::new());
    while seen < Some(head) {
        match watch.next().await.unwrap().unwrap() {
            Change::Put(entry) => {
                told += 1;
                seen = seen.max(Some(entry.cursor));
                records.insert(entry.key, entry.value);
            }
            Change::Deleted(key, cursor) => {
                records.remove(&key);
                seen = seen.max(Some(cursor));
            }
            Change::CaughtUp(cursor) | Change::Reached(cursor) => seen = seen.max(Some(cursor)),
        }
    }
    assert!(told > 60, "some are told again: {told}");
    let mut expected = BTreeMap::new();
    for n in 0..7 {
        if let Some(entry) = store.get_latest(Bucket::Drains, &key(n)).await.unwrap() {
            expected.insert(entry.key, entry.value);
        }
    }
    assert_eq!(records, expected);
}

#[tokio::test]
async fn a_cut_watch_ends_with_an_error() {
    let (_, store) = store(StoreFaults { cut: 1.0, ..StoreFaults::default() });
    let mut watch = store.watch(Bucket::Drains, &Prefix::ALL, None).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(Change::CaughtUp(_)))));
    assert!(matches!(watch.next().await, Some(Err(StoreError::Unavailable(_)))));
    assert!(watch.next().await.is_none());
}
