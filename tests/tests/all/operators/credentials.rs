//! What a credential allows, tried on everything that there is, with the credentials that operators get.

use std::fs;

use osapi_core::backend::Bucket;
use osapi_service::invitation::Invitation;
use serde_json::Value;

use super::Site;
use crate::world::{Arrived, Wire};

const BUCKETS: [Bucket; 15] = Bucket::ALL;

/// Every call of JetStream (docs.nats.io, JetStream wire API), for a stream, a consumer of it, and a subject in it.
fn jetstream(stream: &str, subject: &str) -> Vec<String> {
    let of_stream = [
        "STREAM.CREATE",
        "STREAM.UPDATE",
        "STREAM.INFO",
        "STREAM.DELETE",
        "STREAM.PURGE",
        "STREAM.SNAPSHOT",
        "STREAM.RESTORE",
        "STREAM.MSG.GET",
        "STREAM.MSG.DELETE",
        "STREAM.LEADER.STEPDOWN",
        "STREAM.PEER.REMOVE",
        "DIRECT.GET",
        "CONSUMER.CREATE",
        "CONSUMER.NAMES",
        "CONSUMER.LIST",
    ];
    let of_consumer = [
        "CONSUMER.CREATE",
        "CONSUMER.DURABLE.CREATE",
        "CONSUMER.INFO",
        "CONSUMER.DELETE",
        "CONSUMER.MSG.NEXT",
        "CONSUMER.PAUSE",
        "CONSUMER.RESET",
        "CONSUMER.UNPIN",
        "CONSUMER.LEADER.STEPDOWN",
    ];
    let streams = of_stream.map(|call| format!("$JS.API.{call}.{stream}"));
    let consumers = of_consumer.map(|call| format!("$JS.API.{call}.{stream}.c"));
    let deep = [
        format!("$JS.API.DIRECT.GET.{stream}.{subject}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.c.{subject}"),
        format!("$JS.ACK.{stream}.c.1.1.1.1.0"),
        format!("$JS.FC.{stream}.c.x"),
        format!("$JS.SNAPSHOT.RESTORE.{stream}.x"),
    ];
    [&streams[..], &consumers[..], &deep[..]].concat()
}

/// Every subject that means something to somebody, but for the agent's own two lines.
fn foreign() -> Vec<String> {
    let ours = [
        "osapi.ping",
        "osapi.to.web-01",
        "osapi.to.web-02",
        "osapi.to.web-01.x",
        "osapi.from.web-02.h",
        "osapi.from.web-02.w",
        "osapi.from.web-02.sync",
        "osapi.from.web-01",
        "osapi.from.web-010.h",
        "osapi.from.web-0.h",
        "osapi.from.h",
        "osapi.from.WEB-01.h",
        "osapi.to",
        "osapi.from",
        "osapi",
        "other.from.web-01.h",
        "osapi2.from.web-01.h",
        "from.web-01.h",
        "_INBOX.x",
        "_INBOX.x.y",
        "_R_.x",
        "x",
    ];
    let system = [
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.SERVER.PING.JSZ",
        "$SYS.REQ.SERVER.PING.CONNZ",
        "$SYS.REQ.ACCOUNT.PING.CONNZ",
        "$SYS.REQ.ACCOUNT.A.CLAIMS.UPDATE",
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.REQ.CLAIMS.DELETE",
        "$SYS.REQ.USER.INFO",
        "$SYS.REQ.SERVER.x.RELOAD",
        "$SYS.REQ.SERVER.x.KICK",
        "$SYS.ACCOUNT.A.CONNECT",
        "$SYS.DEBUG.SUBSCRIBERS",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.META.LEADER.STEPDOWN",
        "$JS.API.SERVER.REMOVE",
        "$JS.API.ACCOUNT.PURGE.A",
        "$JS.API.ACCOUNT.STREAM.MOVE.A.S",
        "$JS.EVENT.ADVISORY.API",
        "$JS.x.API.INFO",
        "$SRV.PING",
        "$SRV.INFO",
        "$MQTT.sub.x",
        "$O.x.C.y",
        "$NRG.V.x",
        "$G.x",
        "$LDS.x",
        "$GR.x",
        "$GNR.x",
    ];
    let mut subjects: Vec<_> = ours.iter().chain(&system).map(ToString::to_string).collect();
    for bucket in BUCKETS {
        let (stream, record) = (format!("KV_osapi-{bucket}"), format!("$KV.osapi-{bucket}.x.y"));
        subjects.extend(jetstream(&stream, &record));
        subjects.push(record);
    }
    subjects
}

