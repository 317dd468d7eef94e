//! Whom a target means, without making a job.

use super::Controller;
use super::error::Error;
use super::reading::read_up;
use super::resolve::preview;
use crate::api::types::TargetPreview;
use crate::auth::authorize::Permit;
use crate::auth::permission::Permission;
use crate::backend::Bucket;
use crate::job::Target;

impl Controller {
    /// The hosts that a job for `target` would be meant for if it were made now.
    ///
    /// # Errors
    /// Without `agent:read`; when the controller is not ready; when a job could not be made either, because the target names no host, a
    /// host that is not known, or too many.
    pub async fn preview(&self, permit: &Permit, target: &Target) -> Result<TargetPreview, Error> {
        permit.require(&Permission::AGENT_READ)?;
        self.check_ready()?;
        read_up(&self.shared, Bucket::Agents).await?;
        let target = target.clone();
        self.shared.ask(move |state| preview(&target, &state.roster, state.boottime())).await?
    }
}
