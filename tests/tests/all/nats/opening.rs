//! What a connection and a store are refused for, and what is said of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use osapi_core::backend::nats::{
    ConnectError, InvalidLogin, Login, Nats, OpenError, Options, StoreOptions, Tls,
};
use osapi_core::backend::{Bucket, Store};
use osapi_core::id::Nonce;
use osapi_tests::NatsServer;
use serde_json::{Value, json};

async fn refused(options: Options) -> ConnectError {
    Nats::connect(options).await.expect_err("it cannot be connected")
}

#[tokio::test]
async fn a_wrong_address_is_named() {
    for address in ["nats://127.0.0.2:1", "nats://no-such-host.invalid:4222"] {
        let begin = tokio::time::Instant::now();
        let error = refused(super::options(&[address.to_owned()])).await;
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains(address), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(10), "one round is bounded");
    }
}

#[tokio::test]
async fn one_of_several_addresses_is_enough() {
    let server = NatsServer::start();
    let servers = ["nats://127.0.0.2:1".to_owned(), server.url()];
    Nats::connect(super::options(&servers)).await.unwrap();
}

/// Answers like a server of some version, as far as a client notices when it connects.
fn speaks(version: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let info = json!({
        "server_id": "x", "server_name": "n9", "version": version, "proto": 1, "headers": true,
        "max_payload": 1_048_576, "host": "127.0.0.1", "port": address.port(),
    });
    thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        write!(stream, "INFO {info}\r\n").unwrap();
        let mut inbox = String::new();
        for line in lines.map_while(Result::ok) {
            let answer = match line.split(' ').next() {
                Some("PING") => "PONG\r\n".to_owned(),
                Some("SUB") => {
                    inbox = line.split(' ').next_back().unwrap_or_default().to_owned();
                    continue;
                }
                Some("PUB") => {
                    let subject = line.split(' ').nth(1).unwrap_or_default();
                    format!("MSG {subject} {inbox} 0\r\n\r\n")
                }
                _ => continue,
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    format!("nats://{address}")
}

#[tokio::test]
async fn too_old_a_server_is_refused_with_what_is_needed() {
    let error = refused(super::options(&[speaks("2.9.22")])).await;
    assert!(matches!(&error, ConnectError::TooOld { found, .. } if found == "2.9.22"), "{error:?}");
    for part in ["n9", "2.9.22", "2.11.0", "2.12.12", "2.14.3"] {
        assert!(error.to_string().contains(part), "{part} is not said: {error}");
    }
}

#[tokio::test]
async fn a_server_that_lacks_fixes_is_warned_of() {
    let nats = Nats::connect(super::options(&[speaks("2.11.4")])).await.unwrap();
    let warnings = nats.warnings();
    let [warning] = &warnings[..] else { panic!("one warning, not {warnings:?}") };
    assert!(warning.contains("2.11.4") && warning.contains("2.14.3"), "{warning}");
    let server = NatsServer::start();
    assert_eq!(super::connect(&server).await.warnings(), [""; 0]);
}

#[tokio::test]
async fn refused_logins_are_told_apart_from_invalid_ones() {
    let server = NatsServer::with("authorization { user: ann, password: secret }\n");
    for login in [Login::None, super::password("ann", "hunter2"), super::password("eve", "secret")]
    {
        let options = Options { login, ..super::options(&[server.url()]) };
        let error = refused(options.clone()).await;
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
        let said = format!("{error} {error:?} {options:?}");
        assert!(!said.contains("hunter2") && !said.contains("secret"), "{said}");
    }
    let login = Login::Credentials("not credentials".to_owned().into());
    let error = refused(Options { login, ..super::options(&[server.url()]) }).await;
    assert!(matches!(error, ConnectError::Login(InvalidLogin::NoJwt)), "{error:?}");
}

#[tokio::test]
async fn tls_that_is_required_and_not_there_is_told() {
    let server = NatsServer::start();
    let tls = Tls { required: true, ..Tls::default() };
    let error = refused(Options { tls, ..super::options(&[server.url()]) }).await;
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    for (tls, part) in [
        (Tls { ca: Some("/no/such/ca.pem".into()), ..Tls::default() }, "/no/such/ca.pem"),
        (Tls { cert: Some("/dev/null".into()), ..Tls::default() }, "go together"),
    ] {
        let error = refused(Options { tls, ..super::options(&[server.url()]) }).await;
        assert!(matches!(error, ConnectError::TlsFiles(_)), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn small_messages_are_told() {
    let server = NatsServer::with("max_payload: 512KB\n");
    let error = refused(super::options(&[server.url()])).await;
    assert!(matches!(error, ConnectError::SmallMessages { .. }), "{error:?}");
    assert!(error.to_string().contains("max_payload"), "{error}");
}

#[tokio::test]
async fn jetstream_that_is_off_is_told() {
    let off = NatsServer::with("");
    let error = super::connect(&off).await.store(StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::NoJetStream), "{error:?}");
    let for_others = NatsServer::with(
        "jetstream: enabled\naccounts { APP: { users: [ { user: app, password: a } ] } }\n",
    );
    let nats = super::connect_as(&for_others, super::password("app", "a")).await;
    let error = nats.store(StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::NoJetStream), "{error:?}");
}

#[tokio::test]
async fn room_for_output_is_needed() {
    let server = NatsServer::with("jetstream { max_file_store: 100MB }\n");
    let error = super::connect(&server).await.store(StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::Room { .. }), "{error:?}");
    for part in ["1073741824", "jobs.max_output_bytes", "max_file_store"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn replicas_need_servers() {
    let server = NatsServer::start();
    let options = StoreOptions { replicas: 3, ..StoreOptions::default() };
    let error = super::connect(&server).await.store(options).await.unwrap_err();
    assert!(matches!(error, OpenError::Replicas { replicas: 3, .. }), "{error:?}");
}

/// Asks JetStream as anybody may.
async fn ask(client: &async_nats::Client, call: &str, request: Value) -> Value {
    let answer = client.request(format!("$JS.API.{call}"), request.to_string().into()).await;
    serde_json::from_slice(&answer.unwrap().payload).unwrap()
}

#[tokio::test]
async fn a_bucket_with_other_settings_is_refused_and_left_alone() {
    let server = NatsServer::start();
    let anybody = super::anybody(&server).await;
    super::store(&server).await;
    let mut settings =
        ask(&anybody, "STREAM.INFO.KV_osapi-claims", json!({})).await["config"].take();
    settings["discard_new_per_subject"] = json!(false);
    settings["max_age"] = json!(3_600_000_000_000_u64);
    let changed = ask(&anybody, "STREAM.UPDATE.KV_osapi-claims", settings).await;
    assert_eq!(changed["error"], Value::Null);

    let nats = super::connect(&server).await;
    let error = nats.store(StoreOptions::default()).await.unwrap_err();
    let OpenError::Settings { bucket: Bucket::Claims, .. } = &error else { panic!("{error:?}") };
    let text = error.to_string();
    for part in [
        "claims",
        "discard_new_per_subject is not set and should be true",
        "max_age is 3600000000000 and should be 0",
        "nats stream edit KV_osapi-claims",
        "another namespace",
    ] {
        assert!(text.contains(part), "'{part}' is not said: {text}");
    }
    let kept = ask(&anybody, "STREAM.INFO.KV_osapi-claims", json!({})).await;
    assert_eq!(kept["config"]["max_age"], 3_600_000_000_000_u64);
    let other = Options { namespace: "other".parse().unwrap(), ..super::options(&[server.url()]) };
    Nats::connect(other).await.unwrap().store(StoreOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_stream_of_somebody_else_is_no_store() {
    let server = NatsServer::start();
    let anybody = super::anybody(&server).await;
    super::store(&server).await;
    let mut settings = ask(&anybody, "STREAM.INFO.KV_osapi-jobs", json!({})).await["config"].take();
    settings["metadata"] = json!({});
    ask(&anybody, "STREAM.UPDATE.KV_osapi-jobs", settings).await;
    let error = super::connect(&server).await.store(StoreOptions::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotAStore(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_that_open_a_new_store_at_once_settle_on_one() {
    for _ in 0..5 {
        // Room for the output of one store only.
        let server = NatsServer::with("jetstream { sync_interval: always, max_file_store: 100MB }");
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let nats = super::connect(&server).await;
            opening.spawn(async move { nats.store(super::small()).await.unwrap().id() });
        }
        let ids = super::within("all open it", opening.join_all()).await;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(super::store(&server).await.id(), ids[0], "it stays the same");
    }
}

#[tokio::test]
async fn a_store_that_is_made_anew_is_another_and_a_namespace_is_another_store() {
    let mut server = NatsServer::start();
    let first = super::store(&server).await.id();
    let other = Options { namespace: "other".parse().unwrap(), ..super::options(&[server.url()]) };
    let other = Nats::connect(other).await.unwrap().store(StoreOptions::default()).await.unwrap();
    assert_ne!(other.id(), first);
    other.create(Bucket::Jobs, &super::key("k"), "v".into()).await.unwrap();
    let store = super::store(&server).await;
    assert_eq!(store.get_latest(Bucket::Jobs, &super::key("k")).await.unwrap(), None);
    server.kill();
    server.wipe();
    server.restart();
    assert_ne!(super::store(&server).await.id(), first);
}

#[tokio::test]
async fn the_output_bucket_is_bounded_and_evicts_nothing() {
    let server = NatsServer::start();
    let options = StoreOptions { max_output_bytes: 256 * 1024, ..StoreOptions::default() };
    let store = super::connect(&server).await.store(options).await.unwrap();
    let write = async |n: usize| {
        let key = super::key(&format!("{}.{n}", Nonce::random()));
        let value = vec![7; 100 * 1024].into();
        store.create(Bucket::Output, &key, value).await.map(|_| key)
    };
    let (first, second) = (write(1).await.unwrap(), write(2).await.unwrap());
    let full = write(3).await.unwrap_err();
    assert!(matches!(full, osapi_core::backend::StoreError::Full(Bucket::Output)), "{full:?}");
    for key in [first, second] {
        assert!(store.get_latest(Bucket::Output, &key).await.unwrap().is_some(), "{key} is kept");
    }
    store.create(Bucket::Reports, &super::key("r"), vec![7; 512 * 1024].into()).await.unwrap();
}
