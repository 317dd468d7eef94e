//! Every name that NATS sees: subjects, streams, and what the interfaces of JetStream and of the server are called. Nothing else in this
//! backend spells one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::jwt::Permissions;
use crate::backend::{Bucket, Key, Prefix};
use crate::id::{AgentName, InvalidId};
use crate::message::{Pattern, Subject};

/// What all names of one fleet begin with, so that several fleets may share an account: 1 to 32 of `[A-Za-z0-9_-]`, by default `osapi`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(String);

impl Namespace {
    /// Longest namespace, in bytes.
    pub const MAX: usize = 32;

    /// The namespace as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("osapi".into())
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Namespace {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId::new("namespace", "must be 1 to 32 letters, digits, '_' or '-'", text))
        }
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// Where a message is published.
pub(super) fn subject(namespace: &Namespace, subject: &Subject) -> String {
    format!("{namespace}.{subject}")
}

/// What a subscription listens to.
pub(super) fn pattern(namespace: &Namespace, pattern: &Pattern) -> String {
    format!("{namespace}.{pattern}")
}

/// The subject that `text` names; `None` if it is none of ours.
pub(super) fn parse_subject(namespace: &Namespace, text: &str) -> Option<Subject> {
    let rest = text.strip_prefix(namespace.as_str())?.strip_prefix('.')?;
    let tokens: Vec<_> = rest.split('.').collect();
    match tokens[..] {
        ["from", name, "h"] => name.parse().ok().map(Subject::Heard),
        ["from", name, "w"] => name.parse().ok().map(Subject::Work),
        ["to", name] => name.parse().ok().map(Subject::To),
        ["ping"] => Some(Subject::Ping),
        _ => None,
    }
}

/// Where an agent publishes what nobody listens to, so that the server answers it at once. It may publish there by the same line of its
/// credential as its hellos.
pub(super) fn unheard(namespace: &Namespace, agent: &AgentName) -> String {
    format!("{namespace}.from.{agent}.sync")
}

/// The stream that holds a bucket. It is what NATS tools show as the key-value bucket `<namespace>-<bucket>`.
pub(super) fn stream(namespace: &Namespace, bucket: Bucket) -> String {
    format!("KV_{namespace}-{bucket}")
}

/// Where a record is written.
pub(super) fn record(namespace: &Namespace, bucket: Bucket, key: &Key) -> String {
    format!("$KV.{namespace}-{bucket}.{key}")
}

/// The key of the record that was written to `subject`.
pub(super) fn parse_record(namespace: &Namespace, bucket: Bucket, subject: &str) -> Option<Key> {
    let rest = subject.strip_prefix("$KV.")?.strip_prefix(namespace.as_str())?;
    rest.strip_prefix('-')?.strip_prefix(bucket.name())?.strip_prefix('.')?.parse().ok()
}

/// Where all records of a bucket are written.
pub(super) fn records(namespace: &Namespace, bucket: Bucket) -> String {
    format!("$KV.{namespace}-{bucket}.>")
}

/// The filters that select the records under a prefix: whole tokens, so the key itself and what is below it.
pub(super) fn records_under(namespace: &Namespace, bucket: Bucket, prefix: &Prefix) -> Vec<String> {
    if *prefix == Prefix::ALL {
        return vec![records(namespace, bucket)];
    }
    let own = format!("$KV.{namespace}-{bucket}.{}", prefix.as_str());
    vec![format!("{own}.>"), own]
}

/// Where the answers to requests of a client arrive.
const INBOXES: &str = "_INBOX.>";

/// What an agent's credential allows: to publish below its own name, and to listen to its inbox and to pings. Above all no call of
/// JetStream: a server does not check where an allowed call is answered, so that any of them could be made to write anywhere.
#[must_use]
pub fn agent_permissions(namespace: &Namespace, agent: &AgentName) -> Permissions {
    let listen = [Pattern::To(agent.clone()), Pattern::Ping];
    Permissions {
        publish: vec![format!("{namespace}.from.{agent}.>")],
        subscribe: listen.iter().map(|one| pattern(namespace, one)).collect(),
    }
}

/// What an API server's credential allows: to say what controllers say, to hear what agents say, and to keep records. It cannot speak
/// as an agent, and cannot remove or change a stream.
#[must_use]
pub fn server_permissions(namespace: &Namespace) -> Permissions {
    let mut publish = vec![format!("{namespace}.to.*"), subject(namespace, &Subject::Ping)];
    publish.extend(Bucket::ALL.map(|bucket| records(namespace, bucket)));
    publish.extend([
        jetstream::create_stream("*"),
        jetstream::stream_info("*"),
        jetstream::purge("*"),
        jetstream::get_latest("*"),
        jetstream::get("*", ">"),
        jetstream::create_consumer("*", "*"),
        jetstream::delete_consumer("*", "*"),
        jetstream::next("*", "*"),
        INBOXES.into(),
    ]);
    let listen = [Pattern::Heard, Pattern::Work];
    let mut subscribe: Vec<_> = listen.iter().map(|one| pattern(namespace, one)).collect();
    subscribe.push(INBOXES.into());
    Permissions { publish, subscribe }
}

/// What the credential allows that reads whether writes are synced, in the account of the servers themselves.
#[must_use]
pub fn system_permissions() -> Permissions {
    Permissions { publish: vec![PING_SERVERS.into()], subscribe: vec![INBOXES.into()] }
}

/// Asks every server what it is and how it is doing. Only the system account may.
pub(super) const PING_SERVERS: &str = "$SYS.REQ.SERVER.PING";

