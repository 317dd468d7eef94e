//! Jobs that exist, agents, and what targets mean.

use std::collections::BTreeMap;
use std::time::Duration;

use osapi_core::api::endpoints::{AgentGet, JobCancel, JobDelete, JobRetry, JobsList, TargetGet};
use osapi_core::api::types::{AgentState, CancelAnswer, JobList, Retry, TargetHost, TargetPreview};
use osapi_core::api::{Code, Endpoint};

use super::server::{Act, Server};
use super::{completed, details, job_id, pending};
use crate::{ErrorKind, JobStatus, JobsQuery, RetryHosts};

#[tokio::test]
async fn pages_follow_the_cursor_to_the_last() {
    let page = |next| Act::json(200, &JobList { jobs: vec![details(pending()).summary], next });
    let server =
        Server::start([page(Some(job_id())), Act::problem(Code::Internal), page(None)]).await;
    let query = JobsQuery { status: Some(JobStatus::Pending), ..JobsQuery::default() };
    let mut pages = server.client().jobs().pages(query);
    assert_eq!(pages.next().await.unwrap().unwrap().jobs.len(), 1);
    assert_eq!(pages.next().await.unwrap_err().kind(), ErrorKind::Server);
    assert!(pages.next().await.unwrap().is_some(), "the page that failed is asked for again");
    assert_eq!(pages.next().await.unwrap(), None);

    let uris: Vec<_> = server.seen().into_iter().map(|request| request.uri).collect();
    let (path, id) = (JobsList::INFO.path, job_id());
    let next = format!("{path}?cursor={id}&status=pending");
    assert_eq!(uris, [format!("{path}?status=pending"), next.clone(), next]);
}

#[tokio::test]
async fn a_cancel_is_repeated_and_says_where_the_job_stands() {
    let answer = CancelAnswer { job_id: job_id(), status: JobStatus::Running };
    let script = [Act::Reset, Act::json(200, &answer), Act::problem(Code::JobSettled)];
    let server = Server::start(script).await;
    let job = server.client().job(job_id());
    assert_eq!(job.cancel().await.unwrap(), answer);
    let err = job.cancel().await.unwrap_err();
    assert_eq!((err.kind(), err.job_id()), (ErrorKind::Conflict, Some(job_id())));
    let path = JobCancel::INFO.path.replace("{id}", &job_id().to_string());
    assert!(server.seen().iter().all(|request| request.uri == path));
}

#[tokio::test]
async fn a_retry_is_repeated_under_its_key_and_says_which_hosts_are_meant() {
    let done = Act::json(200, &completed());
    let script = [Act::Reset, done.clone(), done, Act::problem(Code::NothingToRetry)];
    let server = Server::start(script).await;
    let job = server.client().job(job_id());
    assert!(job.retry().send().await.unwrap().success());
    let all = job.retry().hosts(RetryHosts::All).queue_for(Duration::from_secs(60));
    all.idempotency_key("k").submit().await.unwrap();
    assert_eq!(job.retry().send().await.unwrap_err().kind(), ErrorKind::Conflict);

    let seen = server.seen();
    let path = JobRetry::INFO.path.replace("{id}", &job_id().to_string());
    assert_eq!(seen[0], seen[1], "under the same key, with the same body");
    assert!(seen[0].field("idempotency-key").is_some());
    assert_eq!(seen[0].uri, format!("{path}?wait=5"));
    assert_eq!(seen[0].json::<Retry>(), Retry::default());
    assert_eq!(seen[2].uri, format!("{path}?queue_for=60"));
    assert_eq!(seen[2].field("idempotency-key"), Some("k"));
    assert_eq!(seen[2].json::<Retry>(), Retry { hosts: RetryHosts::All });
}

#[tokio::test]
async fn a_job_that_an_attempt_has_removed_is_removed() {
    let gone = || Act::problem(Code::JobNotFound);
    let script = [Act::bytes(204, ""), Act::Reset, gone(), gone()];
    let server = Server::start(script).await;
    let jobs = server.client().jobs();
    jobs.delete(job_id()).await.unwrap();
    jobs.delete(job_id()).await.unwrap();
    assert_eq!(jobs.delete(job_id()).await.unwrap_err().kind(), ErrorKind::NotFound);
    let method = JobDelete::INFO.method.as_str();
    assert!(server.seen().iter().all(|request| request.method == method));
}

#[tokio::test]
async fn agents_are_asked_for_by_name() {
    let server = Server::start([
        Act::json(200, &BTreeMap::from([("agents", [(); 0])])),
        Act::problem(Code::AgentNotFound),
    ])
    .await;
    let agents = server.client().agents();
    assert!(agents.list().await.unwrap().agents.is_empty());
    let err = agents.get(&"web-01".parse().unwrap()).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::NotFound);
    assert_eq!(server.seen()[1].uri, AgentGet::INFO.path.replace("{name}", "web-01"));
}

#[tokio::test]
async fn a_preview_asks_for_the_target_as_one_segment_of_the_path() {
    let host = TargetHost { name: "web-01".parse().unwrap(), state: AgentState::Ready };
    let target = "web-[01-20]&group:w?b.*,!db-*".to_owned();
    let preview = TargetPreview { target, count: 1, live: 1, ready: 1, hosts: vec![host] };
    let server = Server::start([Act::json(200, &preview), Act::problem(Code::NoMatch)]).await;
    let client = server.client();
    assert_eq!(client.target(&preview.target).preview().await.unwrap(), preview);
    let err = client.target("group:web").preview().await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::NotFound);
    let err = client.target("group:web,").preview().await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::InvalidRequest);
    let said = "target is wrong at column 11: a name, a label or a pattern is missing here";
    assert_eq!(err.to_string(), said);

    let uris: Vec<_> = server.seen().into_iter().map(|request| request.uri).collect();
    let path = |segment: &str| TargetGet::INFO.path.replace("{target}", segment);
    let first = path("web-%5B01-20%5D%26group%3Aw%3Fb.%2A%2C%21db-%2A");
    assert_eq!(uris, [first, path("group%3Aweb")], "what is no target is not sent");
}
