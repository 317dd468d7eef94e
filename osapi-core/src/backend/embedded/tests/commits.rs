//! Group commit, its bounds, and a disk that fails.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::medium::{Medium, until};
use crate::backend::embedded::{Cap, EmbeddedStore, Limits};
use crate::backend::{Bucket, Cursor, Key, Link, Prefix, Store, StoreError};

type Writers = JoinSet<(Key, Result<Cursor, StoreError>)>;

fn key(n: usize) -> Key {
    Key::of(&[&"k", &n])
}

fn create(writers: &mut Writers, store: &Arc<EmbeddedStore>, key: Key, value: Bytes) {
    let store = Arc::clone(store);
    writers.spawn(async move {
        let created = store.create(Bucket::Claims, &key, value).await;
        (key, created)
    });
}

/// One write is being synced, and waits there; what is written now waits behind it.
async fn held_up(medium: &Medium, store: &Arc<EmbeddedStore>) -> Writers {
    let mut writers = JoinSet::new();
    medium.hold();
    create(&mut writers, store, key(0), "v".into());
    until(|| medium.waits()).await;
    writers
}

#[tokio::test]
async fn what_waits_goes_into_one_commit() {
    let medium = Medium::default();
    let store = Arc::new(medium.open(Limits::default()));
    let mut writers = held_up(&medium, &store).await;
    for n in 1..200 {
        // Every key twice: each caller gets its own answer.
        create(&mut writers, &store, key(n), "v".into());
        create(&mut writers, &store, key(n), "v".into());
    }
    until(|| store.waiting() == 398).await;
    medium.release();
    let (mut created, mut existed) = (0, 0);
    for (_, result) in writers.join_all().await {
        match result {
            Ok(_) => created += 1,
            Err(StoreError::Exists) => existed += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((created, existed), (200, 199));
    assert_eq!((store.stats().commits, store.stats().writes), (2, 200));
}

#[tokio::test]
async fn many_writers_share_few_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&dir.path().join("s"), Limits::default()).unwrap();
    let store = Arc::new(store);
    let mut writers = JoinSet::new();
    for n in 0..200 {
        create(&mut writers, &store, key(n), "v".into());
    }
    assert!(writers.join_all().await.iter().all(|(_, result)| result.is_ok()));
    let stats = store.stats();
    assert_eq!(stats.writes, 200);
    assert!(stats.commits <= 100, "{stats:?}");
}

#[tokio::test]
async fn a_batch_is_bounded_in_number_and_bytes() {
    let by_number = Limits { batch_writes: 10, ..Limits::default() };
    let by_bytes = Limits { batch_bytes: 10 * 2048, ..Limits::default() };
    for limits in [by_number, by_bytes] {
        let medium = Medium::default();
        let store = Arc::new(medium.open(limits));
        let mut writers = held_up(&medium, &store).await;
        for n in 1..=40 {
            create(&mut writers, &store, key(n), vec![0; 1024].into());
        }
        until(|| store.waiting() == 40).await;
        medium.release();
        writers.join_all().await;
        assert_eq!(store.stats().commits, 1 + 4);
    }
}

#[tokio::test]
async fn the_queue_is_bounded_and_who_waits_for_room_gets_it() {
    let medium = Medium::default();
    let limits = Limits { queue_bytes: 2 << 20, ..Limits::default() };
    let store = Arc::new(medium.open(limits));
    let mut writers = held_up(&medium, &store).await;
    let value = Bytes::from(vec![0; 31 * 1024]);
    for n in 1..=100 {
        create(&mut writers, &store, key(n), value.clone());
    }
    // 32 KiB each with the overhead, beside the one that is being synced.
    until(|| store.waiting() == 63).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.waiting(), 63);
    medium.release();
    assert!(writers.join_all().await.iter().all(|(_, result)| result.is_ok()));
}

#[tokio::test]
async fn a_refused_write_syncs_nothing() {
    let store = EmbeddedStore::in_memory();
    store.create(Bucket::Claims, &key(0), "v".into()).await.unwrap();
    let commits = store.stats().commits;
    let refused = store.create(Bucket::Claims, &key(0), "v".into()).await;
    assert!(matches!(refused, Err(StoreError::Exists)));
    assert_eq!(store.stats().commits, commits);
}

