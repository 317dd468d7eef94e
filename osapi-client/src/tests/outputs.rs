//! Output that an answer does not carry as a whole.

use osapi_core::api::endpoints::JobOutput;
use osapi_core::api::types::HostResult;
use osapi_core::api::{Code, Endpoint};

use super::server::{Act, Server};
use super::{job_id, row};
use crate::{ErrorKind, ExecutionState, Stream};

fn part(range: &str, body: &str) -> Act {
    Act::bytes(206, body).field("content-range", range)
}

#[tokio::test]
async fn a_long_output_is_read_in_pieces_and_a_broken_one_asked_for_again() {
    let script = [part("bytes 0-2/5", "abc"), Act::Stop, part("bytes 3-4/5", "de")];
    let server = Server::start(script).await;
    let mut reader = server.client().output(job_id(), &"web-01".parse().unwrap(), Stream::Stderr);
    assert_eq!(reader.chunk().await.unwrap().unwrap(), "abc");
    assert_eq!(reader.chunk().await.unwrap().unwrap(), "de");
    assert_eq!(reader.chunk().await.unwrap(), None);

    let seen = server.seen();
    let location = JobOutput::INFO.path.replace("{id}", &job_id().to_string());
    let location = location.replace("{host}", "web-01").replace("{stream}", "stderr");
    assert!(seen.iter().all(|request| request.uri == location));
    let ranges: Vec<_> = seen.iter().map(|request| request.field("range").unwrap()).collect();
    assert_eq!(ranges, ["bytes=0-1048575", "bytes=3-1048578", "bytes=3-1048578"]);
}

#[tokio::test]
async fn of_an_empty_output_there_is_no_piece() {
    let server = Server::start([Act::problem(Code::RangeNotSatisfiable)]).await;
    let mut reader = server.client().output(job_id(), &"web-01".parse().unwrap(), Stream::Stdout);
    assert_eq!(reader.chunk().await.unwrap(), None);
    assert_eq!(reader.chunk().await.unwrap(), None);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_excerpt_is_completed_from_the_same_server_whatever_its_link_says() {
    let server = Server::start([Act::bytes(200, "all of it")]).await;
    let row = HostResult {
        stdout: Some("all".into()),
        stdout_url: Some("http://192.0.2.1/elsewhere".into()),
        stderr: Some("carried".into()),
        ..row(ExecutionState::Succeeded)
    };
    let client = server.client();
    assert_eq!(client.full_output(job_id(), &row, Stream::Stdout).await.unwrap(), "all of it");
    assert_eq!(client.full_output(job_id(), &row, Stream::Stderr).await.unwrap(), "carried");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn all_of_an_output_fits_the_limit_or_is_refused() {
    let server = Server::start([part("bytes 0-2/5", "abc"), part("bytes 3-4/5", "de")]).await;
    let client = server.builder().answer_limit(4).build().unwrap();
    let reader = client.output(job_id(), &"web-01".parse().unwrap(), Stream::Stdout);
    let err = reader.bytes().await.unwrap_err();
    assert_eq!((err.kind(), err.job_id()), (ErrorKind::Protocol, Some(job_id())));
}
