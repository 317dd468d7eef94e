//! Three servers, of which any one may fail.

use std::sync::Arc;

use osapi_core::backend::conformance::{Promises, bus_suite, store_suite};
use osapi_core::backend::nats::{Nats, NatsStore, StoreOptions};
use osapi_core::backend::{Bucket, Change, Prefix, Store, StoreError};
use osapi_tests::NatsCluster;
use osapi_tests::server::PLAIN;

async fn store(cluster: &NatsCluster) -> (Nats, Arc<NatsStore>) {
    let nats = Nats::connect(super::options(&cluster.urls())).await.unwrap();
    let options = StoreOptions { replicas: 3, ..StoreOptions::default() };
    let store = nats.store(options).await.unwrap();
    (nats, Arc::new(store))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_conforms() {
    let cluster = NatsCluster::with(PLAIN);
    let (nats, store) = store(&cluster).await;
    bus_suite(Arc::new(nats.bus())).await;
    store_suite(store, Promises { tells_removals: false }).await;
}

/// Creates a record, through whatever happens, and returns its cursor if it was acknowledged.
async fn create(store: &NatsStore, key: &str) -> Option<u64> {
    let key = super::key(key);
    super::until("a record is written", async || {
        match store.create(Bucket::Claims, &key, key.as_str().to_owned().into()).await {
            Ok(cursor) => Some(Some(cursor.0)),
            Err(StoreError::Exists) => Some(None),
            Err(StoreError::Unknown(_) | StoreError::Unavailable(_)) => None,
            Err(error) => panic!("{error:?}"),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_server_may_fail() {
    let mut cluster = NatsCluster::with(PLAIN);
    let (_nats, store) = store(&cluster).await;
    let mut watch = store.watch(Bucket::Claims, &Prefix::ALL, None).await.unwrap();
    let mut written = 0;
    for node in 0..3 {
        for n in 0..20 {
            create(&store, &format!("before.{node}.{n}")).await;
        }
        cluster.kill(node);
        for n in 0..20 {
            create(&store, &format!("without.{node}.{n}")).await;
        }
        written += 40;
        let latest = super::until("the leader answers", async || {
            store.get_latest(Bucket::Claims, &super::key(&format!("before.{node}.0"))).await.ok()
        });
        assert!(latest.await.is_some(), "an acknowledged record survives");
        cluster.restart(node);
    }
    let mut told = std::collections::BTreeSet::new();
    let mut last = 0;
    while told.len() < written {
        match super::within("a change", watch.next()).await.unwrap().unwrap() {
            Change::Put(entry) => {
                assert!(entry.cursor.0 > last, "in the order of cursors");
                last = entry.cursor.0;
                assert!(told.insert(entry.key), "each once");
            }
            Change::CaughtUp(_) | Change::Reached(_) => {}
            Change::Deleted(key, _) => panic!("{key} was not removed"),
        }
    }
}
