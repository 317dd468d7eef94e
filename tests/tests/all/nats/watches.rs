//! What a watch leaves at the server, and what it learns without being told.

use osapi_core::backend::{Bucket, Change, Cursor, Prefix, Store};
use osapi_tests::NatsServer;
use serde_json::Value;

/// How many consumers the server has.
fn consumers(server: &NatsServer) -> u64 {
    server.monitor("/jsz").and_then(|told| told["consumers"].as_u64()).unwrap()
}

async fn consumers_are(server: &NatsServer, count: u64) {
    super::until("the consumers are there or gone", async || {
        (consumers(server) == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_watch_has_one_consumer_and_leaves_none() {
    let server = NatsServer::start();
    let nats = super::connect(&server).await;
    let store = nats.store(Default::default()).await.unwrap();
    assert_eq!(consumers(&server), 0, "reading and writing need none");
    let mut watches = Vec::new();
    for bucket in Bucket::ALL {
        watches.push(store.watch(bucket, &Prefix::ALL, None).await.unwrap());
    }
    assert_eq!(consumers(&server), Bucket::ALL.len() as u64);
    watches.truncate(5);
    consumers_are(&server, 5).await;
    drop(store);
    consumers_are(&server, 0).await;

    let store = nats.store(Default::default()).await.unwrap();
    let _watch = store.watch(Bucket::Jobs, &Prefix::ALL, None).await.unwrap();
    assert_eq!(consumers(&server), 1);
    nats.close().await;
    assert_eq!(consumers(&server), 0, "a connection that was closed leaves none");
}

#[tokio::test]
async fn a_consumer_that_somebody_removed_is_made_again() {
    let server = NatsServer::start();
    let store = super::store(&server).await;
    let mut watch = store.watch(Bucket::Jobs, &Prefix::ALL, None).await.unwrap();
    let mut next = async || super::within("a change", watch.next()).await.unwrap().unwrap();
    assert_eq!(next().await, Change::CaughtUp(Cursor(0)));
    let anybody = super::anybody(&server).await;
    for n in 0..3_u64 {
        let names = anybody.request("$JS.API.CONSUMER.NAMES.KV_osapi-jobs", "".into()).await;
        let names: Value = serde_json::from_slice(&names.unwrap().payload).unwrap();
        for name in names["consumers"].as_array().unwrap() {
            let call = format!("$JS.API.CONSUMER.DELETE.KV_osapi-jobs.{}", name.as_str().unwrap());
            anybody.request(call, "".into()).await.unwrap();
        }
        let key = super::key(&format!("k{n}"));
        store.create(Bucket::Jobs, &key, "v".into()).await.unwrap();
        let Change::Put(entry) = next().await else { panic!("it was written") };
        assert_eq!((entry.key, entry.cursor), (key, Cursor(n + 1)));
    }
}

#[tokio::test]
async fn a_watch_of_some_records_learns_how_far_the_bucket_is() {
    let server = NatsServer::start();
    let store = super::store(&server).await;
    let mut watch = store.watch(Bucket::Drains, &super::under("a"), None).await.unwrap();
    for n in 1..=5_u64 {
        let cursor = store.create(Bucket::Drains, &super::key(&format!("b.{n}")), "v".into()).await;
        let cursor = cursor.unwrap();
        loop {
            match super::within("a change", watch.next()).await.unwrap().unwrap() {
                Change::Reached(reached) if reached >= cursor => break,
                Change::Reached(_) | Change::CaughtUp(_) => {}
                other => panic!("{other:?} is not under the prefix"),
            }
        }
    }
}

#[tokio::test]
async fn a_reader_that_takes_its_time_loses_nothing() {
    let server = NatsServer::start();
    let store = super::store(&server).await;
    // More than a batch, in count and in bytes.
    const RECORDS: usize = 1500;
    let mut watch = store.watch(Bucket::Reports, &Prefix::ALL, None).await.unwrap();
    let mut writing = tokio::task::JoinSet::new();
    for n in 0..RECORDS {
        let store = std::sync::Arc::clone(&store);
        writing.spawn(async move {
            let value = vec![7; if n % 100 == 0 { 500 * 1024 } else { 1024 }];
            store.create(Bucket::Reports, &super::key(&n.to_string()), value.into()).await.unwrap();
        });
    }
    writing.join_all().await;
    let mut last = 0;
    while last < RECORDS as u64 {
        match super::within("a change", watch.next()).await.unwrap().unwrap() {
            Change::Put(entry) => {
                assert_eq!(entry.cursor.0, last + 1, "none is left out");
                last = entry.cursor.0;
            }
            Change::CaughtUp(_) | Change::Reached(_) => {}
            Change::Deleted(key, _) => panic!("{key} was not removed"),
        }
    }
}
