//! Endpoints about jobs that there are.

use std::time::Duration;

use osapi_core::api::endpoints::{JobCancel, JobDelete, JobGet, JobsList};
use osapi_core::api::types::{CancelAnswer, JobDetails, JobList};
use osapi_core::auth::authorize::Permit;
use osapi_core::controller::Controller;

use super::Outcome;
use crate::answer::Answer;
use crate::handler::Call;

pub(super) async fn list(
    controller: Controller,
    permit: Permit,
    call: Call<JobsList>,
) -> Outcome<JobList> {
    Ok(Answer::Json(controller.list(&permit, call.query).await?))
}

pub(super) async fn get(
    controller: Controller,
    permit: Permit,
    call: Call<JobGet>,
) -> Outcome<JobDetails> {
    let id = call.path.id;
    let wait = Duration::from_secs(call.query.wait.unwrap_or(0).into());
    // Asking is cancel-safe: it changes nothing.
    let details = tokio::select! {
        biased;
        details = controller.details(&permit, id, wait) => details?,
        () = call.hurry.cancelled() => controller.details(&permit, id, Duration::ZERO).await?,
    };
    Ok(Answer::Json(details))
}

pub(super) async fn delete(
    controller: Controller,
    permit: Permit,
    call: Call<JobDelete>,
) -> Outcome<()> {
    controller.delete(&permit, call.path.id).await?;
    Ok(Answer::Done)
}

pub(super) async fn cancel(
    controller: Controller,
    permit: Permit,
    call: Call<JobCancel>,
) -> Outcome<CancelAnswer> {
    Ok(Answer::Json(controller.cancel(&permit, call.path.id).await?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use osapi_core::api::endpoints::CommandExec;
    use osapi_core::api::params::{FollowQuery, JobPath, TargetPath};
    use osapi_core::api::types::JobResults;
    use osapi_core::auth::permission::Permission;
    use osapi_core::clock::{Clock as _, SystemClock};
    use osapi_core::job::{JobStatus, Target};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::tests::fleet::Fleet;
    use crate::tests::world::Ask;

    #[tokio::test]
    async fn who_follows_a_job_in_a_hurry_is_told_at_once_how_it_stands() {
        let fleet = Fleet::start().await;
        let token = fleet.world.admin();
        let ask = Ask::of::<CommandExec>(&TargetPath { target: Target::Any });
        let ask = ask.json(r#"{"command":"true"}"#).query("wait=0").token(&token);
        let made: JobResults = fleet.world.ask(&ask).await.json();

        let hurry = CancellationToken::new();
        hurry.cancel();
        let call = Call::<JobGet> {
            path: JobPath { id: made.job_id },
            query: FollowQuery { wait: Some(3600) },
            body: (),
            bytes: Bytes::new(),
            head: http::Request::new(()).into_parts().0,
            arrived_at: SystemClock.wall(),
            hurry,
        };
        let permit = Permit::for_tests("other", [Permission::JOB_READ]);
        let Ok(Answer::Json(details)) = get(fleet.controller.clone(), permit, call).await else {
            panic!("the job is shown");
        };
        assert_eq!(details.summary.status, JobStatus::Pending);
    }
}
