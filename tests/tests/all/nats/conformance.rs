//! The conformance suite, over a real server.

use std::sync::Arc;

use osapi_core::backend::Store;
use osapi_core::backend::conformance::{Promises, bus_suite, persistence_suite, store_suite};
use osapi_core::backend::faulty::{BusFaults, FaultyBus, FaultyStore, StoreFaults};
use osapi_tests::NatsServer;

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
