//! The store against a map: any operations, in any order, answer what the map answers; and a watch leads to the same map.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::medium::Medium;
use crate::backend::embedded::{EmbeddedStore, Limits};
use crate::backend::{Bucket, Change, Cursor, Key, Prefix, Revision, Store, StoreError, Watch};

const BUCKETS: [Bucket; 2] = [Bucket::Claims, Bucket::Drains];
const KEYS: [&str; 6] = ["a.b", "a", "ab", "b", "a.bc", "a.b.c"];
/// Of these, the first make the prefixes.
const PREFIXES: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Create(usize, usize, u8),
    Put(usize, usize, u8),
    /// With the present revision, less so much.
    Update(usize, usize, u8, u64),
    /// Under this key's tokens, or all.
    Purge(usize, Option<usize>),
    Get(usize, usize),
    /// From a place between the beginning and the end, in parts of 255.
    Scan(usize, Option<usize>, u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let (bucket, key) = (0..BUCKETS.len(), 0..KEYS.len());
    let of = proptest::option::of(0..PREFIXES);
    prop_oneof![
        4 => (bucket.clone(), key.clone(), any::<u8>()).prop_map(|(b, k, v)| Step::Create(b, k, v)),
        3 => (bucket.clone(), key.clone(), any::<u8>()).prop_map(|(b, k, v)| Step::Put(b, k, v)),
        3 => (bucket.clone(), key.clone(), any::<u8>(), 0..2_u64)
            .prop_map(|(b, k, v, less)| Step::Update(b, k, v, less)),
        2 => (bucket.clone(), of.clone()).prop_map(|(b, k)| Step::Purge(b, k)),
        2 => (bucket.clone(), key).prop_map(|(b, k)| Step::Get(b, k)),
        2 => (bucket, of, any::<u8>())
            .prop_map(|(b, k, from)| Step::Scan(b, k, from)),
        1 => Just(Step::Reopen),
    ]
}

/// Key to value and cursor, and the last cursor.
#[derive(Debug, Default, Clone, PartialEq)]
struct Model {
    records: BTreeMap<Key, (Bytes, u64)>,
    head: u64,
}

impl Model {
    fn write(&mut self, key: Key, value: Bytes) -> u64 {
        self.head += 1;
        self.records.insert(key, (value, self.head));
        self.head
    }

    /// As a scan tells it.
    fn after(&self, prefix: &Prefix, from: u64) -> Vec<(u64, Key, Bytes)> {
        let mut found: Vec<_> = self
            .records
            .iter()
            .filter(|(key, (_, cursor))| prefix.covers(key) && *cursor > from)
            .map(|(key, (value, cursor))| (*cursor, key.clone(), value.clone()))
            .collect();
        found.sort();
        found
    }
}

fn key(n: usize) -> Key {
    KEYS[n].parse().unwrap()
}

fn prefix(of: Option<usize>) -> Prefix {
    match of.map(|n| KEYS[n].split('.').collect::<Vec<_>>()).as_deref() {
        None => Prefix::ALL,
        Some([a]) => Prefix::of(&[a]),
        Some([a, b]) => Prefix::of(&[a, b]),
        other => panic!("{other:?} has more than two tokens"),
    }
}

