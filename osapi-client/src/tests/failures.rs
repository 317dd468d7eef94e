//! What cannot be reached, does not answer, or answers something else.

use std::error::Error as _;
use std::time::Duration;

use osapi_core::api::Code;
use osapi_core::api::types::Health;
use tokio::net::TcpSocket;

use super::completed;
use super::server::{Act, Server, quick};
use crate::{ErrorKind, JobsQuery, Target};

const SHORT: Duration = Duration::from_millis(50);

/// A port that is taken, so that no one else listens there, and refuses connections until it is listened on.
fn silent_port() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_and_leaves_no_question() {
    let (_socket, url) = silent_port();
    let client = quick(&url).retry_for(SHORT).build().unwrap();
    let err = client.node(Target::Any).exec("ls").send().await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Connect, "no job can have been made");
    assert_eq!(err.to_string(), format!("cannot connect to {url}"));
    let chain = std::iter::successors(err.source(), |err| (*err).source());
    let chain: Vec<_> = chain.map(ToString::to_string).collect();
    assert!(chain.iter().any(|cause| cause.contains("refused")), "{chain:?}");
}

#[tokio::test]
async fn a_server_that_comes_up_in_time_is_found() {
    let (socket, url) = silent_port();
    let client = quick(&url).build().unwrap();
    let sent = client.node(Target::Any).exec("ls").send();
    let started = async {
        // On loopback a connection is refused within the first poll, which comes before this.
        tokio::task::yield_now().await;
        Server::on(socket.listen(16).unwrap(), [Act::json(200, &completed())])
    };
    let (outcome, server) = tokio::join!(sent, started);
    assert!(outcome.unwrap().success());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn without_an_answer_it_is_unknown_whether_a_job_was_made() {
    for act in [Act::Reset, Act::Stop, Act::Hang, Act::bytes(504, "")] {
        let server = Server::start(vec![act.clone(); 1000]).await;
        let client = server.builder().retry_for(SHORT).timeout(SHORT);
        let client = client.settings(|settings| settings.first_wait = Duration::ZERO);
        let client = client.build().unwrap();
        let err = client.node(Target::Any).exec("ls").send().await.unwrap_err();
        assert_eq!(err.kind(), ErrorKind::OutcomeUnknown, "{act:?}");
        assert!(err.source().is_some(), "{err}");
        let seen = server.seen();
        assert!(seen.iter().all(|request| request == &seen[0]));
    }
}

#[tokio::test]
async fn what_only_reads_leaves_no_question() {
    for (act, kind) in [(Act::Hang, ErrorKind::Timeout), (Act::Reset, ErrorKind::Connect)] {
        let server = Server::start(vec![act; 1000]).await;
        let client = server.builder().retry_for(SHORT).timeout(SHORT).build().unwrap();
        let err = client.jobs().list(JobsQuery::default()).await.unwrap_err();
        assert_eq!(err.kind(), kind);
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_taken() {
    let server = Server::start(vec![Act::bytes(200, vec![b' '; 100_000]); 2]).await;
    let client = server.builder().answer_limit(99_999).build().unwrap();
    let err = client.jobs().list(JobsQuery::default()).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Protocol);
    assert!(err.to_string().contains("more than 99999 bytes"), "{err}");
    assert_eq!(server.seen().len(), 1, "it would be as large again");
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let other = Server::start([]).await;
    let server = Server::start([Act::bytes(302, "").field("location", other.url())]).await;
    let err = server.client().jobs().list(JobsQuery::default()).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Protocol);
    assert!(err.to_string().contains("redirect"), "{err}");
    assert_eq!(other.seen(), []);
}

#[tokio::test]
async fn another_server_is_told_from_this_api() {
    let server = Server::start([Act::bytes(200, "<html>")]).await;
    let err = server.client().jobs().list(JobsQuery::default()).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Protocol);
    assert!(err.source().is_some());
}

#[tokio::test]
async fn health_is_asked_once_and_without_the_token() {
    let ok = Health { status: "ok".into() };
    let script = [Act::json(200, &ok), Act::problem(Code::NotReady), Act::Reset];
    let server = Server::start(script).await;
    let client = server.client();
    assert_eq!(client.health().await.unwrap(), ok);
    assert_eq!(client.ready().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(client.status().await.unwrap_err().kind(), ErrorKind::Connect);
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    let token: Vec<_> = seen.iter().map(|request| request.field("authorization")).collect();
    assert_eq!(token, [None, None, Some("Bearer v4.public.secret")]);
}
