//! What watches promise.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::space::{MUTABLE, ONCE, Space, values};
use crate::backend::{Bucket, Change, Cursor, Key, Prefix, StoreError};

/// More than any watch holds ready for a slow watcher.
const MANY: usize = 700;

/// Creates [`MANY`] records at once.
fn create_many(space: &Space) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for n in 0..MANY {
        let (store, key) = (Arc::clone(&space.store), space.key(&format!("k{n}")));
        tasks.spawn(async move {
            store.create(ONCE, &key, format!("{n}").into()).await.expect("it is created");
        });
    }
    tasks
}

pub(super) async fn it_tells_what_is_there_and_then_what_comes(space: &Space) {
    for bucket in Bucket::ALL {
        space.create(bucket, "a", "1").await;
        space.create(bucket, "b", "2").await;
        let head = space.store.head(bucket).await.expect("it has a head");
        let mut told = space.watch(bucket, &space.all(), None).await;
        assert_eq!(values(&told.until_caught_up().await), ["1", "2"]);
        assert!(told.seen >= Some(head), "it stands where the bucket was when it was opened");
        let cursor = space.create(bucket, "c", "3").await;
        let entry = told.put().await;
        assert_eq!((entry.key, entry.cursor), (space.key("c"), cursor));
        assert_eq!(entry.value, "3");
    }
}

pub(super) async fn it_goes_on_after_a_cursor(space: &Space) {
    space.create(ONCE, "a", "1").await;
    let after = space.create(ONCE, "b", "2").await;
    space.create(ONCE, "c", "3").await;
    let last = space.create(ONCE, "d", "4").await;
    let mut told = space.watch(ONCE, &space.all(), Some(after)).await;
    assert_eq!(values(&told.until_caught_up().await), ["3", "4"]);
    let mut told = space.watch(ONCE, &space.all(), Some(last)).await;
    assert_eq!(values(&told.until_caught_up().await), [""; 0]);
    space.create(ONCE, "e", "5").await;
    assert_eq!(told.put().await.value, "5");
}

pub(super) async fn it_keeps_the_order_of_cursors(space: &Space) {
    let mut live = space.watch(ONCE, &space.all(), None).await;
    assert_eq!(live.until_caught_up().await, []);
    create_many(space).join_all().await;
    let mut late = space.watch(ONCE, &space.all(), None).await;
    let mut last = Cursor(0);
    for _ in 0..MANY {
        let (entry, same) = (live.put().await, late.put().await);
        assert_eq!(entry, same, "all watchers see one order");
        assert_eq!(entry.revision, same.revision);
        assert!(entry.cursor > last, "and it is that of the cursors");
        last = entry.cursor;
    }
}

pub(super) async fn it_tells_its_prefix_only(space: &Space) {
    for key in ["a", "a.b", "ab", "a-b", "b"] {
        space.create(ONCE, key, key).await;
    }
    let mut told = space.watch(ONCE, &space.under("a"), None).await;
    assert_eq!(values(&told.until_caught_up().await), ["a", "a.b"]);
    for key in ["ac", "a-c", "c", "a.c"] {
        space.create(ONCE, key, key).await;
    }
    assert_eq!(told.put().await.value, "a.c");
}

pub(super) async fn it_tells_the_last_value(space: &Space) {
    let key = space.key("k");
    for value in ["1", "2", "3"] {
        space.store.put(MUTABLE, &key, value.into()).await.expect("it is written");
    }
    let mut told = space.watch(MUTABLE, &space.all(), None).await;
    let entries = told.until_caught_up().await;
    assert_eq!(values(&entries).last().map(String::as_str), Some("3"));
    let revision = space.store.put(MUTABLE, &key, "4".into()).await.expect("it is written");
    let entry = told.put().await;
    assert_eq!((entry.value, entry.revision), ("4".into(), revision));
    space.store.update(MUTABLE, &key, "5".into(), revision).await.expect("a told revision counts");
}

