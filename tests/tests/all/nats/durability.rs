//! Whether writes are synced is told by the servers, or unknown.

use osapi_core::backend::nats::{DurabilitySource, Login, OpenError, StoreOptions};
use osapi_core::backend::{Durability, Store as _};
use osapi_tests::{NatsCluster, NatsServer};

/// One account for the store and one for the servers themselves.
fn accounts(jetstream: &str) -> String {
    format!(
        "jetstream {{ {jetstream} }}\nsystem_account: SYS\naccounts {{\n\
         SYS: {{ users: [ {{ user: sys, password: s }} ] }}\n\
         APP: {{ jetstream: enabled, users: [ {{ user: app, password: a }} ] }}\n}}\n"
    )
}

async fn read(server: &NatsServer, source: Option<DurabilitySource>) -> Durability {
    read_of(server, 1, source).await
}

async fn read_of(
    server: &NatsServer,
    replicas: usize,
    durability: Option<DurabilitySource>,
) -> Durability {
    let nats = super::connect_as(server, super::password("app", "a")).await;
    let options = StoreOptions { replicas, durability, ..StoreOptions::default() };
    let store = nats.store(options).await.unwrap();
    *store.durability().borrow()
}

fn system() -> DurabilitySource {
    DurabilitySource::System(super::password("sys", "s"))
}

#[tokio::test]
async fn the_system_account_and_the_monitoring_port_tell_it() {
    for (setting, expected) in [
        ("sync_interval: always", Durability::Synced),
        ("sync_interval: 5s", Durability::Unsynced),
        ("max_mem: 100M", Durability::Unsynced),
    ] {
        let server = NatsServer::with(&accounts(setting));
        let monitoring = DurabilitySource::Monitoring(vec![server.monitoring()]);
        assert_eq!(read(&server, Some(system())).await, expected, "{setting}");
        assert_eq!(read(&server, Some(monitoring)).await, expected, "{setting}");
    }
}

#[tokio::test]
async fn where_it_cannot_be_read_it_is_unknown() {
    let server = NatsServer::with(&accounts("sync_interval: always"));
    let wrong = DurabilitySource::System(super::password("sys", "wrong"));
    let another = DurabilitySource::System(super::password("app", "a"));
    // Nobody listens there: it is another loopback address of this machine.
    let closed = DurabilitySource::Monitoring(vec!["http://127.0.0.2:1".into()]);
    for source in [None, Some(wrong), Some(another), Some(closed)] {
        assert_eq!(read(&server, source.clone()).await, Durability::Unknown, "{source:?}");
    }
}

#[tokio::test]
async fn a_source_that_cannot_be_one_is_an_error() {
    let server = NatsServer::start();
    let nats = super::connect(&server).await;
    let open = async |source| {
        let options = StoreOptions { durability: Some(source), ..StoreOptions::default() };
        nats.store(options).await.unwrap_err()
    };
    let error = open(DurabilitySource::Monitoring(vec!["8222".into()])).await;
    assert!(matches!(&error, OpenError::Monitoring(_)), "{error}");
    let error = open(DurabilitySource::System(Login::Nkey("SUX".to_owned().into()))).await;
    assert!(matches!(&error, OpenError::System(_)), "{error}");
}

#[tokio::test]
async fn it_is_read_again_after_a_loss() {
    let mut server = NatsServer::with(&accounts("sync_interval: always"));
    let nats = super::connect_as(&server, super::password("app", "a")).await;
    let options = StoreOptions { durability: Some(system()), ..StoreOptions::default() };
    let store = nats.store(options).await.unwrap();
    let mut durability = store.durability();
    assert_eq!(*durability.borrow(), Durability::Synced);
    server.configure(&accounts("sync_interval: 2m"));
    server.restart();
    let unsynced = durability.wait_for(|now| *now == Durability::Unsynced);
    super::within("it is read again", unsynced).await.unwrap();
}

#[tokio::test]
async fn every_server_of_a_cluster_counts() {
    let mut cluster = NatsCluster::with(&accounts("sync_interval: always"));
    let first = &cluster.nodes()[0];
    assert_eq!(read_of(first, 3, Some(system())).await, Durability::Synced);
    let all = cluster.nodes().iter().map(NatsServer::monitoring).collect();
    assert_eq!(
        read_of(first, 3, Some(DurabilitySource::Monitoring(all))).await,
        Durability::Synced
    );
    let one = DurabilitySource::Monitoring(vec![first.monitoring()]);
    assert_eq!(
        read_of(first, 3, Some(one)).await,
        Durability::Unknown,
        "one speaks for itself only"
    );

    cluster.nodes()[2].configure(&accounts("sync_interval: 2m"));
    cluster.restart(2);
    assert_eq!(read_of(&cluster.nodes()[0], 3, Some(system())).await, Durability::Unsynced);
    cluster.kill(2);
    assert_eq!(read_of(&cluster.nodes()[0], 3, Some(system())).await, Durability::Unknown);
}
