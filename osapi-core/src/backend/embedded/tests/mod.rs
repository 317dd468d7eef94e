//! What is particular to the embedded store, and the conformance suite.

mod closing;
mod commits;
mod medium;
mod model;
mod opening;
mod watching;

use std::sync::Arc;

use super::{EmbeddedBus, EmbeddedStore, Limits};
use crate::backend::Store;
use crate::backend::conformance::{Promises, bus_suite, persistence_suite, store_suite};

const PROMISES: Promises = Promises { tells_removals: true };

#[tokio::test]
async fn the_store_conforms_in_memory() {
    store_suite(Arc::new(EmbeddedStore::in_memory()), PROMISES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let store = EmbeddedStore::open(&path, Limits::default()).unwrap();
    store_suite(Arc::new(store), PROMISES).await;
}

#[tokio::test]
async fn the_store_survives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let mut open: Option<Arc<EmbeddedStore>> = None;
    persistence_suite(async || {
        if let Some(store) = open.take() {
            store.close().await;
        }
        let store = Arc::new(EmbeddedStore::open(&path, Limits::default()).unwrap());
        open = Some(Arc::clone(&store));
        store as Arc<dyn Store>
    })
    .await;
}

#[tokio::test]
async fn the_bus_conforms() {
    bus_suite(Arc::new(EmbeddedBus::new())).await;
}
