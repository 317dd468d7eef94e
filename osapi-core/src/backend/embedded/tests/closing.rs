//! Closing and dropping a store, and runtimes that end under it.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::task::JoinSet;

use super::medium::{Medium, until};
use crate::backend::embedded::{EmbeddedStore, Limits, OpenError};
use crate::backend::{Bucket, Change, Key, Link, Prefix, Store, StoreError};

const B: Bucket = Bucket::Claims;

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

#[tokio::test]
async fn closing_commits_what_waits() {
    let medium = Medium::default();
    // One write each, so that many commits are still to come.
    let one = Limits { batch_writes: 1, ..Limits::default() };
    let store = Arc::new(medium.open(one.clone()));
    medium.hold();
    let mut writers = JoinSet::new();
    for n in 0..50 {
        let store_of = Arc::clone(&store);
        writers.spawn(async move { store_of.create(B, &Key::of(&[&n]), "v".into()).await });
    }
    until(|| medium.waits() && store.waiting() == 49).await;
    let release = async {
        until(|| matches!(*store.link().borrow(), Link::Down(_))).await;
        // Closing has every chance to be too quick.
        for _ in 0..100 {
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        }
        medium.release();
    };
    tokio::join!(store.close(), release);
    assert!(writers.join_all().await.iter().all(Result::is_ok));
    let store = medium.open(one);
    for n in 0..50 {
        assert!(store.get(B, &Key::of(&[&n])).await.unwrap().is_some(), "{n}");
    }
}

#[tokio::test]
async fn a_closed_store_refuses_and_its_watches_end() {
    let store = EmbeddedStore::in_memory();
    store.create(B, &key("a"), "v".into()).await.unwrap();
    let mut live = store.watch(B, &Prefix::ALL, None).await.unwrap();
    assert!(matches!(live.next().await, Some(Ok(Change::Put(_)))));
    assert!(matches!(live.next().await, Some(Ok(Change::CaughtUp(_)))));
    store.close().await;
    assert!(live.next().await.is_none());
    assert!(matches!(*store.link().borrow(), Link::Down(_)));
    let refused = store.create(B, &key("b"), "v".into()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = store.get(B, &key("a")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = store.watch(B, &Prefix::ALL, None).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    store.close().await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_watcher_that_does_not_read() {
    let store = EmbeddedStore::in_memory();
    let unread = store.watch(Bucket::Envelopes, &Prefix::ALL, None).await.unwrap();
    for n in 0..20 {
        store.create(Bucket::Envelopes, &Key::of(&[&n]), vec![0; 1000].into()).await.unwrap();
    }
    store.close().await;
    drop(unread);
}

#[tokio::test]
async fn dropping_a_store_ends_its_watches() {
    let store = EmbeddedStore::in_memory();
    let mut watch = store.watch(B, &Prefix::ALL, None).await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(Change::CaughtUp(_)))));
    drop(store);
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_dropped_watch_is_forgotten() {
    let store = EmbeddedStore::in_memory();
    let watch = store.watch(B, &Prefix::ALL, None).await.unwrap();
    assert_eq!(store.running(), 1);
    drop(watch);
    until(|| store.running() == 0).await;
}

#[tokio::test]
async fn a_closed_file_can_be_opened_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let store = EmbeddedStore::open(&path, Limits::default()).unwrap();
    let watch = store.watch(B, &Prefix::ALL, None).await.unwrap();
    assert!(matches!(
        EmbeddedStore::open(&path, Limits::default()),
        Err(OpenError::InUse(of)) if of == path
    ));
    store.close().await;
    let again = EmbeddedStore::open(&path, Limits::default()).unwrap();
    assert_eq!(again.id(), store.id());
    drop((store, watch));
}

#[test]
fn a_runtime_that_has_ended_leaves_no_writer_waiting() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = EmbeddedStore::in_memory();
    let ended = runtime();
    let handle = ended.handle().clone();
    drop(ended);
    let a = key("a");
    let answer = {
        let _inside = handle.enter();
        store.create(B, &a, "v".into()).now_or_never()
    };
    assert!(matches!(answer, Some(Err(StoreError::Unavailable(_)))), "{answer:?}");
    runtime().block_on(store.create(B, &a, "v".into())).unwrap();
}
