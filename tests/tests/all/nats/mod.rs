//! The backend between machines, on real servers.

mod conformance;
mod denials;
mod durability;
mod losses;
mod opening;
mod operator;
mod raw;
mod replicas;
mod watches;

use std::future::Future;
use std::sync::Arc;

use osapi_core::backend::nats::{Login, Namespace, Nats, NatsStore, Options, StoreOptions, Tls};
use osapi_core::backend::{Key, Link, Prefix};
use osapi_tests::NatsServer;
use osapi_tests::wait::PATIENCE;
use tokio::sync::watch;

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

/// A connection as this user.
async fn connect_as(server: &NatsServer, login: Login) -> Nats {
    Nats::connect(Options { login, ..options(&[server.url()]) }).await.unwrap()
}

/// The default needs more free space than a machine that builds and tests may have.
fn small() -> StoreOptions {
    StoreOptions { max_output_bytes: 64 << 20, ..StoreOptions::default() }
}

/// The store of a server that knows no users.
async fn store(server: &NatsServer) -> Arc<NatsStore> {
    Arc::new(connect(server).await.store(small()).await.unwrap())
}

/// A client with every right that its user has, which keeps no rules of ours.
async fn anybody(server: &NatsServer) -> async_nats::Client {
    async_nats::connect(server.url()).await.unwrap()
}

fn password(user: &str, password: &str) -> Login {
    Login::Password { user: user.into(), password: password.to_owned().into() }
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn under(token: &str) -> Prefix {
    Prefix::of(&[&token])
}

/// Waits, but not for ever.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

async fn up(link: &mut watch::Receiver<Link>) {
    within("the link is up", link.wait_for(|link| *link == Link::Up)).await.unwrap();
}

/// Waits until the link is down, and tells why.
async fn down(link: &mut watch::Receiver<Link>) -> String {
    let is_down = |link: &Link| matches!(link, Link::Down(_));
    match &*within("the link is down", link.wait_for(is_down)).await.unwrap() {
        Link::Down(why) => why.clone(),
        Link::Up => unreachable!("it was waited for"),
    }
}

/// Looks again and again until something is there.
async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
}
