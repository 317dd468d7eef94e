//! Connections: slow ones, idle ones, too many of them.

use std::time::Duration;

use osapi_core::api::endpoints::HealthGet;
use osapi_core::api::types::Health;
use osapi_core::api::{Endpoint, Entry};

use super::world::{Ask, World};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::handler::Call;
use crate::limits::Limits;

async fn health(_: (), _: Call<HealthGet>) -> Result<Answer<Health>, Failure> {
    Ok(Answer::Json(Health { status: "ok".into() }))
}

async fn world(limits: Limits) -> World {
    World::start((), limits, |builder| {
        (builder.mount_open::<HealthGet, _>(health), vec![Entry::of::<HealthGet>()])
    })
    .await
}

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let world = world(Limits::default()).await;
    let mut wire = world.connect().await;
    for _ in 0..3 {
        wire.send(&Ask::of::<HealthGet>(&())).await;
        assert_eq!(wire.reply().await.status, 200);
    }
    // Also those that do not wait for their answers.
    wire.send(&Ask::of::<HealthGet>(&())).await;
    wire.send(&Ask::of::<HealthGet>(&())).await;
    assert_eq!((wire.reply().await.status, wire.reply().await.status), (200, 200));
}

#[tokio::test]
async fn silence_and_half_a_header_are_not_waited_for() {
    let world = world(Limits { header_time: Duration::from_millis(50), ..Limits::default() }).await;
    let mut silent = world.connect().await;
    let mut slow = world.connect().await;
    let method = HealthGet::INFO.method.as_str();
    slow.write(format!("{method} / HTTP/1.1\r\nhost: te").as_bytes()).await;
    let mut idle = world.connect().await;
    idle.send(&Ask::of::<HealthGet>(&())).await;
    assert_eq!(idle.reply().await.status, 200);
    silent.closed().await;
    slow.closed().await;
    idle.closed().await;
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_turn() {
    let world = world(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = world.connect().await;
    first.send(&Ask::of::<HealthGet>(&())).await;
    assert_eq!(first.reply().await.status, 200);
    let mut second = world.connect().await;
    second.send(&Ask::of::<HealthGet>(&())).await;
    // The first one is served while the second is not.
    first.send(&Ask::of::<HealthGet>(&())).await;
    assert_eq!(first.reply().await.status, 200);
    let nothing = second.stream.try_read(&mut [0; 1]);
    assert_eq!(nothing.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert_eq!(second.reply().await.status, 200);
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let world = world(Limits::default()).await;
    let mut wire = world.connect().await;
    wire.write(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await;
    assert_eq!(wire.reply().await.status, 400);
    wire.closed().await;
}
