//! Paths and methods, and routers that do not fit the table.

use osapi_core::api::endpoints::{CommandExec, HealthGet, JobCancel, JobGet};
use osapi_core::api::params::JobPath;
use osapi_core::api::types::Health;
use osapi_core::api::{Code, Endpoint, Entry};
use osapi_core::auth::authorize::Permit;
use osapi_core::clock::Timestamp;
use osapi_core::id::JobId;

use super::world::{Ask, World};
use crate::answer::Answer;
use crate::failure::Failure;
use crate::handler::Call;
use crate::limits::Limits;
use crate::router::{Builder, Fault};

async fn refuse<E: Endpoint>(_: (), _: Permit, _: Call<E>) -> Result<Answer<E::Answer>, Failure> {
    Err(Failure::new(Code::JobNotFound, "reached"))
}

async fn health(_: (), _: Call<HealthGet>) -> Result<Answer<Health>, Failure> {
    Ok(Answer::Json(Health { status: "ok".into() }))
}

async fn open_job(
    _: (),
    _: Call<JobGet>,
) -> Result<Answer<osapi_core::api::types::JobDetails>, Failure> {
    Err(Failure::new(Code::JobNotFound, "reached"))
}

async fn world() -> World {
    World::start((), Limits::default(), |builder| {
        let builder = builder
            .mount::<JobGet, _>(refuse)
            .mount::<JobCancel, _>(refuse)
            .mount_open::<HealthGet, _>(health);
        let table = vec![Entry::of::<JobGet>(), Entry::of::<JobCancel>(), Entry::of::<HealthGet>()];
        (builder, table)
    })
    .await
}

fn faults(builder: Builder<()>, table: &[Entry]) -> Vec<Fault> {
    builder.build(table).err().map(|err| err.0).unwrap_or_default()
}

#[test]
fn a_router_has_exactly_the_endpoints_of_the_table() {
    let table = [Entry::of::<JobGet>(), Entry::of::<JobCancel>()];
    let both = || Builder::new().mount::<JobGet, _>(refuse).mount::<JobCancel, _>(refuse);
    assert_eq!(faults(both(), &table), []);
    assert_eq!(
        faults(Builder::new(), &table),
        [Fault::Unmounted("job_get"), Fault::Unmounted("job_cancel")]
    );
    let twice = both().mount::<JobGet, _>(refuse);
    assert_eq!(faults(twice, &table), [Fault::MountedTwice("job_get")]);
    let more = both().mount::<CommandExec, _>(refuse);
    assert_eq!(faults(more, &table), [Fault::Undeclared("command_exec")]);
    let open = Builder::new().mount_open::<JobGet, _>(open_job).mount::<JobCancel, _>(refuse);
    assert_eq!(faults(open, &table), [Fault::Access("job_get")]);
    let error = Builder::<()>::new().build(&table).err().unwrap();
    assert_eq!(
        error.to_string(),
        "build a router: job_get has no handler, job_cancel has no handler"
    );
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let world = world().await;
    let known = HealthGet::INFO.path;
    for path in
        [format!("{known}/"), format!("{known}x"), format!("/x{known}"), "/".into(), "*".into()]
    {
        let reply = world.ask(&Ask { path, ..Ask::of::<HealthGet>(&()) }).await;
        assert_eq!(reply.problem().code, Code::NotFound);
    }
}

#[tokio::test]
async fn another_method_is_told_which_there_are() {
    let world = world().await;
    let id = JobId::new(Timestamp::from_unix_millis(0));
    let delete = osapi_core::api::Method::Delete.as_str();
    let reply = world.ask(&Ask { method: delete, ..Ask::of::<JobGet>(&JobPath { id }) }).await;
    assert_eq!(reply.problem().code, Code::MethodNotAllowed);
    assert_eq!(reply.header("allow"), Some(JobGet::INFO.method.as_str()));
    // No token is needed to learn that: the contract is public.
    let reply = world.ask(&Ask { method: "BREW", ..Ask::of::<HealthGet>(&()) }).await;
    assert_eq!(reply.status, 405);
}

#[tokio::test]
async fn parameters_are_refused_by_name_and_only_once_the_caller_is_known() {
    let world = world().await;
    let token = world.admin();
    let ask = Ask { path: JobGet::INFO.path.replace("{id}", "nonsense"), ..Ask::default() };
    let ask = Ask { method: JobGet::INFO.method.as_str(), ..ask };
    assert_eq!(world.ask(&ask).await.problem().code, Code::TokenMissing);
    let problem = world.ask(&ask.token(&token)).await.problem();
    assert_eq!((problem.code, problem.field.as_deref()), (Code::InvalidParameter, Some("id")));

    let id = JobId::new(Timestamp::from_unix_millis(0));
    let ask = Ask::of::<JobGet>(&JobPath { id }).query("wait=1&depth=2").token(&token);
    let problem = world.ask(&ask).await.problem();
    assert_eq!((problem.code, problem.field.as_deref()), (Code::InvalidParameter, Some("depth")));
    let ask = Ask::of::<JobGet>(&JobPath { id }).token(&token);
    assert_eq!(world.ask(&ask).await.problem().code, Code::JobNotFound, "reaches the handler");
}
