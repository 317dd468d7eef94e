//! Endpoints that make a job: submit it, then wait for it.

use std::time::Duration;

use osapi_core::api::Endpoint;
use osapi_core::api::endpoints::{CommandExec, CommandShell, JobGet, JobRetry, NodeGet};
use osapi_core::api::params::{JobPath, RunQuery, TargetPath};
use osapi_core::api::types::JobResults;
use osapi_core::auth::authorize::Permit;
use osapi_core::controller::{Controller, Idempotency, RetrySubmission, Submission};
use osapi_core::id::JobId;
use osapi_core::job::Operation;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::handler::Call;
use crate::{idempotency, prefer};

pub(super) async fn exec(
    controller: Controller,
    permit: Permit,
    call: Call<CommandExec>,
) -> Outcome<JobResults> {
    let operation = Operation::Exec(call.body.clone());
    make_job(&controller, &permit, operation, call).await
}

pub(super) async fn shell(
    controller: Controller,
    permit: Permit,
    call: Call<CommandShell>,
) -> Outcome<JobResults> {
    let operation = Operation::Shell(call.body.clone());
    make_job(&controller, &permit, operation, call).await
}

pub(super) async fn facts(
    controller: Controller,
    permit: Permit,
    call: Call<NodeGet>,
) -> Outcome<JobResults> {
    make_job(&controller, &permit, Operation::Facts, call).await
}

pub(super) async fn retry(
    controller: Controller,
    permit: Permit,
    call: Call<JobRetry>,
) -> Outcome<JobResults> {
    let idempotency = idempotency(&call)?;
    let JobPath { id: job } = call.path;
    let (hosts, queue_for, arrived_at) = (call.body.hosts, call.query.queue_for, call.arrived_at);
    let retry = RetrySubmission { job, hosts, arrived_at, queue_for, idempotency };
    let job = controller.retry(&permit, retry).await?;
    answer(&controller, &permit, job, &call).await
}

async fn make_job<E>(
    controller: &Controller,
    permit: &Permit,
    operation: Operation,
    call: Call<E>,
) -> Outcome<JobResults>
where
    E: Endpoint<Path = TargetPath, Query = RunQuery>,
{
    let idempotency = idempotency(&call)?;
    let TargetPath { target } = call.path.clone();
    let (queue_for, arrived_at) = (call.query.queue_for, call.arrived_at);
    if let Some(time) = queue_for {
        time.check_target(&target).map_err(|invalid| Failure::parameter(&invalid))?;
    }

    let submission = Submission { operation, target, arrived_at, idempotency, queue_for };
    let job = controller.submit(permit, submission).await?;
    answer(controller, permit, job, &call).await
}

/// The outcome of the job that was made, or how it stands when the client does not want to wait any longer.
async fn answer<E: Endpoint<Query = RunQuery>>(
    controller: &Controller,
    permit: &Permit,
    job: JobId,
    call: &Call<E>,
) -> Outcome<JobResults> {
    let preferred = prefer::respond_async(&call.head.headers);
    let wait = if preferred { Some(0) } else { call.query.wait };
    let wait = wait.map(|seconds| Duration::from_secs(seconds.into()));
    let body = outcome(controller, permit, job, wait, &call.hurry).await?;
    if body.status.is_settled() {
        return Ok(Answer::Json(body));
    }
    let location = JobGet::location(job);
    Ok(Answer::Accepted { location, body, preferred })
}

fn idempotency<E: Endpoint>(call: &Call<E>) -> Result<Option<Idempotency>, Failure> {
    let key = idempotency::key(&call.head.headers)?;
    Ok(key.map(|key| {
        let (method, uri) = (E::INFO.method.as_str(), &call.head.uri);
        let body = idempotency::fingerprint(method, uri.path(), uri.query(), &call.bytes);
        Idempotency { key, body }
    }))
}

/// How the job stands once it is settled, `wait` is over, or there is a hurry. The job goes on in any case.
async fn outcome(
    controller: &Controller,
    permit: &Permit,
    job: JobId,
    wait: Option<Duration>,
    hurry: &CancellationToken,
) -> Result<JobResults, Failure> {
    // Asking is cancel-safe: it changes nothing.
    tokio::select! {
        biased;
        results = controller.results(permit, job, wait) => Ok(results?),
        () = hurry.cancelled() => Ok(controller.results(permit, job, Some(Duration::ZERO)).await?),
    }
}