pub(super) async fn it_does_not_tell_earlier_removals(space: &Space) {
    let start = space.create(ONCE, "a", "1").await;
    space.create(ONCE, "b.x", "2").await;
    space.create(ONCE, "c", "3").await;
    space.purge(ONCE, &space.under("b")).await;
    for from in [None, Some(start)] {
        let mut told = space.watch(ONCE, &space.all(), from).await;
        let entries = told.until_caught_up().await;
        assert!(entries.iter().all(|entry| entry.key != space.key("b.x")), "it is gone");
    }
}

pub(super) async fn beyond_the_end_a_rescan_is_called_for(space: &Space) {
    let head = space.store.head(ONCE).await.expect("it has a head");
    let beyond = Cursor(head.0 + 1_000_000);
    match space.store.watch(ONCE, &space.all(), Some(beyond)).await {
        Err(error) => assert!(matches!(error, StoreError::Rescan), "{error:?}"),
        Ok(_) => {
            let error = space.watch(ONCE, &space.all(), Some(beyond)).await.error().await;
            assert!(matches!(error, StoreError::Rescan), "{error:?}");
        }
    }
}

pub(super) async fn a_slow_watcher_loses_nothing(space: &Space) {
    let mut told = space.watch(ONCE, &space.all(), None).await;
    create_many(space).join_all().await;
    let mut keys = BTreeSet::new();
    while keys.len() < MANY {
        if let Change::Put(entry) = told.next().await {
            assert!(keys.insert(entry.key), "each is told once");
        }
    }
}

pub(super) async fn nothing_falls_between_what_is_there_and_what_comes(space: &Space) {
    let mut writers = create_many(space);
    writers.join_next().await;
    let mut told = space.watch(ONCE, &space.all(), None).await;
    let mut keys = BTreeSet::new();
    while keys.len() < MANY {
        if let Change::Put(entry) = told.next().await {
            keys.insert(entry.key);
        }
    }
    writers.join_all().await;
}

pub(super) async fn it_reaches_the_head(space: &Space) {
    let mut told = space.watch(MUTABLE, &Prefix::ALL, None).await;
    for n in 0..3 {
        space.create(MUTABLE, &format!("k{n}"), "v").await;
        let head = space.store.head(MUTABLE).await.expect("it has a head");
        while told.seen < Some(head) {
            told.next().await;
        }
    }
}

pub(super) async fn it_tells_removals_in_order(space: &Space) {
    let (one, two) = (space.key("a.1"), space.key("a.2"));
    let mut told = space.watch(ONCE, &space.all(), None).await;
    assert_eq!(told.until_caught_up().await, []);
    space.create(ONCE, "a.1", "1").await;
    let created = space.create(ONCE, "a.2", "2").await;
    assert_eq!((told.put().await.key, told.put().await.key), (one.clone(), two.clone()));
    space.purge(ONCE, &space.under("a")).await;
    let again = space.create(ONCE, "a.1", "3").await;
    let mut gone: BTreeSet<Key> = BTreeSet::new();
    for _ in 0..2 {
        let Change::Deleted(key, cursor) = told.next().await else { panic!("a removal is told") };
        assert!(cursor > created && cursor < again, "it stands between the writes");
        gone.insert(key);
    }
    assert_eq!(gone, BTreeSet::from([one, two]));
    assert_eq!(told.put().await.cursor, again);
}

pub(super) async fn it_reaches_the_head_over_a_removal(space: &Space) {
    let mut told = space.watch(ONCE, &Prefix::ALL, None).await;
    space.create(ONCE, "k", "v").await;
    let with = space.store.head(ONCE).await.expect("it has a head");
    space.purge(ONCE, &space.all()).await;
    let without = space.store.head(ONCE).await.expect("it has a head");
    while told.seen < Some(with.max(without)) {
        told.next().await;
    }
}
