//! What watches do beyond the conformance suite.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::backend::embedded::EmbeddedStore;
use crate::backend::{Bucket, Change, Cursor, Key, Prefix, Store, StoreError, Watch};

const B: Bucket = Bucket::Claims;

async fn fill(store: &Arc<EmbeddedStore>, count: usize) {
    let mut writers = JoinSet::new();
    for n in 0..count {
        let store = Arc::clone(store);
        writers.spawn(async move { store.create(B, &Key::of(&[&"k", &n]), "v".into()).await });
    }
    assert!(writers.join_all().await.iter().all(Result::is_ok));
}

async fn next(watch: &mut Watch) -> Change {
    watch.next().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_scan_in_parts_tells_all_in_order() {
    let store = Arc::new(EmbeddedStore::in_memory());
    fill(&store, 3000).await;
    for prefix in [Prefix::ALL, Prefix::of(&[&"k"])] {
        let mut watch = store.watch(B, &prefix, None).await.unwrap();
        for n in 1..=3000 {
            let Change::Put(entry) = next(&mut watch).await else { panic!("a write is told") };
            assert_eq!(entry.cursor, Cursor(n));
        }
        assert_eq!(next(&mut watch).await, Change::CaughtUp(Cursor(3000)));
    }
}

#[tokio::test]
async fn a_watch_that_missed_too_many_removals_ends_with_a_rescan() {
    let store = Arc::new(EmbeddedStore::in_memory());
    let mut watch = store.watch(B, &Prefix::ALL, None).await.unwrap();
    assert_eq!(next(&mut watch).await, Change::CaughtUp(Cursor(0)));
    // It is filled first, so that it does not read on while the removals are made.
    fill(&store, 20_000).await;
    store.purge(B, &Prefix::ALL).await.unwrap();
    let last = loop {
        match watch.next().await {
            Some(Ok(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(last, Some(Err(StoreError::Rescan))), "{last:?}");
    assert!(watch.next().await.is_none());
    let mut again = store.watch(B, &Prefix::ALL, None).await.unwrap();
    assert_eq!(next(&mut again).await, Change::CaughtUp(Cursor(40_000)));
}

#[tokio::test]
async fn a_watch_opened_at_the_head_tells_only_what_comes() {
    let store = Arc::new(EmbeddedStore::in_memory());
    fill(&store, 5).await;
    let mut watch = store.watch(B, &Prefix::ALL, Some(Cursor(5))).await.unwrap();
    assert_eq!(next(&mut watch).await, Change::CaughtUp(Cursor(5)));
    assert!(matches!(store.watch(B, &Prefix::ALL, Some(Cursor(6))).await, Err(StoreError::Rescan)));
}
