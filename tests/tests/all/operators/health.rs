//! What a server says of its health, and what of it an operator reads.

use std::fs;
use std::path::PathBuf;

use osapi_core::backend::nats::jwt::{self, Bounds, Kind, Nkey, Permissions};
use osapi_core::backend::nats::{Namespace, names};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_service::broker::Broker;
use osapi_service::datadir::Layout;
use osapi_service::private_file;
use serde_json::Value;

use super::{Site, server};
use crate::processes::fleet::address_in;
use crate::world::{Api, Daemon, until};

fn status(api: &Api) -> Value {
    api.get("/health/status").is(200).json()
}

/// Waits until a server's health is as `is_it` wants it, and returns it.
fn until_health(api: &Api, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    until(what, || Some(status(api)).filter(&is_it))
}

#[test]
fn health_knows_whether_the_broker_syncs_and_learns_of_a_change() {
    let mut site = Site::start();
    let health = status(&site.api());
    assert_eq!((&health["durability"], &health["status"]), (&"synced".into(), &"ok".into()));

    // Nobody who may ask the broker.
    let yaml = site.machine().tmp().join("nats/server/server.yaml");
    let text = fs::read_to_string(&yaml).unwrap();
    let lines = text.lines().filter(|line| !line.contains("system_credentials"));
    let blind = yaml.with_file_name("blind.yaml");
    fs::write(&blind, lines.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let blind = server(site.machine(), blind.to_str().unwrap());
    let blind = blind.env("OSAPI_NATS_SERVERS", site.broker_url());
    let mut blind = Daemon::until(blind, "ready: the store was read");
    let api = Api::new(&address_in(&blind.until_says("listens on ")), &site.token);
    let health = status(&api);
    assert_eq!((&health["durability"], &health["status"]), (&"unknown".into(), &"ok".into()));

    let conf = fs::read_to_string(site.broker().path("nats.conf")).unwrap();
    let lazy = conf.replace("sync_interval: always", "sync_interval: 2m");
    assert_ne!(lazy, conf, "the configuration that is written syncs");
    site.broker().configure(&lazy);
    site.broker().restart();
    let health = until_health(&site.api(), "the change is known", |health| {
        health["durability"] == "unsynced"
    });
    assert_eq!(health["status"], "degraded");
    assert_eq!(status(&api)["durability"], "unknown");
    for (api, word) in [(site.api(), "unsynced"), (api, "unknown")] {
        let metrics = api.get("/metrics").is(200).metrics();
        let durability = metrics.iter().filter(|(sample, _)| sample.contains("durability"));
        let so: Vec<_> = durability.filter(|(_, value)| **value == 1.0).collect();
        assert!(so.len() == 1 && so[0].0.contains(&format!("\"{word}\"")), "{metrics:?}");
    }
}

/// A file with the credentials of a user who may do this, as the fleet's own account vouches for it.
fn credentials(site: &Site, name: &str, permissions: Permissions) -> PathBuf {
    let broker = Broker::open(&Layout::at(site.machine().data_dir())).unwrap();
    let key = Nkey::generate(Kind::User);
    let (public, account) = (key.public(), &broker.account.id);
    let user = jwt::User { name, key: &public, account, permissions, bounds: Bounds::Unlimited };
    let document = jwt::user(&broker.account.signer, &user, SystemClock.wall());
    let file = site.machine().path(name);
    private_file::create_new(&file, &jwt::credentials(&document, &key)).unwrap();
    file
}

#[test]
fn what_the_broker_denies_a_server_is_in_its_log_and_its_health() {
    let site = Site::start();
    let mut permissions = names::server_permissions(&Namespace::default());
    permissions.publish.retain(|subject| subject != "osapi.ping");
    let file = credentials(&site, "mute.creds", permissions);
    let url = site.broker_url();
    let mute = server(site.machine(), "nats/server/server.yaml").env("OSAPI_NATS_SERVERS", url);
    let mut mute = Daemon::start(mute.env("OSAPI_NATS_CREDENTIALS", &file));
    let listens = address_in(&mute.until_says("listens on "));
    mute.until_says("NATS denied something");
    mute.until_says("ready: the store was read");
    let health = until_health(&Api::new(&listens, &site.token), "it is in the health", |health| {
        health["denials"]["count"] != 0
    });
    assert_eq!(health["status"], "degraded", "{health}");
    let last = health["denials"]["last"].as_str().unwrap();
    assert!(last.contains("osapi.ping"), "{last}");
    let metrics = Api::new(&listens, &site.token).get("/metrics").is(200).metrics();
    assert!(metrics["osapi_denials_total"] > 0.0, "{metrics:?}");
    let shown = site.osapi(["health", "status"]).env("OSAPI_URL", &listens).run().exits(0);
    shown.shows(&["degraded", "osapi.ping", "'server.creds' of 'osapi nats config'"]);
    assert_eq!(status(&site.api())["status"], "ok", "another server may do what it needs");
}

#[test]
fn what_the_broker_denies_an_agent_is_shown_wherever_it_is_looked_for() {
    let site = Site::start();
    let _fine = site.join("web-02");
    assert!(site.join("web-01").stop().0.success());
    // It may say that it is there, and not what became of its jobs.
    let permissions = Permissions {
        publish: vec!["osapi.from.web-01.h".into(), "osapi.from.web-01.sync".into()],
        ..names::agent_permissions(&Namespace::default(), &"web-01".parse().unwrap())
    };
    let file = credentials(&site, "web-01.creds", permissions);
    let mut denied = Daemon::start(site.agent("web-01", []).env("OSAPI_NATS_CREDENTIALS", &file));
    denied.until_says("NATS denied something");
    let health = until_health(&site.api(), "the server is told", |health| {
        !health["denied"].as_array().unwrap().is_empty()
    });
    assert_eq!(
        (&health["status"], &health["denied"]),
        (&"degraded".into(), &["web-01"][..].into())
    );
    let metrics = site.api().get("/metrics").is(200).metrics();
    assert!(metrics["osapi_agents_denials"] > 0.0, "{metrics:?}");
    assert_eq!(metrics["osapi_denials_total"], 0.0, "the server is allowed what it needs");
    let agents = site.api().get("/v1/agents").is(200).json();
    assert!(agents["agents"][0]["denied"].as_u64() > Some(0), "{agents}");
    assert_eq!(agents["agents"][1]["denied"], 0, "{agents}");
    site.osapi(["agent", "list"]).run().exits(0).shows(&["ready (denied)"]);
    let one = site.osapi(["agent", "get", "web-01", "--json"]).run().exits(0).json();
    assert!(one["denied"].as_u64() > Some(0), "{one}");
    let shown = site.osapi(["health", "status"]).run().exits(0);
    shown.shows(&["degraded", "something to web-01; their logs say what", "nats.credentials"]);

    assert!(denied.stop().0.success());
    let _again = Daemon::until(site.agent("web-01", []), "takes jobs");
    let health = until_health(&site.api(), "it is over", |health| health["status"] == "ok");
    assert_eq!(health["denied"], Value::Array(Vec::new()));
}
