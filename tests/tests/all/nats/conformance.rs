//! The conformance suite, over real servers and every way to log in.

use std::sync::Arc;

use osapi_core::backend::conformance::{Promises, bus_suite, persistence_suite, store_suite};
use osapi_core::backend::faulty::{BusFaults, FaultyBus, FaultyStore, StoreFaults};
use osapi_core::backend::nats::jwt::{Kind, Nkey};
use osapi_core::backend::nats::{Login, Nats, StoreOptions};
use osapi_core::backend::{Denials, Store};
use osapi_tests::NatsServer;

use super::operator::OperatorServer;

const PROMISES: Promises = Promises { tells_removals: false };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms() {
    let server = NatsServer::start();
    store_suite(super::store(&server).await, PROMISES).await;
}

#[tokio::test]
async fn the_store_conforms_on_one_thread() {
    let server = NatsServer::start();
    store_suite(super::store(&server).await, PROMISES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_conforms_behind_a_wrapper_without_faults() {
    let server = NatsServer::start();
    let store = FaultyStore::new(super::store(&server).await, 7, StoreFaults::default());
    store_suite(Arc::new(store), PROMISES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_survives_crashes_of_the_server() {
    let mut server = NatsServer::start();
    let mut is_first = true;
    persistence_suite(async || {
        if !std::mem::take(&mut is_first) {
            server.restart();
        }
        super::store(&server).await as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bus_conforms() {
    let server = NatsServer::start();
    bus_suite(Arc::new(super::connect(&server).await.bus())).await;
}

#[tokio::test]
async fn the_bus_conforms_behind_a_wrapper_without_faults() {
    let server = NatsServer::start();
    let bus = Arc::new(super::connect(&server).await.bus());
    bus_suite(Arc::new(FaultyBus::new(bus, 7, BusFaults::default()))).await;
}

/// Both suites, over one connection.
async fn conforms(nats: Nats) {
    bus_suite(Arc::new(nats.bus())).await;
    let store = nats.store(StoreOptions::default()).await.unwrap();
    store_suite(Arc::new(store), PROMISES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_a_password_conforms() {
    let server = NatsServer::with(
        "jetstream { sync_interval: always }\nauthorization { user: ann, password: secret }\n",
    );
    conforms(super::connect_as(&server, super::password("ann", "secret")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_a_key_conforms() {
    let key = Nkey::generate(Kind::User);
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}\n", key.public());
    let server = NatsServer::with(&format!("jetstream {{ sync_interval: always }}\n{users}"));
    conforms(super::connect_as(&server, Login::Nkey(key.seed())).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_credential_of_an_api_server_is_enough_for_a_store() {
    let operator = OperatorServer::start();
    let nats = super::connect_as(&operator.server, operator.api_server()).await;
    let store = nats.store(StoreOptions::default()).await.unwrap();
    store_suite(Arc::new(store), PROMISES).await;
    assert_eq!(*nats.denials().borrow(), Denials::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_credentials_conforms() {
    let operator = OperatorServer::start();
    let publish = ["osapi.>", "$JS.API.>", "$KV.>", "_INBOX.>"];
    let login = operator.user(&publish, &["osapi.>", "_INBOX.>"]);
    conforms(super::connect_as(&operator.server, login).await).await;
}