/// What an operation answered, without the sources of errors.
fn told<T>(result: Result<T, StoreError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

struct Pair {
    medium: Medium,
    store: EmbeddedStore,
    models: [Model; 2],
}

impl Pair {
    async fn run(&mut self, step: &Step) {
        match *step {
            Step::Create(b, k, v) => self.create(b, k, vec![v; 3].into()).await,
            Step::Put(b, k, v) => self.put(b, k, vec![v; 5].into()).await,
            Step::Update(b, k, v, less) => self.update(b, k, vec![v].into(), less).await,
            Step::Purge(b, k) => self.purge(b, k).await,
            Step::Get(b, k) => self.get(b, k).await,
            Step::Scan(b, k, from) => self.scan(b, k, from).await,
            Step::Reopen => {
                let id = self.store.id();
                self.store.close().await;
                self.store = self.medium.open(Limits::default());
                assert_eq!(self.store.id(), id);
            }
        }
        for (bucket, model) in BUCKETS.into_iter().zip(&self.models) {
            assert_eq!(self.store.head(bucket).await.unwrap(), Cursor(model.head));
        }
    }

    async fn create(&mut self, b: usize, k: usize, value: Bytes) {
        let model = &mut self.models[b];
        let expected = if model.records.contains_key(&key(k)) {
            Err(StoreError::Exists)
        } else {
            Ok(Cursor(model.write(key(k), value.clone())))
        };
        let result = self.store.create(BUCKETS[b], &key(k), value).await;
        assert_eq!(told(result), told(expected));
    }

    async fn put(&mut self, b: usize, k: usize, value: Bytes) {
        let expected = if BUCKETS[b].is_write_once() {
            Err(StoreError::WriteOnce(BUCKETS[b]))
        } else {
            Ok(Revision(self.models[b].write(key(k), value.clone())))
        };
        assert_eq!(told(self.store.put(BUCKETS[b], &key(k), value).await), told(expected));
    }

    async fn update(&mut self, b: usize, k: usize, value: Bytes, less: u64) {
        let model = &mut self.models[b];
        let present = model.records.get(&key(k)).map(|(_, cursor)| *cursor);
        let revision = present.unwrap_or(1).saturating_sub(less);
        let expected = if BUCKETS[b].is_write_once() {
            Err(StoreError::WriteOnce(BUCKETS[b]))
        } else if present != Some(revision) {
            Err(StoreError::Conflict)
        } else {
            Ok(Revision(model.write(key(k), value.clone())))
        };
        let result = self.store.update(BUCKETS[b], &key(k), value, Revision(revision)).await;
        assert_eq!(told(result), told(expected));
    }

    async fn purge(&mut self, b: usize, k: Option<usize>) {
        let prefix = prefix(k);
        let model = &mut self.models[b];
        let before = model.records.len();
        model.records.retain(|key, _| !prefix.covers(key));
        let removed = (before - model.records.len()) as u64;
        model.head += removed;
        assert_eq!(self.store.purge(BUCKETS[b], &prefix).await.unwrap(), removed);
    }

    async fn get(&mut self, b: usize, k: usize) {
        let expected = self.models[b].records.get(&key(k)).cloned();
        for entry in [
            self.store.get(BUCKETS[b], &key(k)).await.unwrap(),
            self.store.get_latest(BUCKETS[b], &key(k)).await.unwrap(),
        ] {
            assert_eq!(entry.map(|entry| (entry.value, entry.cursor.0)), expected);
        }
    }

    async fn scan(&mut self, b: usize, k: Option<usize>, from: u8) {
        let (prefix, model) = (prefix(k), &self.models[b]);
        let from = model.head * u64::from(from) / 255;
        let mut watch = self.store.watch(BUCKETS[b], &prefix, Some(Cursor(from))).await.unwrap();
        let mut found = Vec::new();
        loop {
            match watch.next().await.unwrap().unwrap() {
                Change::Put(entry) => found.push((entry.cursor.0, entry.key, entry.value)),
                Change::CaughtUp(cursor) => break assert_eq!(cursor, Cursor(model.head)),
                Change::Deleted(key, _) => panic!("removal of {key} from before the watch"),
                Change::Reached(_) => panic!("removals are told"),
            }
        }
        assert_eq!(found, model.after(&prefix, from));
    }
}

/// What a watch leads to.
async fn replica(watch: &mut Watch, head: u64) -> Model {
    let mut model = Model::default();
    while model.head < head {
        let cursor = match watch.next().await.unwrap().unwrap() {
            Change::Put(entry) => {
                model.records.insert(entry.key, (entry.value, entry.cursor.0));
                entry.cursor
            }
            Change::Deleted(key, cursor) => {
                model.records.remove(&key);
                cursor
            }
            Change::CaughtUp(cursor) | Change::Reached(cursor) => cursor,
        };
        assert!(cursor.0 >= model.head, "in the order of cursors");
        model.head = cursor.0;
    }
    model
}

fn run(steps: &[Step], watching: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let medium = Medium::default();
        let store = medium.open(Limits::default());
        let mut pair = Pair { medium, store, models: Default::default() };
        let mut watches = Vec::new();
        if watching {
            for bucket in BUCKETS {
                watches.push(pair.store.watch(bucket, &Prefix::ALL, None).await.unwrap());
            }
        }
        for step in steps {
            pair.run(step).await;
        }
        for (watch, model) in watches.iter_mut().zip(&pair.models) {
            assert_eq!(replica(watch, model.head).await, *model);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_a_map_does(steps in proptest::collection::vec(step(), 0..60)) {
        run(&steps, false);
    }

    #[test]
    fn a_watch_leads_to_the_same(steps in proptest::collection::vec(step(), 0..60)) {
        let steps: Vec<_> =
            steps.into_iter().filter(|step| !matches!(step, Step::Reopen)).collect();
        run(&steps, true);
    }
}
