//! Endpoints over a controller: jobs are made, waited for, shown, cancelled and removed.

use osapi_core::api::endpoints::{
    AgentGet, AgentsList, CommandExec, CommandShell, HealthDetails, HealthReady, JobCancel,
    JobDelete, JobGet, JobsList, NodeGet, OpenApi,
};
use osapi_core::api::params::{AgentPath, JobPath, TargetPath};
use osapi_core::api::types::{
    AgentInfo, AgentList, AgentState, CancelAnswer, HealthStatus, JobDetails, JobList, JobResults,
};
use osapi_core::api::{Code, Endpoint};
use osapi_core::auth::permission::Permission;
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::id::JobId;
use osapi_core::job::{
    ClaimRule, Exec, ExecutionState, JobStatus, Operation, Outcome, Shell, Target,
};

use super::fleet::Fleet;
use super::world::{Ask, Wire};

fn to<'a, E: Endpoint<Path = TargetPath>>(target: &str) -> Ask<'a> {
    Ask::of::<E>(&TargetPath { target: target.parse().unwrap() })
}

fn exec<'a>() -> Ask<'a> {
    to::<CommandExec>(Target::ANY).json(r#"{"command":"uname","args":["-a"]}"#)
}

/// Sends a request and does not wait for its answer.
async fn send(fleet: &Fleet, ask: &Ask<'_>) -> Wire {
    let mut wire = fleet.world.connect().await;
    wire.send(ask).await;
    wire
}

#[tokio::test]
async fn a_command_waits_for_its_outcome() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.token(&[Permission::COMMAND_EXECUTE]);
    let mut wire = send(&fleet, &exec().token(&token)).await;
    let (job, operation) = fleet.agent.job().await;
    let uname = Exec { args: vec!["-a".into()], ..Exec::new("uname") };
    assert_eq!(operation, Operation::Exec(uname));
    fleet.agent.report(job, Outcome::Exited { code: 3 }, b"Linux\n").await;
    let reply = wire.reply().await;
    assert_eq!((reply.status, reply.header("location")), (200, None), "a failed host is data");
    let results: JobResults = reply.json();
    assert_eq!((results.job_id, results.status), (job, JobStatus::Failed));
    let host = &results.results[0];
    assert_eq!((host.hostname.as_str(), host.status), ("web-01", ExecutionState::Failed));
    assert_eq!((host.exit_code, host.stdout.as_deref()), (Some(3), Some("Linux\n")));
}

#[tokio::test]
async fn a_script_and_the_facts_take_the_same_way() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.token(&[Permission::COMMAND_EXECUTE]);
    let shell = to::<CommandShell>("web-01").json(r#"{"command":"a | b","timeout":9}"#);
    let mut wire = send(&fleet, &shell.token(&token)).await;
    let (job, operation) = fleet.agent.job().await;
    assert_eq!(operation, Operation::Shell(Shell { timeout: 9, ..Shell::new("a | b") }));
    fleet.agent.report(job, Outcome::Exited { code: 0 }, b"").await;
    assert_eq!(wire.reply().await.json::<JobResults>().status, JobStatus::Completed);

    let token = fleet.world.token(&[Permission::NODE_READ]);
    let mut wire = send(&fleet, &to::<NodeGet>("_all").token(&token)).await;
    let (job, operation) = fleet.agent.job().await;
    assert_eq!(operation, Operation::Facts);
    let value = serde_json::json!({ "hostname": "web-01" });
    fleet.agent.report(job, Outcome::Returned { value: value.clone() }, b"").await;
    let results: JobResults = wire.reply().await.json();
    assert_eq!(results.results[0].value.as_ref(), Some(&value));
}

#[tokio::test]
async fn who_does_not_wait_is_told_where_the_job_is() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.token(&[Permission::COMMAND_EXECUTE]);
    let preferred = exec().header("prefer", "respond-async");
    for (ask, applied) in [(preferred, Some("respond-async")), (exec().query("wait=0"), None)] {
        let reply = fleet.world.ask(&ask.token(&token)).await;
        let results: JobResults = reply.json();
        assert_eq!((reply.status, results.status), (202, JobStatus::Pending));
        assert_eq!(reply.header("location"), Some(JobGet::location(results.job_id).as_str()));
        assert_eq!(reply.header("preference-applied"), applied);

        // The job goes on, and its own submitter finds it there.
        let at = Ask { path: reply.header("location").unwrap().into(), ..Ask::default() };
        let at = Ask { method: JobGet::INFO.method.as_str(), ..at }.query("wait=60").token(&token);
        let mut wire = send(&fleet, &at).await;
        let (job, _) = fleet.agent.job().await;
        fleet.agent.report(job, Outcome::Exited { code: 0 }, b"x").await;
        let details: JobDetails = wire.reply().await.json();
        assert_eq!(details.summary.job_id, results.job_id);
        assert_eq!(details.summary.status, JobStatus::Completed);
    }
}