/// Patterns of a subscriber that reach more than an agent's own.
fn wide() -> Vec<String> {
    let patterns = [
        ">",
        "*",
        "*.>",
        "*.*",
        "*.*.*",
        "*.*.*.*",
        "osapi.>",
        "osapi.*",
        "osapi.*.*",
        "osapi.*.web-01",
        "osapi.to.*",
        "osapi.to.>",
        "osapi.to.web-01.>",
        "osapi.to.web-01.*",
        "osapi.from.>",
        "osapi.from.*.h",
        "osapi.from.*.w",
        "osapi.from.web-01.>",
        "osapi.from.web-01.h",
        "*.to.web-01",
        "*.ping",
        "osapi.ping.>",
        "$KV.>",
        "$KV.*.*",
        "$JS.>",
        "$JS.API.>",
        "$JS.EVENT.>",
        "$SYS.>",
        "$SYS.*",
        "$SYS.ACCOUNT.*.CONNECT",
        "_INBOX.>",
        "_INBOX.*",
    ];
    patterns.iter().map(ToString::to_string).collect()
}

/// Whether the server said that it denies something, and nothing else.
#[track_caller]
fn is_denied(what: &str, refusals: &[String]) -> bool {
    let denial = |text: &String| text.contains("Permissions Violation");
    assert!(refusals.iter().all(denial), "{what}: {refusals:?}");
    !refusals.is_empty()
}

/// A fleet without a running API server, so that nobody but the test changes anything.
struct Still {
    fleet: Site,
    address: String,
    /// With the credential of an API server.
    server: Wire,
}

impl Still {
    fn start() -> Self {
        let mut fleet = Site::start();
        // Makes records that somebody could be after.
        let agent = fleet.join("web-02");
        fleet.osapi(["exec", "-T", "web-02", "--", "true"]).run().exits(0);
        assert!(agent.stop().0.success());
        fleet.fleet.servers[0].kill();
        let address = fleet.broker().address();
        let mut server = Wire::connect(&address, &still_credentials(&fleet, "server.creds"));
        assert!(server.subscribe("_INBOX.wire", "").is_empty());
        Self { fleet, address, server }
    }

    /// The credential of a host, out of the join file that an operator gets.
    fn host(&self, name: &str) -> Wire {
        let file = self.fleet.invite(name);
        let invitation = Invitation::read(&file).unwrap();
        fs::remove_file(file).unwrap();
        Wire::connect(&self.address, &invitation.credentials.0)
    }

    fn connect(&self, credentials: &str) -> Wire {
        Wire::connect(&self.address, &still_credentials(&self.fleet, credentials))
    }

    /// What every bucket holds, to the last removal.
    fn stored(&mut self) -> Vec<Value> {
        let info = |bucket| self.server.request(&format!("$JS.API.STREAM.INFO.KV_osapi-{bucket}"));
        BUCKETS
            .map(info)
            .map(|info| {
                let (state, config) = (info["state"].clone(), info["config"].clone());
                assert!(state.is_object() && config.is_object(), "{info}");
                // Consumers come and go by themselves.
                let facts =
                    ["messages", "bytes", "first_seq", "last_seq", "num_subjects", "num_deleted"];
                let mut known: Vec<_> = facts.iter().map(|fact| state[fact].clone()).collect();
                known.push(config);
                Value::from(known)
            })
            .to_vec()
    }
}

fn still_credentials(fleet: &Site, name: &str) -> String {
    fs::read_to_string(fleet.machine().tmp().join("nats/server").join(name)).unwrap()
}

