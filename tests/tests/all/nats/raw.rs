//! A record that is written once stays as it is, whoever tries: here a client with every right over the account, and no rules of ours.

use std::time::Duration;

use async_nats::HeaderMap;
use osapi_core::backend::{Bucket, Store, StoreError};
use osapi_tests::NatsServer;
use serde_json::Value;

/// Publishes to a stream and returns its word on it.
async fn publish(
    client: &async_nats::Client,
    subject: &str,
    headers: &[(&'static str, &str)],
) -> Value {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    let request = async_nats::Request::new().payload("second".into()).headers(map);
    let request = request.timeout(Some(Duration::from_secs(30)));
    let answer = client.send_request(subject.to_owned(), request).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// What could replace, remove or shorten the life of a record.
const ATTEMPTS: [&[(&str, &str)]; 12] = [
    &[],
    &[("Nats-Rollup", "sub")],
    &[("Nats-Rollup", "all")],
    &[("Nats-TTL", "1s")],
    &[("Nats-TTL", "never")],
    &[("KV-Operation", "DEL")],
    &[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")],
    &[("Nats-Expected-Last-Subject-Sequence", "1")],
    &[("Nats-Expected-Last-Sequence", "1")],
    &[("Nats-Msg-Id", "x")],
    &[("Nats-Incr", "+1")],
    &[("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "1")],
];

#[tokio::test]
async fn nobody_writes_a_second_time() {
    let server = NatsServer::start();
    let (store, anybody) = (super::store(&server).await, super::anybody(&server).await);
    for bucket in Bucket::ALL.into_iter().filter(|bucket| bucket.is_write_once()) {
        let key = super::key("k");
        store.create(bucket, &key, "first".into()).await.unwrap();
        let first = store.get_latest(bucket, &key).await.unwrap().unwrap();
        let subject = format!("$KV.osapi-{bucket}.k");
        for headers in ATTEMPTS {
            let answer = publish(&anybody, &subject, headers).await;
            assert_ne!(answer["error"], Value::Null, "{bucket}: {headers:?} is taken: {answer}");
        }
        for (call, request) in [
            ("STREAM.MSG.DELETE", r#"{"seq":1}"#),
            ("STREAM.MSG.DELETE", r#"{"seq":1,"no_erase":true}"#),
        ] {
            let call = format!("$JS.API.{call}.KV_osapi-{bucket}");
            let answer = anybody.request(call, request.into()).await.unwrap();
            let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
            assert_ne!(answer["error"], Value::Null, "{bucket}: {request} is done: {answer}");
        }
        assert_eq!(store.get_latest(bucket, &key).await.unwrap(), Some(first), "{bucket}");
    }
}

#[tokio::test]
async fn records_that_change_are_not_rolled_up_either() {
    let server = NatsServer::start();
    let (store, anybody) = (super::store(&server).await, super::anybody(&server).await);
    for key in ["a", "b"] {
        store.create(Bucket::Agents, &super::key(key), "v".into()).await.unwrap();
    }
    for headers in [&[("Nats-Rollup", "all")], &[("Nats-TTL", "1s")]] {
        let answer = publish(&anybody, "$KV.osapi-agents.a", headers).await;
        assert_ne!(answer["error"], Value::Null, "{headers:?} is taken");
    }
    for key in ["a", "b"] {
        let entry = store.get_latest(Bucket::Agents, &super::key(key)).await.unwrap().unwrap();
        assert_eq!(entry.value, "v");
    }
}

#[tokio::test]
async fn a_record_with_an_invalid_key_holds_nothing_up() {
    let server = NatsServer::start();
    let (store, anybody) = (super::store(&server).await, super::anybody(&server).await);
    let answer = publish(&anybody, "$KV.osapi-jobs.not/a=key", &[]).await;
    assert_eq!(answer["error"], Value::Null, "{answer}");
    store.create(Bucket::Jobs, &super::key("k"), "v".into()).await.unwrap();
    let all = &osapi_core::backend::Prefix::ALL;
    let mut watch = store.watch(Bucket::Jobs, all, None).await.unwrap();
    let first = super::within("a change", watch.next()).await.unwrap().unwrap();
    let osapi_core::backend::Change::Put(entry) = first else { panic!("{first:?}") };
    assert_eq!(entry.key, super::key("k"));
    let taken = store.create(Bucket::Jobs, &super::key("k"), "w".into()).await;
    assert!(matches!(taken, Err(StoreError::Exists)), "{taken:?}");
}
