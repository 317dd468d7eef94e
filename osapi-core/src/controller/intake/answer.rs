//! Answers to agents, each signed with the job key.

use crate::auth::envelope::Signed;
use crate::controller::Shared;
use crate::controller::outbound::Outbound;
use crate::id::{Identity, JobId};
use crate::job::record::VERSION;
use crate::message::{Answer, AnswerKind, Position};

/// Answers an agent, once there is room for it.
pub(super) async fn answer(
    shared: &Shared,
    to: &Identity,
    job: JobId,
    kind: AnswerKind,
    at: Option<Position>,
) {
    let (fleet, identity) = (shared.fleet, to.clone());
    let answer = Answer { v: VERSION, fleet, identity, job, kind, at };
    match Signed::sign(&answer, &shared.job_key()) {
        Ok(signed) => shared.outbox.deliver(&to.name, Outbound::Answer(signed)).await,
        Err(err) => {
            tracing::error!(error = &err as &dyn std::error::Error, "an answer could not be signed")
        }
    }
}
