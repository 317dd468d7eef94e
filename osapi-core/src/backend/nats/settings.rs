//! What the stream of a bucket is made with, and how one that exists differs from that. Both are the JSON of JetStream's API, so that
//! settings are compared under the names that NATS tools show.

use std::fmt;

use serde_json::{Value, json};

use super::connect::HEADERS_MAX;
use super::names::{self, Namespace};
use super::options::StoreOptions;
use crate::backend::Bucket;
use crate::id::StoreId;

/// Where the stream of the first bucket says which store it is.
const STORE_ID: &str = "osapi.store";
/// The bucket whose stream says it.
pub(super) const IDENTIFIES: Bucket = Bucket::Jobs;

/// One setting of a bucket that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name in NATS.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What it should be.
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, found, wanted } = self;
        write!(f, "{setting} is {found} and should be {wanted}")
    }
}

/// The settings that decide what a bucket promises, each with its value.
///
/// Records are written once because a second message on a subject is refused by the stream itself: it discards new messages, also per
/// subject, and knows no rollup, no TTL and no deletion. Purging stays allowed: retention needs it. A full bucket refuses and never evicts,
/// also one whose records change: replacing a message is no eviction.
fn wanted(
    namespace: &Namespace,
    bucket: Bucket,
    options: &StoreOptions,
) -> Vec<(&'static str, Value)> {
    let max_bytes = match bucket {
        Bucket::Output => json!(options.max_output_bytes),
        _ => json!(-1),
    };
    vec![
        ("subjects", json!([names::records(namespace, bucket)])),
        ("retention", json!("limits")),
        ("storage", json!("file")),
        ("discard", json!("new")),
        ("discard_new_per_subject", json!(bucket.is_write_once())),
        ("max_msgs_per_subject", json!(1)),
        ("max_msgs", json!(-1)),
        ("max_bytes", max_bytes),
        ("max_age", json!(0)),
        ("max_msg_size", json!(bucket.max_record() + HEADERS_MAX)),
        ("max_consumers", json!(-1)),
        ("num_replicas", json!(options.replicas)),
        ("allow_direct", json!(true)),
        ("deny_delete", json!(true)),
        ("deny_purge", json!(false)),
        ("allow_rollup_hdrs", json!(false)),
        ("allow_msg_ttl", json!(false)),
    ]
}

/// What no bucket has. Not sent when a stream is made, as older servers refuse what they do not know.
const ABSENT: [&str; 11] = [
    "no_ack",
    "sealed",
    "mirror",
    "sources",
    "subject_transform",
    "republish",
    "allow_atomic",
    "allow_batched",
    "allow_msg_counter",
    "allow_msg_schedules",
    "persist_mode",
];

/// The request that makes the stream of `bucket`.
pub(super) fn creation(
    namespace: &Namespace,
    bucket: Bucket,
    options: &StoreOptions,
    id: StoreId,
) -> Value {
    let mut settings = serde_json::Map::new();
    settings.insert("name".into(), names::stream(namespace, bucket).into());
    for (name, value) in wanted(namespace, bucket, options) {
        settings.insert(name.into(), value);
    }
    if bucket == IDENTIFIES {
        settings.insert("metadata".into(), json!({ STORE_ID: id }));
    }
    settings.into()
}

/// How the settings `found` differ from what `bucket` should have.
pub(super) fn differences(
    namespace: &Namespace,
    bucket: Bucket,
    options: &StoreOptions,
    found: &Value,
) -> Vec<Difference> {
    let wanted = wanted(namespace, bucket, options).into_iter();
    let absent = ABSENT.into_iter().map(|setting| (setting, Value::Null));
    let differing = wanted.chain(absent).filter_map(|(setting, wanted)| {
        let found = &found[setting];
        let same = *found == wanted || is_default(found) && is_default(&wanted);
        (!same).then(|| Difference { setting, found: shown(found), wanted: shown(&wanted) })
    });
    differing.collect()
}

fn shown(value: &Value) -> String {
    if value.is_null() { "not set".into() } else { value.to_string() }
}

/// Whether a value means the same as none at all.
fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_i64() == Some(0),
        Value::String(value) => value.is_empty() || value == "default",
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
    }
}

/// Which store the settings of the identifying stream belong to.
pub(super) fn store_id(found: &Value) -> Option<StoreId> {
    found["metadata"][STORE_ID].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(bucket: Bucket) -> (Namespace, StoreOptions, Value) {
        let (namespace, options) = (Namespace::default(), StoreOptions::default());
        let settings = creation(&namespace, bucket, &options, StoreId::random());
        (namespace, options, settings)
    }

    #[test]
    fn what_was_made_is_as_it_should_be() {
        for bucket in Bucket::ALL {
            let (namespace, options, settings) = made(bucket);
            assert_eq!(differences(&namespace, bucket, &options, &settings), []);
            assert_eq!(settings["discard_new_per_subject"], bucket.is_write_once());
            assert_eq!(store_id(&settings).is_some(), bucket == IDENTIFIES);
        }
    }

    #[test]
    fn absent_and_false_are_the_same() {
        let (namespace, options, mut settings) = made(Bucket::Drains);
        settings.as_object_mut().unwrap().remove("allow_msg_ttl");
        settings["no_ack"] = json!(false);
        settings["persist_mode"] = json!("default");
        assert_eq!(differences(&namespace, Bucket::Drains, &options, &settings), []);
    }

    #[test]
    fn every_difference_is_told() {
        let (namespace, options, mut settings) = made(Bucket::Claims);
        for (setting, value) in [
            ("allow_rollup_hdrs", json!(true)),
            ("max_age", json!(3_600_000_000_000_u64)),
            ("persist_mode", json!("async")),
            ("num_replicas", json!(3)),
        ] {
            settings[setting] = value;
        }
        let told = differences(&namespace, Bucket::Claims, &options, &settings);
        let texts: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "max_age is 3600000000000 and should be 0",
                "num_replicas is 3 and should be 1",
                "allow_rollup_hdrs is true and should be false",
                "persist_mode is \"async\" and should be not set",
            ]
        );
    }
}