#[test]
fn an_agent_may_do_its_own_two_lines_and_nothing_else() {
    let mut still = Still::start();
    let before = still.stored();
    let (mut agent, mut other) = (still.host("web-01"), still.host("web-02"));
    for own in ["osapi.to.web-02", "osapi.ping"] {
        assert!(!is_denied(own, &other.subscribe(own, "")), "{own}");
    }
    for heard in ["osapi.from.*.h", "osapi.from.*.w"] {
        assert!(!is_denied(heard, &still.server.subscribe(heard, "")), "{heard}");
    }

    // What it may: one line to speak, one to listen.
    let own = [
        "osapi.from.web-01.h",
        "osapi.from.web-01.w",
        "osapi.from.web-01.sync",
        "osapi.from.web-01.x.y",
    ];
    for subject in own {
        assert!(!is_denied(subject, &agent.publish(subject, "", "")), "{subject}");
    }
    let heard = still.server.arrived();
    assert_eq!(heard.iter().map(|one| one.subject.as_str()).collect::<Vec<_>>(), &own[..2]);
    for pattern in ["osapi.to.web-01", "osapi.ping"] {
        assert!(!is_denied(pattern, &agent.subscribe(pattern, "")), "{pattern}");
    }

    // What it may not: everything else, with and without a place for answers and with headers that would empty a bucket.
    let foreign = foreign();
    assert!(foreign.len() > 400, "{}", foreign.len());
    for subject in &foreign {
        for reply in ["", "osapi.to.web-01", "osapi.to.web-02", "$KV.osapi-jobs.x"] {
            for header in ["", "Nats-Rollup: all", "Nats-Rollup: sub", "KV-Operation: PURGE"] {
                let what = format!("{subject} {reply} {header}");
                assert!(is_denied(&what, &agent.publish(subject, reply, header)), "{what}");
            }
        }
        let refusals = agent.subscribe(subject, "");
        if subject == "osapi.to.web-01" || subject == "osapi.ping" {
            assert!(!is_denied(subject, &refusals));
            agent.unsubscribe();
        } else {
            assert!(is_denied(subject, &refusals), "{subject}");
            assert!(is_denied(subject, &agent.subscribe(subject, "controllers")), "{subject}");
        }
    }
    for pattern in wide() {
        for group in ["", "controllers"] {
            let refusals = agent.subscribe(&pattern, group);
            assert!(is_denied(&pattern, &refusals), "{pattern} {group}");
        }
    }

    // On its own line, whatever it names for answers, nothing is sent there in its place.
    let replies = foreign.iter().filter(|subject| *subject != "osapi.to.web-01");
    for reply in replies {
        for subject in own {
            for header in
                ["", "Nats-Rollup: all", "Nats-Expected-Stream: KV_osapi-jobs", "KV-Operation: DEL"]
            {
                let refusals = agent.publish(subject, reply, header);
                // A server may refuse names that it keeps for itself.
                is_denied(reply, &refusals);
            }
        }
    }
    assert!(other.arrived().is_empty(), "another agent heard something");
    let heard = still.server.arrived();
    assert!(heard.iter().all(|one| one.subject.starts_with("osapi.from.web-01.")), "{heard:?}");
    // The server tells whoever asked, and nobody else, that nobody listens: where it named a subscription of its own.
    let own = |one: &Arrived| ["osapi.to.web-01", "osapi.ping"].contains(&one.subject.as_str());
    assert!(agent.arrived().iter().all(own), "it heard others");
    assert_eq!(still.stored(), before, "something that is stored was changed");
}

#[test]
fn an_agent_has_few_subscriptions_and_ordinary_messages() {
    let still = Still::start();
    let mut agent = still.host("web-01");
    let granted = (0..20).take_while(|_| agent.subscribe("osapi.ping", "").is_empty()).count();
    assert!((2..20).contains(&granted), "{granted} subscriptions");
    let size = 1 << 20;
    let head = format!("PUB osapi.from.web-01.w {size}\r\n");
    let whole = [head.as_bytes(), &vec![b'x'; size], b"\r\n"].concat();
    assert!(agent.send(&whole).is_empty(), "what a report may have is taken");
}

#[test]
fn an_api_server_cannot_speak_as_an_agent_nor_change_what_is_stored_but_by_its_rules() {
    let mut still = Still::start();
    let before = still.stored();
    let mut server = still.connect("server.creds");
    let mut denied = vec![
        "osapi.from.web-02.h".to_owned(),
        "osapi.from.web-02.w".into(),
        "osapi".into(),
        "other.to.web-02".into(),
        "$KV.other-jobs.x".into(),
        "$SYS.REQ.SERVER.PING.JSZ".into(),
        "$SYS.REQ.CLAIMS.UPDATE".into(),
        "$JS.API.ACCOUNT.PURGE.A".into(),
        "$JS.API.META.LEADER.STEPDOWN".into(),
    ];
    for bucket in BUCKETS {
        let calls = [
            "UPDATE",
            "DELETE",
            "MSG.DELETE",
            "SNAPSHOT",
            "RESTORE",
            "LEADER.STEPDOWN",
            "PEER.REMOVE",
        ];
        denied.extend(calls.map(|call| format!("$JS.API.STREAM.{call}.KV_osapi-{bucket}")));
    }
    for subject in &denied {
        assert!(is_denied(subject, &server.publish(subject, "_INBOX.wire", "")), "{subject}");
    }
    for pattern in [">", "osapi.>", "osapi.to.>", "osapi.to.web-02", "$KV.>", "$JS.>", "$SYS.>"] {
        assert!(is_denied(pattern, &server.subscribe(pattern, "")), "{pattern}");
    }
    assert_eq!(still.stored(), before);
}

#[test]
fn who_reads_durability_reads_nothing_else() {
    let mut still = Still::start();
    let before = still.stored();
    let mut reader = still.connect("system.creds");
    assert!(!is_denied("inbox", &reader.subscribe("_INBOX.wire", "")));
    let may = "$SYS.REQ.SERVER.PING";
    let answer = reader.request(may);
    assert_eq!(answer["statsz"]["jetstream"]["config"]["sync_always"], true, "{answer}");
    for subject in foreign().iter().filter(|subject| *subject != may) {
        assert!(is_denied(subject, &reader.publish(subject, "", "")), "{subject}");
    }
    for pattern in wide().iter().filter(|pattern| !pattern.starts_with("_INBOX.")) {
        assert!(is_denied(pattern, &reader.subscribe(pattern, "")), "{pattern}");
    }
    assert_eq!(still.stored(), before);
}
