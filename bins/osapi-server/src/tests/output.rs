//! The endpoint of an output stream: whole, in ranges, and withheld.

use osapi_core::api::Code;
use osapi_core::api::endpoints::{CommandExec, JobOutput};
use osapi_core::api::params::{OutputPath, TargetPath};
use osapi_core::api::types::JobResults;
use osapi_core::auth::permission::Permission;
use osapi_core::id::JobId;
use osapi_core::job::limits::CHUNK_MAX;
use osapi_core::job::report::Stream;
use osapi_core::job::{Outcome, Target};

use super::fleet::Fleet;
use super::world::Ask;

/// A settled job whose command wrote `stdout`.
async fn job(fleet: &mut Fleet, stdout: &[u8]) -> JobId {
    let token = fleet.world.admin();
    let ask = Ask::of::<CommandExec>(&TargetPath { target: Target::Any });
    let mut wire = fleet.world.connect().await;
    wire.send(&ask.json(r#"{"command":"cat"}"#).token(&token)).await;
    let (id, _) = fleet.agent.job().await;
    fleet.agent.report(id, Outcome::Exited { code: 0 }, stdout).await;
    assert_eq!(wire.reply().await.json::<JobResults>().job_id, id);
    id
}

fn ask<'a>(id: JobId, stream: Stream) -> Ask<'a> {
    Ask::of::<JobOutput>(&OutputPath { id, host: "web-01".parse().unwrap(), stream })
}

#[tokio::test]
async fn all_of_it_comes_as_bytes() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    // Larger than a piece, than a part in the store, and no multiple of either.
    let stdout: Vec<u8> = (0_u32..700_001).map(|n| (n % 251) as u8).collect();
    let id = job(&mut fleet, &stdout).await;
    let reply = fleet.world.ask(&ask(id, Stream::Stdout).token(&token)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
    assert_eq!(reply.header("content-length"), Some("700001"));
    assert_eq!(reply.header("accept-ranges"), Some("bytes"));
    assert!(reply.body == stdout);

    let range = ask(id, Stream::Stdout).header("range", "bytes=262100-600000").token(&token);
    let reply = fleet.world.ask(&range).await;
    assert_eq!(reply.status, 206);
    assert_eq!(reply.header("content-range"), Some("bytes 262100-600000/700001"));
    assert!(reply.body == stdout[262_100..=600_000]);
}

#[tokio::test]
async fn ranges_are_answered_as_the_rfc_says() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let id = job(&mut fleet, b"0123456789").await;
    let get = |range| ask(id, Stream::Stdout).header("range", range).token(&token);
    for (range, status, body, content_range) in [
        ("bytes=0-3", 206, "0123", Some("bytes 0-3/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=8-", 206, "89", Some("bytes 8-9/10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
    ] {
        let reply = fleet.world.ask(&get(range)).await;
        assert_eq!((reply.status, reply.body.as_slice()), (status, body.as_bytes()), "{range}");
        assert_eq!(reply.header("content-range"), content_range, "{range}");
    }
    let reply = fleet.world.ask(&get("bytes=10-")).await;
    assert_eq!(reply.problem().code, Code::RangeNotSatisfiable);
    assert_eq!(reply.header("content-range"), Some("bytes */10"));
    let empty = fleet.world.ask(&ask(id, Stream::Stderr).token(&token)).await;
    assert_eq!(
        (empty.status, empty.body.len(), empty.header("content-length")),
        (200, 0, Some("0"))
    );
}

#[tokio::test]
async fn output_is_for_the_submitter_and_for_who_may_run_such_a_command() {
    let mut fleet = Fleet::start().await;
    let id = job(&mut fleet, b"secret").await;
    let reader = fleet.world.token_of("other@example.com", &[Permission::JOB_READ]);
    let reply = fleet.world.ask(&ask(id, Stream::Stdout).token(&reader)).await;
    let problem = reply.problem();
    assert_eq!(problem.missing_permission.as_deref(), Some("command:execute"));
    let other = [Permission::JOB_READ, Permission::COMMAND_EXECUTE];
    let runner = fleet.world.token_of("other@example.com", &other);
    assert_eq!(fleet.world.ask(&ask(id, Stream::Stdout).token(&runner)).await.body, b"secret");
}

#[tokio::test]
async fn a_host_without_output_is_named() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let id = job(&mut fleet, b"x").await;
    let path = OutputPath { id, host: "web-02".parse().unwrap(), stream: Stream::Stdout };
    let problem = fleet.world.ask(&Ask::of::<JobOutput>(&path).token(&token)).await.problem();
    assert_eq!((problem.code, problem.job_id), (Code::OutputNotFound, Some(id)));
}

#[tokio::test]
async fn a_download_breaks_off_before_what_the_host_did_not_send() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let stdout: Vec<u8> = (0_u32..700_001).map(|n| (n % 251) as u8).collect();
    let command = Ask::of::<CommandExec>(&TargetPath { target: Target::Any });
    let mut wire = fleet.world.connect().await;
    wire.send(&command.json(r#"{"command":"cat"}"#).token(&token)).await;
    let (id, _) = fleet.agent.job().await;
    fleet.agent.forge(id, 2, &stdout).await;
    fleet.agent.report(id, Outcome::Exited { code: 0 }, &stdout).await;
    let results: JobResults = wire.reply().await.json();
    assert!(results.results[0].stdout_incomplete);

    let mut wire = fleet.world.connect().await;
    wire.send(&ask(id, Stream::Stdout).token(&token)).await;
    let answer = wire.all().await;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    assert!(text.contains("content-length: 700001"), "{text}");
    assert!(answer[head + 4..] == stdout[..2 * CHUNK_MAX], "only what is before it");

    let beyond = 3 * CHUNK_MAX;
    let range = format!("bytes={beyond}-");
    let range = ask(id, Stream::Stdout).header("range", &range).token(&token);
    assert!(fleet.world.ask(&range).await.body == stdout[beyond..]);
}
