//! The end of a server.

use std::sync::Arc;
use std::time::Duration;

use osapi_core::api::Entry;
use osapi_core::api::endpoints::{HealthGet, HealthReady};
use osapi_core::api::types::{Health, Ready};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::world::{Ask, PATIENCE, World};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::handler::Call;
use crate::limits::Limits;
use crate::serve::Ended;

/// How far handlers have come.
#[derive(Clone)]
struct Steps {
    begun: Arc<Semaphore>,
    ended: Arc<Semaphore>,
}

impl Steps {
    fn new() -> Self {
        Self { begun: Arc::new(Semaphore::new(0)), ended: Arc::new(Semaphore::new(0)) }
    }
}

async fn reach(step: &Semaphore) {
    tokio::time::timeout(PATIENCE, step.acquire()).await.expect("the step comes").unwrap().forget();
}

/// Waits for a hurry.
async fn patient(steps: Steps, call: Call<HealthGet>) -> Result<Answer<Health>, Failure> {
    steps.begun.add_permits(1);
    call.hurry.cancelled().await;
    steps.ended.add_permits(1);
    Ok(Answer::Json(Health { status: "hurried".into() }))
}

/// Never ends, whatever happens.
async fn stubborn(steps: Steps, _: Call<HealthReady>) -> Result<Answer<Ready>, Failure> {
    steps.begun.add_permits(1);
    std::future::pending().await
}

async fn world(steps: Steps, drain_time: Duration) -> World {
    World::start(steps, Limits { drain_time, ..Limits::default() }, |builder| {
        let builder =
            builder.mount_open::<HealthGet, _>(patient).mount_open::<HealthReady, _>(stubborn);
        (builder, vec![Entry::of::<HealthGet>(), Entry::of::<HealthReady>()])
    })
    .await
}

#[tokio::test]
async fn who_waits_is_answered_and_who_is_idle_is_closed() {
    let steps = Steps::new();
    let mut world = world(steps.clone(), PATIENCE).await;
    let mut idle = world.connect().await;
    let mut wire = world.connect().await;
    wire.send(&Ask::of::<HealthGet>(&())).await;
    reach(&steps.begun).await;
    world.shutdown.cancel();
    let reply = wire.reply().await;
    assert_eq!(reply.json::<Health>().status, "hurried");
    assert_eq!(reply.header("connection"), Some("close"));
    wire.closed().await;
    idle.closed().await;
    assert_eq!(world.ended().await, Ended::Drained);
    assert!(TcpStream::connect(world.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let steps = Steps::new();
    let mut world = world(steps.clone(), Duration::from_millis(50)).await;
    let mut wire = world.connect().await;
    wire.send(&Ask::of::<HealthReady>(&())).await;
    reach(&steps.begun).await;
    world.shutdown.cancel();
    assert_eq!(world.ended().await, Ended::Cut { connections: 1 });
    wire.closed().await;
}

#[tokio::test]
async fn a_client_that_leaves_hurries_its_handler_and_does_not_stop_it() {
    let steps = Steps::new();
    let world = world(steps.clone(), PATIENCE).await;
    let mut wire = world.connect().await;
    wire.send(&Ask::of::<HealthGet>(&())).await;
    reach(&steps.begun).await;
    drop(wire);
    reach(&steps.ended).await;
}

#[tokio::test]
async fn an_end_without_clients_is_immediate() {
    let mut world = world(Steps::new(), PATIENCE).await;
    world.shutdown.cancel();
    assert_eq!(world.ended().await, Ended::Drained);
}
