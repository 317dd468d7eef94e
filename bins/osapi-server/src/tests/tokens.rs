//! Tokens and permissions, and that both come before the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use osapi_core::api::endpoints::{CommandExec, HealthGet, JobCancel};
use osapi_core::api::params::{JobPath, TargetPath};
use osapi_core::api::types::{CancelAnswer, Health, JobResults};
use osapi_core::api::{Code, Entry};
use osapi_core::auth::authorize::Permit;
use osapi_core::auth::keys::SigningKey;
use osapi_core::auth::permission::Permission;
use osapi_core::auth::token::{NewToken, issue};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::id::{FleetId, JobId};
use osapi_core::job::{JobStatus, Target};

use super::world::{Ask, PATIENCE, World};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::handler::Call;
use crate::limits::Limits;

/// Counts what reaches a handler.
type Reached = Arc<AtomicU32>;

async fn exec(
    reached: Reached,
    permit: Permit,
    call: Call<CommandExec>,
) -> Result<Answer<JobResults>, Failure> {
    assert_eq!(permit.subject(), "user@example.com");
    assert_eq!(call.path.target, Target::Any);
    reached.fetch_add(1, Ordering::SeqCst);
    let job_id = JobId::new(call.arrived_at);
    Ok(Answer::Json(JobResults { job_id, status: JobStatus::Completed, results: Vec::new() }))
}

async fn cancel(
    reached: Reached,
    _: Permit,
    call: Call<JobCancel>,
) -> Result<Answer<CancelAnswer>, Failure> {
    reached.fetch_add(1, Ordering::SeqCst);
    Ok(Answer::Json(CancelAnswer { job_id: call.path.id, status: JobStatus::Running }))
}

async fn health(_: Reached, _: Call<HealthGet>) -> Result<Answer<Health>, Failure> {
    Ok(Answer::Json(Health { status: "ok".into() }))
}

async fn world() -> (World, Reached) {
    let reached = Reached::default();
    let limits = Limits { linger_time: PATIENCE, ..Limits::default() };
    let world = World::start(Arc::clone(&reached), limits, |builder| {
        let builder = builder
            .mount::<CommandExec, _>(exec)
            .mount::<JobCancel, _>(cancel)
            .mount_open::<HealthGet, _>(health);
        let table =
            vec![Entry::of::<CommandExec>(), Entry::of::<JobCancel>(), Entry::of::<HealthGet>()];
        (builder, table)
    })
    .await;
    (world, reached)
}

