//! What writing and reading promise.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::space::{MUTABLE, ONCE, Space};
use crate::backend::{Bucket, Cursor, Key, Link, Revision, StoreError};

pub(super) async fn an_absent_record_is_none(space: &Space) {
    let key = space.key("absent");
    for bucket in Bucket::ALL {
        assert_eq!(space.store.get(bucket, &key).await.expect("it can be read"), None);
        assert_eq!(space.store.get_latest(bucket, &key).await.expect("it can be read"), None);
    }
}

pub(super) async fn a_created_record_is_there(space: &Space) {
    for bucket in Bucket::ALL {
        let cursor = space.create(bucket, "k", "v").await;
        let entry = space.latest(bucket, "k").await.expect("a write that returned is seen");
        assert_eq!((entry.key, entry.value), (space.key("k"), Bytes::from_static(b"v")));
        assert_eq!(entry.cursor, cursor, "create returns where the record stands");
        let perhaps = space.store.get(bucket, &space.key("k")).await.expect("it can be read");
        assert!(perhaps.is_none_or(|entry| entry.value == "v"), "a stale read is an earlier state");
    }
}

pub(super) async fn create_fails_when_the_key_is_present(space: &Space) {
    for bucket in [ONCE, MUTABLE] {
        let cursor = space.create(bucket, "k", "first").await;
        let again = space.store.create(bucket, &space.key("k"), "second".into()).await;
        assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
        let entry = space.latest(bucket, "k").await.expect("it is still there");
        assert_eq!((entry.value, entry.cursor), ("first".into(), cursor));
    }
}

pub(super) async fn one_of_many_creates_wins(space: &Space) {
    let mut tasks = JoinSet::new();
    for n in 0..32 {
        let (store, key) = (Arc::clone(&space.store), space.key("k"));
        tasks.spawn(async move { (n, store.create(ONCE, &key, format!("{n}").into()).await) });
    }
    let mut winners = Vec::new();
    for (n, result) in tasks.join_all().await {
        match result {
            Ok(cursor) => winners.push((n, cursor)),
            Err(error) => assert!(matches!(error, StoreError::Exists), "{error:?}"),
        }
    }
    let [(n, cursor)] = winners[..] else { panic!("exactly one create wins, not {winners:?}") };
    let entry = space.latest(ONCE, "k").await.expect("the winner's record is there");
    assert_eq!((entry.value, entry.cursor), (format!("{n}").into(), cursor));
}

pub(super) async fn put_writes_there_or_not(space: &Space) {
    let key = space.key("k");
    let first = space.store.put(MUTABLE, &key, "1".into()).await.expect("absent is written");
    let second = space.store.put(MUTABLE, &key, "2".into()).await.expect("present is written");
    assert_ne!(first, second, "every write has a revision of its own");
    let entry = space.latest(MUTABLE, "k").await.expect("it is there");
    assert_eq!((entry.value, entry.revision), ("2".into(), second));
}

pub(super) async fn update_needs_the_present_revision(space: &Space) {
    let key = space.key("k");
    let update =
        |value: &'static str, revision| space.store.update(MUTABLE, &key, value.into(), revision);
    let absent = update("0", Revision(1)).await;
    assert!(matches!(absent, Err(StoreError::Conflict)), "{absent:?}");
    space.create(MUTABLE, "k", "1").await;
    let first = space.latest(MUTABLE, "k").await.expect("it is there").revision;
    let second = update("2", first).await.expect("the revision is the present one");
    let stale = update("3", first).await;
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    let third = update("4", second).await.expect("update returns the present revision");
    let entry = space.latest(MUTABLE, "k").await.expect("it is there");
    assert_eq!((entry.value, entry.revision), ("4".into(), third));
    // A record that is made again is another, also with the same value.
    space.purge(MUTABLE, &space.all()).await;
    space.create(MUTABLE, "k", "4").await;
    let reborn = update("5", third).await;
    assert!(matches!(reborn, Err(StoreError::Conflict)), "{reborn:?}");
}

pub(super) async fn one_of_many_updates_wins(space: &Space) {
    let revision = space.store.put(MUTABLE, &space.key("k"), "0".into()).await.expect("written");
    let mut tasks = JoinSet::new();
    for n in 1..=32 {
        let (store, key) = (Arc::clone(&space.store), space.key("k"));
        tasks.spawn(async move {
            (n, store.update(MUTABLE, &key, format!("{n}").into(), revision).await)
        });
    }
    let mut winners = Vec::new();
    for (n, result) in tasks.join_all().await {
        match result {
            Ok(revision) => winners.push((n, revision)),
            Err(error) => assert!(matches!(error, StoreError::Conflict), "{error:?}"),
        }
    }
    let [(n, revision)] = winners[..] else { panic!("exactly one update wins, not {winners:?}") };
    let entry = space.latest(MUTABLE, "k").await.expect("it is there");
    assert_eq!((entry.value, entry.revision), (format!("{n}").into(), revision));
}

