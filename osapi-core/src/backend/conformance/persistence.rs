//! What survives when a store is opened again.

use std::sync::Arc;

use super::space::{MUTABLE, ONCE, Space, values};
use crate::backend::Store;

/// Checks what survives. `reopen` closes the store that it gave before, if any, and opens it again.
///
/// # Panics
/// When the store breaks a promise.
pub async fn persistence_suite(mut reopen: impl AsyncFnMut() -> Arc<dyn Store>) {
    let mut space = Space::new(&reopen().await, "persistence");
    let id = space.store.id();
    let first = space.create(ONCE, "a", "1").await;
    let second = space.create(ONCE, "b", "2").await;
    let revision = space.store.put(MUTABLE, &space.key("m"), "1".into()).await.expect("written");

    space.store = reopen().await;
    assert_eq!(space.store.id(), id, "it is the same store");
    let entry = space.latest(ONCE, "a").await.expect("a write that returned survives");
    assert_eq!((entry.value, entry.cursor), ("1".into(), first));
    let mut told = space.watch(ONCE, &space.all(), Some(first)).await;
    assert_eq!(values(&told.until_caught_up().await), ["2"], "a watch goes on where it stood");
    let update = space.store.update(MUTABLE, &space.key("m"), "2".into(), revision).await;
    update.expect("revisions survive");
    let head = space.store.head(ONCE).await.expect("it has a head");
    assert!(head >= second, "the head survives");
    assert_eq!(space.purge(ONCE, &space.all()).await, 2);
    let head = space.store.head(ONCE).await.expect("it has a head");

    space.store = reopen().await;
    assert_eq!(space.latest(ONCE, "a").await, None, "a removal survives");
    assert!(space.store.head(ONCE).await.expect("it has a head") >= head);
    let mut told = space.watch(ONCE, &space.all(), Some(head)).await;
    assert_eq!(told.until_caught_up().await, [], "a head is no cursor beyond the end");
    let third = space.create(ONCE, "a", "3").await;
    assert!(third > second && third > head, "cursors of removed records are not used again");
    assert_eq!(told.put().await.value, "3");
}
