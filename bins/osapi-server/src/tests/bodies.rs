//! Bodies: their bounds, and what is wrong with them.

use std::time::Duration;

use osapi_core::api::endpoints::{CommandExec, JobCancel};
use osapi_core::api::params::{JobPath, TargetPath};
use osapi_core::api::types::{CancelAnswer, JobResults};
use osapi_core::api::{Code, Entry};
use osapi_core::auth::authorize::Permit;
use osapi_core::clock::Timestamp;
use osapi_core::id::JobId;
use osapi_core::job::{JobStatus, Target};

use super::world::{Ask, World};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::handler::Call;
use crate::limits::Limits;

async fn exec(_: (), _: Permit, call: Call<CommandExec>) -> Result<Answer<JobResults>, Failure> {
    let job_id = JobId::new(call.arrived_at);
    assert!(!call.bytes.is_empty());
    Ok(Answer::Json(JobResults { job_id, status: JobStatus::Completed, results: Vec::new() }))
}

async fn cancel(_: (), _: Permit, call: Call<JobCancel>) -> Result<Answer<CancelAnswer>, Failure> {
    Ok(Answer::Json(CancelAnswer { job_id: call.path.id, status: JobStatus::Running }))
}

async fn world(limits: Limits) -> World {
    World::start((), limits, |builder| {
        let builder = builder.mount::<CommandExec, _>(exec).mount::<JobCancel, _>(cancel);
        (builder, vec![Entry::of::<CommandExec>(), Entry::of::<JobCancel>()])
    })
    .await
}

fn ask<'a>() -> Ask<'a> {
    Ask::of::<CommandExec>(&TargetPath { target: Target::Any })
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_by_field() {
    let world = world(Limits::default()).await;
    let token = world.admin();
    for (body, code, field) in [
        ("", Code::BodyNotJson, None),
        ("command=ls", Code::BodyNotJson, None),
        (r#"{"command":"ls"} trailing"#, Code::BodyNotJson, None),
        (r#"{"command":"ls","shell":true}"#, Code::BodyInvalid, Some("shell")),
        (r#"{"command":"ls","command":"rm"}"#, Code::BodyInvalid, Some("command")),
        (r#"{"command":"ls","timeout":"abc"}"#, Code::BodyInvalid, Some("timeout")),
        (r#"{"command":"ls","args":["a",7]}"#, Code::BodyInvalid, Some("args[1]")),
    ] {
        let problem = world.ask(&ask().token(&token).json(body)).await.problem();
        assert_eq!((problem.code, problem.field.as_deref()), (code, field), "{body}");
    }
}

#[tokio::test]
async fn only_json_is_read() {
    let world = world(Limits::default()).await;
    let token = world.admin();
    let ask = Ask { body: Some(b"{\"command\":\"ls\"}"), ..ask().token(&token) };
    let reply = world.ask(&ask.clone().header("content-type", "text/plain")).await;
    assert_eq!(reply.problem().code, Code::UnsupportedMediaType);
    assert_eq!(world.ask(&ask).await.problem().code, Code::UnsupportedMediaType);
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_not_read() {
    let world = world(Limits::default()).await;
    let token = world.admin();
    let mut wire = world.connect().await;
    let ask = Ask { body: None, ..ask().token(&token).json("") };
    wire.send(&ask.header("content-length", "2097153")).await;
    let reply = wire.reply().await;
    assert_eq!(reply.problem().code, Code::BodyTooLarge);
    assert_eq!(reply.header("connection"), Some("close"));
    wire.closed().await;
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_cut() {
    let world = world(Limits { body_bytes: 100, ..Limits::default() }).await;
    let token = world.admin();
    let fits = format!("{:100}", r#"{"command":"ls"}"#);
    assert_eq!(world.ask(&ask().token(&token).json(&fits)).await.status, 200);

    let mut wire = world.connect().await;
    let ask = Ask { body: None, ..ask().token(&token).json("") };
    wire.send(&ask.header("transfer-encoding", "chunked")).await;
    wire.write(format!("65\r\n{fits} \r\n").as_bytes()).await;
    assert_eq!(wire.reply().await.problem().code, Code::BodyTooLarge);
    wire.closed().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = world(Limits { body_time: Duration::from_millis(50), ..Limits::default() }).await;
    let token = world.admin();
    let mut wire = world.connect().await;
    let ask = Ask { body: None, ..ask().token(&token).json("") };
    wire.send(&ask.header("content-length", "20")).await;
    wire.write(b"{").await;
    let reply = wire.reply().await;
    assert_eq!(reply.problem().code, Code::BodyTimeout);
    assert_eq!(reply.header("connection"), Some("close"));
    wire.closed().await;
}

#[tokio::test]
async fn an_endpoint_without_a_body_takes_none() {
    let world = world(Limits::default()).await;
    let token = world.admin();
    let id = JobId::new(Timestamp::from_unix_millis(0));
    let ask = Ask::of::<JobCancel>(&JobPath { id }).token(&token);
    assert_eq!(world.ask(&ask).await.status, 200);
    assert_eq!(world.ask(&Ask { body: Some(b""), ..ask.clone() }).await.status, 200);
    let reply = world.ask(&ask.clone().json("{}")).await;
    assert_eq!(reply.problem().code, Code::BodyInvalid);

    let mut wire = world.connect().await;
    wire.send(&ask.header("transfer-encoding", "chunked")).await;
    wire.write(b"0\r\n\r\n").await;
    assert_eq!(wire.reply().await.status, 200, "an empty one in chunks is none");
}
