//! What every answer has, and what a handler that fails gets.

use std::collections::HashSet;

use osapi_core::api::endpoints::{HealthGet, HealthReady, JobDelete};
use osapi_core::api::params::JobPath;
use osapi_core::api::types::{Health, Ready};
use osapi_core::api::{Code, Entry};
use osapi_core::auth::authorize::Permit;
use osapi_core::clock::Timestamp;
use osapi_core::id::JobId;

use super::world::{Ask, World};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::handler::Call;
use crate::limits::Limits;

async fn health(_: (), _: Call<HealthGet>) -> Result<Answer<Health>, Failure> {
    Ok(Answer::Json(Health { status: "ok".into() }))
}

async fn panics(_: (), _: Call<HealthReady>) -> Result<Answer<Ready>, Failure> {
    panic!("a secret of the server")
}

async fn delete(_: (), _: Permit, _: Call<JobDelete>) -> Result<Answer<()>, Failure> {
    Ok(Answer::Done)
}

async fn world() -> World {
    World::start((), Limits::default(), |builder| {
        let builder = builder
            .mount_open::<HealthGet, _>(health)
            .mount_open::<HealthReady, _>(panics)
            .mount::<JobDelete, _>(delete);
        let table =
            vec![Entry::of::<HealthGet>(), Entry::of::<HealthReady>(), Entry::of::<JobDelete>()];
        (builder, table)
    })
    .await
}

#[tokio::test]
async fn every_answer_has_an_id_of_the_servers_own() {
    let world = world().await;
    let mut wire = world.connect().await;
    let mut seen = HashSet::new();
    let given = "0123456789abcdef0123456789abcdef";
    let missing = Ask { path: "/nowhere".into(), ..Ask::of::<HealthGet>(&()) };
    for ask in [Ask::of::<HealthGet>(&()), missing, Ask::of::<HealthReady>(&())] {
        wire.send(&ask.header("x-request-id", given)).await;
        let reply = wire.reply().await;
        let id = reply.header("x-request-id").unwrap().to_owned();
        assert!(id.len() == 32 && id != given && seen.insert(id));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn a_document_is_json_and_what_has_none_is_empty() {
    let world = world().await;
    let reply = world.ask(&Ask::of::<HealthGet>(&())).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.body, br#"{"status":"ok"}"#);
    let token = world.admin();
    let id = JobId::new(Timestamp::from_unix_millis(0));
    let reply = world.ask(&Ask::of::<JobDelete>(&JobPath { id }).token(&token)).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
}

#[tokio::test]
async fn a_panic_ends_one_request_and_tells_nothing() {
    let world = world().await;
    let mut wire = world.connect().await;
    wire.send(&Ask::of::<HealthReady>(&())).await;
    let problem = wire.reply().await.problem();
    assert_eq!(problem.code, Code::Internal);
    assert!(!problem.detail.contains("secret"), "{}", problem.detail);
    wire.send(&Ask::of::<HealthGet>(&())).await;
    assert_eq!(wire.reply().await.status, 200, "on the same connection");
}
