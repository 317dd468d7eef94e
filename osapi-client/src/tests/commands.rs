//! Running something: one job, whatever happens to the connection.

use std::time::Duration;

use osapi_core::api::endpoints::{CommandExec, CommandShell, JobGet, NodeGet};
use osapi_core::api::{Code, Endpoint};
use osapi_core::job::ResourceLimits;
use osapi_core::job::{Exec, Shell};

use super::server::{Act, Seen, Server};
use super::{completed, details, job_id, pending};
use crate::{ErrorKind, JobOutcome, JobStatus, Target};

fn key(seen: &Seen) -> &str {
    seen.field("idempotency-key").expect("it makes a job")
}

fn path<E: Endpoint>() -> String {
    E::INFO.path.replace("{target}", "_any").replace("{id}", &job_id().to_string())
}

/// That `seen` are repetitions of one request.
fn assert_repeated(seen: &[Seen], count: usize) {
    assert_eq!(seen.len(), count);
    assert!(seen.iter().all(|request| request == &seen[0]), "{seen:?}");
    assert_eq!(key(&seen[0]).len(), 32, "128 bits");
}

async fn run(server: &Server) -> Result<JobOutcome, crate::Error> {
    server.client().node(Target::Any).exec("ls").send().await
}

#[tokio::test]
async fn a_command_is_sent_as_it_was_given_and_its_outcome_decoded() {
    let server = Server::start([Act::json(200, &completed())]).await;
    let command = server.client().node("_any").exec("printf").args(["%s", "|>*$HOME"]);
    let command = command.cwd("/tmp").env("A", "b=c").timeout(Duration::from_millis(4001));
    let command = command.stdin([0xff, 0]).user("web".parse().unwrap());
    let limits = || ResourceLimits::of(["core=0".parse().unwrap()]);
    let command = command.umask("0027".parse().unwrap()).limits(limits()).keep_children();
    let outcome = command.send().await.unwrap();

    let host = outcome.host().unwrap();
    assert_eq!((outcome.job_id(), outcome.status()), (job_id(), JobStatus::Completed));
    assert!(outcome.success() && host.success() && host.is_final());
    assert_eq!((host.exit_code(), host.name().as_str()), (Some(0), "web-01"));
    assert_eq!(*host.stdout().unwrap(), [0xff, 0, b'a'], "base64 was decoded");

    let [seen] = server.seen().try_into().unwrap();
    assert_eq!(seen.method, CommandExec::INFO.method.as_str());
    assert_eq!(seen.uri, format!("{}?wait=5", path::<CommandExec>()));
    assert_eq!(seen.field("authorization"), Some("Bearer v4.public.secret"));
    assert_eq!(seen.field("content-type"), Some("application/json"));
    let expected = Exec {
        args: vec!["%s".into(), "|>*$HOME".into()],
        cwd: Some("/tmp".into()),
        env: [("A".into(), "b=c".into())].into(),
        timeout: 5,
        stdin: Some([0xff, 0].into()),
        user: "web".parse().ok(),
        umask: "0027".parse().ok(),
        limits: limits(),
        keep_children: true,
        ..Exec::new("printf")
    };
    assert_eq!(seen.json::<Exec>(), expected);
}

#[tokio::test]
async fn how_long_hosts_are_waited_for_is_sent_with_the_request() {
    let server = Server::start([Act::json(200, &completed()), Act::json(200, &completed())]).await;
    let node = || server.client().node("web-01");
    node().exec("ls").queue_for(Duration::from_millis(7_199_001)).send().await.unwrap();
    node().facts().queue_for(Duration::from_secs(60)).send().await.unwrap();
    let seen = server.seen();
    assert!(seen[0].uri.ends_with("?wait=5&queue_for=7200"), "{}", seen[0].uri);
    assert!(seen[1].uri.ends_with("?wait=5&queue_for=60"), "{}", seen[1].uri);
}