#[tokio::test]
async fn a_client_that_leaves_does_not_cancel_its_job() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let wire = send(&fleet, &exec().token(&token)).await;
    let (job, _) = fleet.agent.job().await;
    drop(wire);
    fleet.agent.report(job, Outcome::Exited { code: 0 }, b"").await;
    let ask = Ask::of::<JobGet>(&JobPath { id: job }).query("wait=60").token(&token);
    let details: JobDetails = fleet.world.ask(&ask).await.json();
    assert_eq!(details.summary.status, JobStatus::Completed);
}

#[tokio::test]
async fn who_waits_at_the_end_of_the_server_is_told_where_the_job_is() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let mut waiting = send(&fleet, &exec().token(&token)).await;
    let (job, _) = fleet.agent.job().await;
    fleet.world.shutdown.cancel();
    let reply = waiting.reply().await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.header("location"), Some(JobGet::location(job).as_str()));
    assert_eq!(reply.header("preference-applied"), None);
    assert_eq!(reply.json::<JobResults>().job_id, job);
    assert_eq!(fleet.world.ended().await, crate::Ended::Drained);
}

#[tokio::test]
async fn the_same_key_and_request_are_the_same_job() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let ask = || exec().header("idempotency-key", "k-1").token(&token);
    let first: JobResults = fleet.world.ask(&ask().query("wait=0")).await.json();
    let (job, _) = fleet.agent.job().await;
    fleet.agent.report(job, Outcome::Exited { code: 0 }, b"").await;
    let again: JobResults = fleet.world.ask(&ask().query("wait=60")).await.json();
    assert_eq!((again.job_id, again.status), (first.job_id, JobStatus::Completed));

    let other = Ask { body: Some(br#"{"command":"rm"}"#), ..ask() };
    assert_eq!(fleet.world.ask(&other).await.problem().code, Code::IdempotencyConflict);
    let elsewhere = to::<CommandExec>("web-01").json(r#"{"command":"uname","args":["-a"]}"#);
    let elsewhere = elsewhere.header("idempotency-key", "k-1").token(&token);
    assert_eq!(fleet.world.ask(&elsewhere).await.problem().code, Code::IdempotencyConflict);
    let bad = exec().header("idempotency-key", "a b").token(&token);
    assert_eq!(fleet.world.ask(&bad).await.problem().code, Code::InvalidHeader);
    assert!(fleet.agent.given().is_none(), "one job in all");
}

#[tokio::test]
async fn how_long_hosts_are_waited_for_is_the_jobs_deadline() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let ask = |query: &str| {
        let ask = to::<CommandExec>("web-01").json(r#"{"command":"uname"}"#).query(query);
        ask.header("idempotency-key", "k-1").token(&token)
    };
    let made: JobResults = fleet.world.ask(&ask("wait=0&queue_for=7200")).await.json();
    assert_eq!(fleet.agent.job().await.0, made.job_id);
    let get = Ask::of::<JobGet>(&JobPath { id: made.job_id }).token(&token);
    let details: JobDetails = fleet.world.ask(&get).await.json();
    let waits = details.summary.not_after.since(details.summary.created_at);
    assert_eq!((waits.as_secs(), details.claim), (7200, ClaimRule::Host));
    // Another time is another request.
    let other = fleet.world.ask(&ask("wait=0&queue_for=60")).await.problem();
    assert_eq!(other.code, Code::IdempotencyConflict);

    let any = to::<NodeGet>(Target::ANY).query("queue_for=60");
    let bad = [exec().query("queue_for=60"), any, to::<NodeGet>("web-01").query("queue_for=0")];
    for ask in bad {
        let problem = fleet.world.ask(&ask.token(&token)).await.problem();
        let found = (problem.code, problem.field.as_deref());
        assert_eq!(found, (Code::InvalidParameter, Some("queue_for")), "{problem:?}");
    }
}

#[tokio::test]
async fn what_is_out_of_bounds_makes_no_job() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    for (body, field, bound) in [
        (r#"{"command":""}"#, "command", "the name or path of a program"),
        (r#"{"command":"ls","timeout":0}"#, "timeout", "1 to 300 seconds"),
        (r#"{"command":"ls","timeout":301}"#, "timeout", "1 to 300 seconds"),
        (r#"{"command":"ls","args":["a\u0000"]}"#, "args[0]", "free of NUL bytes"),
    ] {
        let ask = to::<CommandExec>(Target::ANY).json(body).token(&token);
        let problem = fleet.world.ask(&ask).await.problem();
        assert_eq!(problem.code, Code::InvalidValue, "{body}");
        assert_eq!(problem.field.as_deref(), Some(field));
        assert_eq!(problem.bound.as_deref(), Some(bound));
        assert!(problem.value.is_some());
    }
    let unknown = to::<CommandExec>("web-02").json(r#"{"command":"ls"}"#).token(&token);
    assert_eq!(fleet.world.ask(&unknown).await.problem().code, Code::HostNotFound);
    let template = CommandExec::INFO.path;
    for target in ["%20", "a%2Fb", "a%20b", "_some"] {
        let path = template.replace("{target}", target);
        let problem = fleet.world.ask(&Ask { path, ..unknown.clone() }).await.problem();
        assert_eq!(problem.code, Code::InvalidParameter, "{target}");
        assert_eq!(problem.field.as_deref(), Some("target"));
    }
    assert!(fleet.agent.given().is_none());
}

#[tokio::test]
async fn jobs_are_listed_cancelled_and_removed() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let made: JobResults = fleet.world.ask(&exec().query("wait=0").token(&token)).await.json();
    let path = JobPath { id: made.job_id };
    let list: JobList = fleet.world.ask(&Ask::of::<JobsList>(&()).token(&token)).await.json();
    assert_eq!(list.jobs.iter().map(|job| job.job_id).collect::<Vec<_>>(), [made.job_id]);

    let delete = Ask::of::<JobDelete>(&path).token(&token);
    assert_eq!(fleet.world.ask(&delete).await.problem().code, Code::JobUnfinished);
    let cancel = Ask::of::<JobCancel>(&path).token(&token);
    let answer: CancelAnswer = fleet.world.ask(&cancel).await.json();
    assert_eq!(answer.job_id, made.job_id);
    let (job, _) = fleet.agent.job().await;
    fleet.agent.report(job, Outcome::Cancelled, b"").await;
    let get = Ask::of::<JobGet>(&path).query("wait=60").token(&token);
    let details: JobDetails = fleet.world.ask(&get).await.json();
    assert_eq!(details.summary.status, JobStatus::Cancelled);
    assert_eq!(fleet.world.ask(&cancel).await.status, 200, "a cancel may be repeated");
    assert_eq!(fleet.world.ask(&delete).await.status, 204);
    let problem = fleet.world.ask(&get).await.problem();
    assert_eq!((problem.code, problem.job_id), (Code::JobNotFound, Some(made.job_id)));
}

#[tokio::test]
async fn what_has_ended_cannot_be_cancelled() {
    let mut fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let mut wire = send(&fleet, &exec().token(&token)).await;
    let (id, _) = fleet.agent.job().await;
    fleet.agent.report(id, Outcome::Exited { code: 0 }, b"").await;
    assert_eq!(wire.reply().await.status, 200);
    let cancel = Ask::of::<JobCancel>(&JobPath { id }).token(&token);
    assert_eq!(fleet.world.ask(&cancel).await.problem().code, Code::JobSettled);
}

#[tokio::test]
async fn the_job_of_another_is_not_theirs_to_cancel() {
    let mut fleet = Fleet::start().await;
    let admin = fleet.world.admin();
    fleet.world.ask(&exec().query("wait=0").token(&admin)).await;
    let (id, _) = fleet.agent.job().await;
    let other = fleet.world.token_of("other@example.com", &[Permission::COMMAND_EXECUTE]);
    let ask = Ask::of::<JobCancel>(&JobPath { id }).token(&other);
    let problem = fleet.world.ask(&ask).await.problem();
    assert_eq!(problem.missing_permission.as_deref(), Some("job:write"));
    let ask = Ask::of::<JobGet>(&JobPath { id }).token(&other);
    let problem = fleet.world.ask(&ask).await.problem();
    assert_eq!(problem.missing_permission.as_deref(), Some("job:read"));
}

#[tokio::test]
async fn agents_and_health_are_shown() {
    let fleet = Fleet::start().await;
    let token = fleet.world.admin();
    let list: AgentList = fleet.world.ask(&Ask::of::<AgentsList>(&()).token(&token)).await.json();
    assert_eq!(list.agents.len(), 1);
    let one = |name: &str| AgentPath { name: name.parse().unwrap() };
    let agent = Ask::of::<AgentGet>(&one("web-01")).token(&token);
    let agent: AgentInfo = fleet.world.ask(&agent).await.json();
    assert_eq!((agent.name.as_str(), agent.state), ("web-01", AgentState::Ready));
    let missing = Ask::of::<AgentGet>(&one("web-02")).token(&token);
    assert_eq!(fleet.world.ask(&missing).await.problem().code, Code::AgentNotFound);
    let health: HealthStatus =
        fleet.world.ask(&Ask::of::<HealthDetails>(&()).token(&token)).await.json();
    assert_eq!((health.status.as_str(), health.ready), ("ok", true));
    assert_eq!(fleet.world.ask(&Ask::of::<HealthReady>(&())).await.status, 200);
}

#[tokio::test]
async fn the_contract_is_served() {
    let fleet = Fleet::start().await;
    let served: serde_json::Value = fleet.world.ask(&Ask::of::<OpenApi>(&())).await.json();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let golden = std::fs::read_to_string(golden).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    assert!(served == golden, "docs/openapi.json is stale");
}

#[tokio::test]
async fn a_server_whose_controller_has_stopped_says_so() {
    let fleet = Fleet::start().await;
    let token = fleet.world.admin();
    fleet.controller.stop().await;
    let problem = fleet.world.ask(&exec().token(&token)).await.problem();
    assert_eq!(problem.status, 503, "{problem:?}");
    let id = JobId::new(SystemClock.wall());
    let ask = Ask::of::<JobGet>(&JobPath { id }).token(&token);
    assert_eq!(fleet.world.ask(&ask).await.problem().status, 503);
}