/// The calls of JetStream, see the NATS documentation of its API.
pub(super) mod jetstream {
    /// Makes a stream.
    pub(in crate::backend::nats) fn create_stream(stream: &str) -> String {
        format!("$JS.API.STREAM.CREATE.{stream}")
    }

    /// Tells a stream's settings and state. Its leader answers.
    pub(in crate::backend::nats) fn stream_info(stream: &str) -> String {
        format!("$JS.API.STREAM.INFO.{stream}")
    }

    /// Removes messages of a stream without a trace.
    pub(in crate::backend::nats) fn purge(stream: &str) -> String {
        format!("$JS.API.STREAM.PURGE.{stream}")
    }

    /// Reads a message from the stream's leader.
    pub(in crate::backend::nats) fn get_latest(stream: &str) -> String {
        format!("$JS.API.STREAM.MSG.GET.{stream}")
    }

    /// Reads the last message of a subject from any server that has the stream.
    pub(in crate::backend::nats) fn get(stream: &str, subject: &str) -> String {
        format!("$JS.API.DIRECT.GET.{stream}.{subject}")
    }

    /// Makes a consumer.
    pub(in crate::backend::nats) fn create_consumer(stream: &str, consumer: &str) -> String {
        format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}")
    }

    /// Removes a consumer.
    pub(in crate::backend::nats) fn delete_consumer(stream: &str, consumer: &str) -> String {
        format!("$JS.API.CONSUMER.DELETE.{stream}.{consumer}")
    }

    /// Asks a consumer for messages.
    pub(in crate::backend::nats) fn next(stream: &str, consumer: &str) -> String {
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_one_token() {
        assert_eq!(Namespace::default().to_string().parse(), Ok(Namespace::default()));
        for good in ["a", "Fleet_2-x", &"x".repeat(32)] {
            assert!(good.parse::<Namespace>().is_ok(), "{good}");
        }
        for bad in ["", "my fleet", "a.b", "a*", ">", "é", "a\r\nPUB x", &"x".repeat(33)] {
            let error = bad.parse::<Namespace>().unwrap_err().to_string();
            assert!(error.contains("1 to 32 letters"), "{error}");
        }
    }

    #[test]
    fn an_agent_may_publish_below_its_name_and_listen_to_its_inbox_and_to_pings() {
        let allowed = agent_permissions(&"fleet-1".parse().unwrap(), &"web-01".parse().unwrap());
        assert_eq!(allowed.publish, ["fleet-1.from.web-01.>"]);
        assert_eq!(allowed.subscribe, ["fleet-1.to.web-01", "fleet-1.ping"]);
    }

    #[test]
    fn an_api_server_may_not_speak_as_an_agent_nor_change_a_stream() {
        let allowed = server_permissions(&Namespace::default());
        for subject in ["osapi.to.*", "osapi.ping", "$KV.osapi-jobs.>", "$JS.API.STREAM.INFO.*"] {
            assert!(allowed.publish.iter().any(|one| one == subject), "{subject}");
        }
        let never = ["osapi.from", "$SYS", "STREAM.DELETE", "STREAM.UPDATE", "MSG.DELETE"];
        for subject in &allowed.publish {
            assert!(!never.iter().any(|word| subject.contains(word)), "{subject}");
            assert!(![">", "$JS.>", "$JS.API.>", "$KV.>"].contains(&subject.as_str()), "{subject}");
        }
        assert_eq!(allowed.subscribe, ["osapi.from.*.h", "osapi.from.*.w", "_INBOX.>"]);
    }

    #[test]
    fn subjects_are_read_as_they_are_written() {
        let namespace: Namespace = "fleet-1".parse().unwrap();
        let name: AgentName = "web-01".parse().unwrap();
        for (known, text) in [
            (Subject::Heard(name.clone()), "fleet-1.from.web-01.h"),
            (Subject::Work(name.clone()), "fleet-1.from.web-01.w"),
            (Subject::To(name.clone()), "fleet-1.to.web-01"),
            (Subject::Ping, "fleet-1.ping"),
        ] {
            assert_eq!(subject(&namespace, &known), text);
            assert_eq!(parse_subject(&namespace, text), Some(known));
        }
        assert_eq!(pattern(&namespace, &Pattern::Work), "fleet-1.from.*.w");
        for other in [
            "fleet-1.from.web-01.sync",
            "fleet-1.from.web 01.h",
            "fleet-1.from.web-01.h.x",
            "fleet-1",
            "fleet-12.ping",
            "osapi.ping",
            "fleet-1.to.-",
        ] {
            assert_eq!(parse_subject(&namespace, other), None, "{other}");
        }
    }

    #[test]
    fn records_are_read_as_they_are_written() {
        let (namespace, key) = (Namespace::default(), Key::of(&[&"a", &"b"]));
        let text = record(&namespace, Bucket::Jobs, &key);
        assert_eq!(text, "$KV.osapi-jobs.a.b");
        assert_eq!(parse_record(&namespace, Bucket::Jobs, &text), Some(key));
        for other in
            ["$KV.osapi-jobs", "$KV.osapi-jobs.", "$KV.osapi-claims.a", "$KV.osapi-jobs.a/b"]
        {
            assert_eq!(parse_record(&namespace, Bucket::Jobs, other), None, "{other}");
        }
    }

    #[test]
    fn a_prefix_selects_whole_tokens() {
        let namespace = Namespace::default();
        let under = |prefix: &Prefix| records_under(&namespace, Bucket::Claims, prefix);
        assert_eq!(under(&Prefix::ALL), ["$KV.osapi-claims.>"]);
        assert_eq!(under(&Prefix::of(&[&"a"])), ["$KV.osapi-claims.a.>", "$KV.osapi-claims.a"]);
    }
}
