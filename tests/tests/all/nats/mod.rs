//! The backend between machines, on real servers.

mod conformance;

use std::sync::Arc;

use osapi_core::backend::nats::{Login, Namespace, Nats, NatsStore, Options, StoreOptions, Tls};

use osapi_tests::NatsServer;

/// How a test connects to these servers.
fn options(servers: &[String]) -> Options {
    Options {
        servers: servers.to_vec(),
        namespace: Namespace::default(),
        login: Login::None,
        tls: Tls::default(),
        name: "a test".into(),
        agent: None,
    }
}

/// A connection to a server that knows no users.
async fn connect(server: &NatsServer) -> Nats {
    Nats::connect(options(&[server.url()])).await.unwrap()
}

/// The store of a server that knows no users.
async fn store(server: &NatsServer) -> Arc<NatsStore> {
    Arc::new(connect(server).await.store(StoreOptions::default()).await.unwrap())
}