#[tokio::test]
async fn after_a_failed_sync_the_store_stops_until_it_is_opened_again() {
    let medium = Medium::default();
    let store = Arc::new(medium.open(Limits::default()));
    store.create(Bucket::Claims, &key(9), "before".into()).await.unwrap();
    let mut writers = held_up(&medium, &store).await;
    create(&mut writers, &store, key(1), "v".into());
    create(&mut writers, &store, key(9), "v".into());
    until(|| store.waiting() == 2).await;
    medium.fail(true);
    medium.release();
    for (of, result) in writers.join_all().await {
        if of == key(0) {
            assert!(
                matches!(result, Err(StoreError::Unknown(_))),
                "it was being synced: {result:?}"
            );
        } else {
            assert!(
                matches!(result, Err(StoreError::Unavailable(_))),
                "it had not begun: {result:?}"
            );
        }
    }
    assert!(matches!(*store.link().borrow(), Link::Down(_)));
    // The disk is well again, but what it holds is not known.
    medium.fail(false);
    let later = store.create(Bucket::Claims, &key(2), "v".into()).await;
    assert!(matches!(later, Err(StoreError::Unavailable(_))), "{later:?}");
    store.close().await;
    drop(store);

    let store = medium.open(Limits::default());
    let before = store.get_latest(Bucket::Claims, &key(9)).await.unwrap();
    assert_eq!(before.map(|entry| entry.value), Some("before".into()));
    for n in [1, 2] {
        assert_eq!(store.get_latest(Bucket::Claims, &key(n)).await.unwrap(), None);
    }
    store.create(Bucket::Claims, &key(2), "v".into()).await.unwrap();
}

#[tokio::test]
async fn a_refusal_in_a_failed_batch_says_that_nothing_was_written() {
    let medium = Medium::default();
    let store = Arc::new(medium.open(Limits::default()));
    let mut writers = held_up(&medium, &store).await;
    create(&mut writers, &store, key(1), "1".into());
    until(|| store.waiting() == 1).await;
    create(&mut writers, &store, key(1), "2".into());
    until(|| store.waiting() == 2).await;
    // The first sync is well, the second fails.
    medium.fail_after(1);
    medium.release();
    let mut results = Vec::new();
    for (of, result) in writers.join_all().await {
        if of == key(1) {
            results.push(result);
        }
    }
    results.sort_by_key(|result| matches!(result, Err(StoreError::Unavailable(_))));
    assert!(
        matches!(&results[..], [Err(StoreError::Unknown(_)), Err(StoreError::Unavailable(_))]),
        "{results:?}"
    );
}

#[tokio::test]
async fn a_cap_refuses_what_would_grow_the_bucket() {
    let by_number = Cap { records: 2, bytes: u64::MAX };
    let by_bytes = Cap { records: u64::MAX, bytes: 2 * 103 };
    for cap in [by_number, by_bytes] {
        let limits = Limits::default().with_cap(Bucket::Output, cap).with_cap(Bucket::Drains, cap);
        let store = EmbeddedStore::in_memory_with(limits);
        let value = Bytes::from(vec![0; 100]);
        for bucket in [Bucket::Output, Bucket::Drains] {
            for n in 0..2 {
                store.create(bucket, &key(n), value.clone()).await.unwrap();
            }
            let full = store.create(bucket, &key(2), value.clone()).await;
            assert!(matches!(full, Err(StoreError::Full(of)) if of == bucket), "{full:?}");
            assert_eq!(store.get(bucket, &key(2)).await.unwrap(), None);
        }
        // What does not grow it, and other buckets, are not refused.
        store.put(Bucket::Drains, &key(1), value.clone()).await.unwrap();
        store.create(Bucket::Reports, &key(2), value.clone()).await.unwrap();
        assert_eq!(store.purge(Bucket::Output, &Prefix::of(&[&"k", &0])).await.unwrap(), 1);
        store.create(Bucket::Output, &key(2), value.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_large_purge_takes_several_commits_and_counts_them_all() {
    let store = EmbeddedStore::in_memory();
    let mut writers = JoinSet::new();
    let store = Arc::new(store);
    for n in 0..2500 {
        create(&mut writers, &store, key(n), "v".into());
    }
    writers.join_all().await;
    let before = store.stats().commits;
    assert_eq!(store.purge(Bucket::Claims, &Prefix::ALL).await.unwrap(), 2500);
    assert_eq!(store.stats().commits, before + 3);
}

#[tokio::test(start_paused = true)]
async fn no_write_or_watch_lets_paused_time_advance() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&dir.path().join("s"), Limits::default()).unwrap();
    let began = tokio::time::Instant::now();
    let work = async {
        let mut watch = store.watch(Bucket::Drains, &Prefix::ALL, None).await.unwrap();
        watch.next().await.unwrap().unwrap();
        for n in 0..20 {
            store.create(Bucket::Drains, &key(n), "v".into()).await.unwrap();
            store.put(Bucket::Drains, &key(n), "w".into()).await.unwrap();
            watch.next().await.unwrap().unwrap();
            let mut other = store.watch(Bucket::Drains, &Prefix::of(&[&"k"]), None).await.unwrap();
            other.next().await.unwrap().unwrap();
        }
        store.close().await;
    };
    tokio::select! {
        biased;
        () = work => {}
        () = tokio::time::sleep(std::time::Duration::from_nanos(1)) => panic!("time advanced"),
    }
    assert_eq!(began.elapsed(), std::time::Duration::ZERO);
}
