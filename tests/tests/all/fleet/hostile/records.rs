//! Records that somebody writes who may write to every bucket. Most buckets keep the first record of a key, so these have keys of their own.

use bytes::Bytes;
use osapi_core::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use osapi_core::backend::{Bucket, Change, Entry, Key, Prefix, Store};
use osapi_core::clock::Timestamp;
use osapi_core::id::JobId;
use serde_json::Value;

use crate::fleet::world::within;

/// Plants what no controller may believe: reports of other jobs as those of `held` ones, jobs with the orders of others, a registration
/// under another name, a cancel of another job, a key ring of another root.
pub(super) async fn plant(store: &dyn Store, held: &[JobId]) {
    let reports = all(store, Bucket::Reports).await;
    for (n, entry) in (0..).zip(&reports) {
        let job = held[n % held.len()];
        let key = Key::of(&[&job, &"hostile", &n]);
        create(store, Bucket::Reports, &key, entry.value.clone()).await;
    }
    let cancels = all(store, Bucket::Cancels).await;
    create(store, Bucket::Cancels, &Key::of(&[&held[0]]), cancels[0].value.clone()).await;
    let agents = all(store, Bucket::Agents).await;
    create(store, Bucket::Agents, &Key::of(&[&"ghost"]), agents[0].value.clone()).await;
    for entry in &all(store, Bucket::Jobs).await {
        plant_again(store, entry).await;
    }
    let (root, key) = (SigningKey::generate(), SigningKey::generate().public());
    let keys = vec![RingKey { key, usage: KeyUse::Job }];
    let ring = KeyRing::issue(&root, 3, Timestamp::from_unix_millis(1), keys).unwrap();
    create(store, Bucket::Keyrings, &Key::of(&[&3]), ring.as_str().to_owned().into()).await;
}

/// The same job once more, under another id, with the order and the hosts of the first.
async fn plant_again(store: &dyn Store, entry: &Entry) {
    let mut record: Value = serde_json::from_slice(&entry.value).unwrap();
    let created: Timestamp = record["created_at"].as_str().unwrap().parse().unwrap();
    let job = JobId::new(created);
    let prefix = Prefix::of(&[&entry.key.as_str()]);
    for bucket in [Bucket::Envelopes, Bucket::Hosts] {
        for part in those(store, bucket, &prefix).await {
            let digest = part.key.tokens().last().unwrap().to_owned();
            create(store, bucket, &Key::of(&[&job, &digest]), part.value).await;
        }
    }
    record["job"] = job.to_string().into();
    create(store, Bucket::Jobs, &Key::of(&[&job]), record.to_string().into()).await;
}

async fn create(store: &dyn Store, bucket: Bucket, key: &Key, value: Bytes) {
    within(store.create(bucket, key, value)).await.unwrap();
}

/// Every record of a bucket.
async fn all(store: &dyn Store, bucket: Bucket) -> Vec<Entry> {
    those(store, bucket, &Prefix::ALL).await
}

async fn those(store: &dyn Store, bucket: Bucket, prefix: &Prefix) -> Vec<Entry> {
    let mut watch = store.watch(bucket, prefix, None).await.unwrap();
    let mut entries = Vec::new();
    while let Change::Put(entry) = within(watch.next()).await.unwrap().unwrap() {
        entries.push(entry);
    }
    entries
}