#[tokio::test]
async fn a_script_goes_to_the_shell() {
    let server = Server::start([Act::json(200, &completed())]).await;
    server.client().node(Target::Any).shell("echo $HOME").send().await.unwrap();
    let [seen] = server.seen().try_into().unwrap();
    assert!(seen.uri.starts_with(&path::<CommandShell>()));
    assert_eq!(seen.json::<Shell>(), Shell::new("echo $HOME"));
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_is_repeated_under_the_same_key() {
    for lost in [Act::Reset, Act::Stop] {
        let server = Server::start([lost, Act::json(200, &completed())]).await;
        assert!(run(&server).await.unwrap().success());
        assert_repeated(&server.seen(), 2);
    }
}

#[tokio::test]
async fn a_server_that_cannot_serve_now_is_asked_again_under_the_same_key() {
    let script = [
        Act::problem(Code::NotReady),
        Act::problem(Code::OutcomeUnknown),
        Act::bytes(502, "<html>"),
        Act::bytes(429, "").field("retry-after", "0"),
        Act::json(200, &completed()),
    ];
    let server = Server::start(script).await;
    assert!(run(&server).await.unwrap().success());
    assert_repeated(&server.seen(), 5);
}

#[tokio::test]
async fn facts_are_a_job_and_so_are_repeated_under_a_key() {
    let server = Server::start([Act::Reset, Act::json(200, &completed())]).await;
    server.client().node(Target::Any).facts().send().await.unwrap();
    assert_repeated(&server.seen(), 2);
    let seen = &server.seen()[0];
    assert_eq!(seen.method, NodeGet::INFO.method.as_str());
    assert_eq!(seen.uri, format!("{}?wait=5", path::<NodeGet>()));
    assert_eq!(seen.field("content-type"), None);
}

#[tokio::test]
async fn every_command_has_a_key_of_its_own_or_the_one_it_was_given() {
    let server = Server::start(vec![Act::json(200, &completed()); 3]).await;
    let command = server.client().node(Target::Any).exec("ls");
    command.clone().send().await.unwrap();
    command.clone().send().await.unwrap();
    command.idempotency_key("mine").send().await.unwrap();
    let seen = server.seen();
    assert_ne!(key(&seen[0]), key(&seen[1]));
    assert_eq!(key(&seen[2]), "mine");
}

#[tokio::test]
async fn once_a_job_is_known_it_is_waited_for_and_never_made_again() {
    let script = [
        Act::json(202, &pending()),
        Act::Reset,
        Act::json(200, &details(pending())),
        Act::problem(Code::ShuttingDown),
        Act::json(200, &details(completed())),
    ];
    let server = Server::start(script).await;
    let outcome = run(&server).await.unwrap();
    assert!(outcome.success());
    assert_eq!(outcome.into_results(), completed());

    let seen = server.seen();
    assert_eq!(seen[0].method, CommandExec::INFO.method.as_str());
    assert_eq!(seen.len(), 5);
    for look in &seen[1..] {
        assert_eq!(look.method, JobGet::INFO.method.as_str());
        assert_eq!(look.uri, format!("{}?wait=25", path::<JobGet>()));
        assert_eq!(look.field("idempotency-key"), None);
    }
}

#[tokio::test]
async fn what_fails_while_waiting_names_the_job() {
    let script = [Act::json(202, &pending()), Act::problem(Code::Internal)];
    let server = Server::start(script).await;
    let err = run(&server).await.unwrap_err();
    assert_eq!((err.kind(), err.job_id()), (ErrorKind::Server, Some(job_id())));
}

#[tokio::test]
async fn a_refusal_is_final() {
    for (code, kind) in [
        (Code::InvalidParameter, ErrorKind::InvalidRequest),
        (Code::TokenExpired, ErrorKind::Unauthorized),
        (Code::PermissionDenied, ErrorKind::PermissionDenied),
        (Code::HostNotFound, ErrorKind::NotFound),
        (Code::IdempotencyConflict, ErrorKind::Conflict),
        (Code::OrderTooLarge, ErrorKind::InvalidRequest),
        (Code::TooManyJobs, ErrorKind::TooManyRequests),
        (Code::NoLiveHost, ErrorKind::Unavailable),
        (Code::Internal, ErrorKind::Server),
    ] {
        let server = Server::start([Act::problem(code)]).await;
        let err = run(&server).await.unwrap_err();
        assert_eq!(err.kind(), kind, "{code}");
        assert_eq!(err.problem().unwrap().code, code);
        assert_eq!(server.seen().len(), 1, "{code}");
        assert!(!format!("{err} {err:?}").contains("secret"));
    }
}

#[tokio::test]
async fn what_is_out_of_bounds_is_not_sent() {
    let server = Server::start([]).await;
    let node = |target: &str| server.client().node(target);
    let errors = [
        node("a b").exec("ls").send().await.unwrap_err(),
        node("_any").exec("").send().await.unwrap_err(),
        node("_any").exec("ls").arg("a\0").send().await.unwrap_err(),
        node("_any").exec("ls").timeout(Duration::ZERO).send().await.unwrap_err(),
        node("_any").exec("ls").timeout(Duration::MAX).send().await.unwrap_err(),
        node("_any").shell("ls").cwd("tmp").send().await.unwrap_err(),
        node("_any").exec("ls").idempotency_key("a b").send().await.unwrap_err(),
        node("web-01").exec("ls").queue_for(Duration::ZERO).send().await.unwrap_err(),
        node("web-01").exec("ls").queue_for(Duration::from_secs(86_401)).send().await.unwrap_err(),
        node("_any").facts().queue_for(Duration::from_secs(60)).send().await.unwrap_err(),
    ];
    for err in errors {
        assert_eq!(err.kind(), ErrorKind::InvalidRequest, "{err}");
    }
    assert_eq!(server.seen(), []);
}

#[tokio::test]
async fn a_submitted_job_is_answered_at_once_and_can_be_followed() {
    let script = [
        Act::json(202, &pending()),
        Act::json(200, &details(pending())),
        Act::json(200, &details(pending())),
        Act::json(200, &details(completed())),
    ];
    let server = Server::start(script).await;
    let job = server.client().node(Target::Any).exec("ls").submit().await.unwrap();
    assert_eq!(job.id(), job_id());
    assert_eq!(job.status().await.unwrap(), JobStatus::Pending);
    assert!(!job.wait_for(Duration::ZERO).await.unwrap().is_settled());
    assert!(job.wait().await.unwrap().success());

    let seen = server.seen();
    assert_eq!(seen[0].field("prefer"), Some("respond-async"));
    assert_eq!(seen[0].uri, path::<CommandExec>());
    assert!(!key(&seen[0]).is_empty());
    assert_eq!(seen[1].uri, path::<JobGet>(), "a look does not wait");
    assert_eq!(seen[2].uri, path::<JobGet>());
    assert_eq!(seen[3].uri, format!("{}?wait=25", path::<JobGet>()));
}

#[tokio::test]
async fn waiting_has_an_end_where_one_was_given() {
    let server = Server::start(vec![Act::json(200, &details(pending())); 10_000]).await;
    let job = server.client().job(job_id());
    let outcome = job.wait_for(Duration::from_millis(20)).await.unwrap();
    assert_eq!(outcome.status(), JobStatus::Pending);
}
