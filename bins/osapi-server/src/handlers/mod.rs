//! The handlers: parameters and body in, an operation for the controller, its answer out. Each endpoint of the table has one.

mod agents;
mod command;
mod contract;
mod health;
mod jobs;
mod keys;
mod metrics;
mod output;
mod targets;

use osapi_core::api::endpoints::{
    AgentDelete, AgentGet, AgentsList, CommandExec, CommandShell, HealthDetails, HealthGet,
    HealthReady, JobCancel, JobDelete, JobGet, JobOutput, JobRetry, JobsList, KeysList,
    KeysPublish, MetricsGet, NodeGet, OpenApi, TargetGet,
};
use osapi_core::controller::{self, Controller};

use crate::answer::Answer;
use crate::failure::Failure;
use crate::router::Builder;

/// What a handler returns.
type Outcome<A> = Result<Answer<A>, Failure>;

/// Every handler at its endpoint.
pub(crate) fn router() -> Builder<Controller> {
    Builder::new()
        .mount::<CommandExec, _>(command::exec)
        .mount::<CommandShell, _>(command::shell)
        .mount::<NodeGet, _>(command::facts)
        .mount::<JobsList, _>(jobs::list)
        .mount::<JobGet, _>(jobs::get)
        .mount::<JobDelete, _>(jobs::delete)
        .mount::<JobCancel, _>(jobs::cancel)
        .mount::<JobRetry, _>(command::retry)
        .mount::<JobOutput, _>(output::get)
        .mount::<AgentsList, _>(agents::list)
        .mount::<AgentGet, _>(agents::get)
        .mount::<AgentDelete, _>(agents::delete)
        .mount::<TargetGet, _>(targets::get)
        .mount::<KeysList, _>(keys::list)
        .mount::<KeysPublish, _>(keys::publish)
        .mount_open::<HealthGet, _>(health::get)
        .mount_open::<HealthReady, _>(health::ready)
        .mount::<HealthDetails, _>(health::status)
        .mount::<MetricsGet, _>(metrics::get)
        .mount_open::<OpenApi, _>(contract::get)
}

impl From<controller::Error> for Failure {
    fn from(error: controller::Error) -> Self {
        Self::from(error.problem()).because(error)
    }
}