pub(super) async fn write_once_buckets_refuse_a_second_write(space: &Space) {
    for bucket in Bucket::ALL.into_iter().filter(|bucket| bucket.is_write_once()) {
        let key = space.key("k");
        let absent = space.store.put(bucket, &key, "put".into()).await;
        assert!(matches!(absent, Err(StoreError::WriteOnce(of)) if of == bucket), "{absent:?}");
        space.create(bucket, "k", "first").await;
        let entry = space.latest(bucket, "k").await.expect("it is there");
        let put = space.store.put(bucket, &key, "put".into()).await;
        assert!(matches!(put, Err(StoreError::WriteOnce(_))), "{put:?}");
        let update = space.store.update(bucket, &key, "update".into(), entry.revision).await;
        assert!(matches!(update, Err(StoreError::WriteOnce(_))), "{update:?}");
        assert_eq!(space.latest(bucket, "k").await, Some(entry), "the first write stands");
    }
}

pub(super) async fn values_are_bounded(space: &Space) {
    for bucket in Bucket::ALL {
        let max = bucket.max_record();
        let key = space.key("k");
        let refused = space.store.create(bucket, &key, vec![7; max + 1].into()).await;
        let Err(StoreError::TooLarge { bucket: of, size, max: most }) = refused else {
            panic!("{bucket} takes at most {max} bytes: {refused:?}")
        };
        assert_eq!((of, size, most), (bucket, max + 1, max));
        assert_eq!(space.latest(bucket, "k").await, None, "what is refused is not written");
        space.store.create(bucket, &key, vec![7; max].into()).await.expect("the bound is allowed");
        assert_eq!(space.latest(bucket, "k").await.map(|entry| entry.value.len()), Some(max));
        space.purge(bucket, &space.all()).await;
    }
}

pub(super) async fn values_are_bytes(space: &Space) {
    let all: Bytes = (0..=255).collect::<Vec<u8>>().into();
    for (key, value) in [("empty", Bytes::new()), ("all", all)] {
        space.store.create(ONCE, &space.key(key), value.clone()).await.expect("it is created");
        assert_eq!(space.latest(ONCE, key).await.map(|entry| entry.value), Some(value));
    }
    let room = 256 - (space.key("x").as_str().len() - 1);
    let longest = "x".repeat(room);
    space.create(ONCE, &longest, "v").await;
    assert!(space.latest(ONCE, &longest).await.is_some(), "keys of 256 bytes are kept");
}

pub(super) async fn buckets_are_apart(space: &Space) {
    for bucket in Bucket::ALL {
        space.create(bucket, "k", bucket.name()).await;
    }
    for bucket in Bucket::ALL {
        let entry = space.latest(bucket, "k").await.expect("each bucket has its own");
        assert_eq!(entry.value, bucket.name());
    }
    assert_eq!(space.purge(Bucket::Jobs, &space.all()).await, 1);
    assert!(space.latest(Bucket::Envelopes, "k").await.is_some(), "a purge is for one bucket");
}

pub(super) async fn purge_takes_whole_tokens(space: &Space) {
    for bucket in [ONCE, MUTABLE] {
        let (under, beside) = (["a", "a.b", "a.b.c"], ["ab", "a-b", "a_b", "b.a"]);
        for key in under.iter().chain(&beside) {
            space.create(bucket, key, "v").await;
        }
        assert_eq!(space.purge(bucket, &space.under("a")).await, 3, "the number of records");
        for key in under {
            assert_eq!(space.latest(bucket, key).await, None, "{key} is gone");
        }
        for key in beside {
            assert!(space.latest(bucket, key).await.is_some(), "{key} is not under the prefix");
        }
        assert_eq!(space.purge(bucket, &space.under("a")).await, 0, "nothing is left");
    }
}

pub(super) async fn a_purged_key_can_be_created_again(space: &Space) {
    for bucket in [ONCE, MUTABLE] {
        let first = space.create(bucket, "k", "1").await;
        space.purge(bucket, &space.all()).await;
        let second = space.create(bucket, "k", "2").await;
        assert!(second > first, "a cursor is never used again");
        assert_eq!(space.latest(bucket, "k").await.map(|entry| entry.value), Some("2".into()));
    }
}

pub(super) async fn the_head_never_goes_back(space: &Space) {
    let head = async || space.store.head(MUTABLE).await.expect("it has a head");
    let mut last: Cursor = head().await;
    for n in 0..3 {
        let cursor = space.create(MUTABLE, &format!("k{n}"), "v").await;
        assert!(cursor > last, "cursors grow");
        assert!(head().await >= cursor, "the head covers every write that returned");
        last = cursor;
    }
    let before = head().await;
    space.purge(MUTABLE, &space.all()).await;
    assert!(head().await >= before, "a removal does not take it back");
}

pub(super) async fn a_healthy_store_says_so(space: &Space) {
    assert_eq!(*space.store.link().borrow(), Link::Up);
    assert_eq!(space.store.id(), space.store.id());
    let key: Key = space.key("k");
    assert!(space.store.get(ONCE, &key).await.is_ok());
}