fn ask<'a>() -> Ask<'a> {
    Ask::of::<CommandExec>(&TargetPath { target: Target::Any }).json(r#"{"command":"true"}"#)
}

#[tokio::test]
async fn every_kind_of_bad_token_has_its_code() {
    let (world, reached) = world().await;
    let all = [Permission::COMMAND_EXECUTE];
    let good = world.token(&all);
    let with = |key: &SigningKey, fleet: FleetId, new: NewToken| {
        issue(key, fleet, new).unwrap().as_str().to_owned()
    };
    let new = || World::new_token(&all);
    let (hour, now) = (Duration::from_secs(3600), SystemClock.wall());
    let short = Duration::from_secs(60);
    let altered = {
        let at = good.find("public.").unwrap() + 30;
        let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &good[..at], &good[at + 1..])
    };
    let cases = [
        ("nonsense".to_owned(), Code::TokenMalformed),
        (format!("{good} {good}"), Code::TokenMalformed),
        ("v4.public.".to_owned(), Code::TokenMalformed),
        (good.replace("v4.public", "v4.local"), Code::TokenMalformed),
        ("x".repeat(4097), Code::TokenTooLong),
        ("x".repeat(20_000), Code::TokenTooLong),
        (with(&SigningKey::generate(), world.keys.fleet(), new()), Code::TokenUnknownKey),
        (with(&world.keys.job, world.keys.fleet(), new()), Code::TokenUnknownKey),
        (altered, Code::TokenBadSignature),
        (
            with(
                &world.keys.token,
                world.keys.fleet(),
                NewToken { expires_in: short, now: now - hour, ..new() },
            ),
            Code::TokenExpired,
        ),
        (
            with(&world.keys.token, world.keys.fleet(), NewToken { now: now + hour, ..new() }),
            Code::TokenNotYetValid,
        ),
        (with(&world.keys.token, FleetId::from_bytes([9; 16]), new()), Code::TokenOtherFleet),
    ];
    for (token, code) in cases {
        let reply = world.ask(&ask().token(&token)).await;
        let problem = reply.problem();
        assert_eq!(problem.code, code, "{}", problem.detail);
        let challenge = r#"Bearer realm="osapi", error="invalid_token""#;
        assert_eq!(reply.header("www-authenticate"), Some(challenge));
        assert!(token.len() < 5 || !problem.detail.contains(&token), "the token is not repeated");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
    assert_eq!(world.ask(&ask().token(&good)).await.status, 200);
    assert_eq!(reached.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_without_a_token_is_told_how_to_send_one() {
    let (world, _) = world().await;
    let token = world.admin();
    let basic = format!("Basic {token}");
    for headers in
        [vec![], vec![("authorization", basic.as_str())], vec![("authorization", "Bearer")]]
    {
        let reply = world.ask(&Ask { headers, ..ask() }).await;
        assert_eq!(reply.problem().code, Code::TokenMissing);
        assert_eq!(reply.header("www-authenticate"), Some(r#"Bearer realm="osapi""#));
    }
    let twice = ask().token(&token).header("authorization", "Bearer x");
    assert_eq!(world.ask(&twice).await.problem().code, Code::TokenMalformed);
    let lower = format!("bearer {token}");
    assert_eq!(world.ask(&ask().header("authorization", &lower)).await.status, 200);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let (world, reached) = world().await;
    let token = world.token(&[Permission::NODE_READ, Permission::JOB_WRITE]);
    let problem = world.ask(&ask().token(&token)).await.problem();
    assert_eq!(problem.code, Code::PermissionDenied);
    assert_eq!(problem.missing_permission.as_deref(), Some("command:execute"));
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_needs_some_operation_is_let_through_to_the_controller() {
    let (world, _) = world().await;
    let id = JobId::new(SystemClock.wall());
    let ask = Ask::of::<JobCancel>(&JobPath { id });
    let token = world.token(&[Permission::NODE_READ]);
    assert_eq!(world.ask(&ask.clone().token(&token)).await.status, 200);
    let token = world.token(&[Permission::JOB_READ, Permission::JOB_WRITE]);
    let problem = world.ask(&ask.token(&token)).await.problem();
    assert_eq!(problem.missing_permission.as_deref(), Some("command:execute"));
}

#[tokio::test]
async fn without_keys_nobody_is_known_and_open_endpoints_answer() {
    let (world, _) = world().await;
    let token = world.admin();
    world.ring.send_replace(None);
    assert_eq!(world.ask(&ask().token(&token)).await.problem().code, Code::NotReady);
    assert_eq!(world.ask(&Ask::of::<HealthGet>(&())).await.status, 200);
}

#[tokio::test]
async fn who_may_not_is_refused_before_the_body_is_read() {
    let (world, reached) = world().await;
    let token = world.token(&[Permission::NODE_READ]);
    for (token, status) in [(None, 401), (Some(token.as_str()), 403)] {
        // The body never comes, is announced as too large, or never ends: the answer is the same, and it comes at once.
        for announced in ["10", "9999999999"] {
            let mut wire = world.connect().await;
            let ask = Ask { body: None, token, ..ask() }.header("content-length", announced);
            wire.send(&ask).await;
            let reply = wire.reply().await;
            assert_eq!(reply.status, status);
            assert_eq!(reply.header("connection"), Some("close"));
            wire.closed().await;
        }
        let mut wire = world.connect().await;
        wire.send(&Ask { body: None, token, ..ask() }.header("transfer-encoding", "chunked")).await;
        wire.write(b"4\r\nabcd\r\n").await;
        assert_eq!(wire.reply().await.status, status);
        wire.closed().await;
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_that_sends_on_can_read_why_it_was_refused() {
    let (world, _) = world().await;
    let mut wire = world.connect().await;
    let ask = Ask { body: None, ..ask() }.header("content-length", "1000000");
    wire.send(&ask).await;
    wire.write(&vec![b' '; 500_000]).await;
    assert_eq!(wire.reply().await.problem().code, Code::TokenMissing);
    wire.closed().await;
    // It may still send: a connection that was reset would fail here, and clients then report that instead of the answer.
    for _ in 0..5 {
        wire.write(&vec![b' '; 100_000]).await;
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let (world, _) = world().await;
    let mut wire = world.connect().await;
    let ask = Ask { body: None, ..ask() }.header("content-length", "10");
    wire.send(&ask.header("expect", "100-continue")).await;
    assert_eq!(wire.reply().await.status, 401, "and no 100 before it");
}
