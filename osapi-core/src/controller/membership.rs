//! Removing agents: a tombstone takes the place of the registration, and its key is refused from then on.

use super::Controller;
use super::error::Error;
use super::records::{self, AgentRecord, RemovedKey};
use super::registration;
use crate::auth::authorize::Permit;
use crate::auth::permission::Permission;
use crate::backend::{Bucket, Entry, Key, StoreError};
use crate::id::{AgentName, Identity};
use crate::job::record::VERSION;
use crate::message::RegistrationRefusal;

/// How often a removal is tried while others write the same record.
const TRIES: usize = 16;

impl Controller {
    /// Removes an agent: nothing more is sent to it, and whatever is signed with its key is refused. Another key may then be registered
    /// under the name. What it was given and has not reported ends by time.
    ///
    /// # Errors
    /// Without `agent:write`, when the controller is not ready, when there is no such agent, or when the store fails.
    pub async fn remove_agent(&self, permit: &Permit, name: &AgentName) -> Result<(), Error> {
        permit.require(&Permission::AGENT_WRITE)?;
        self.check_ready()?;
        let shared = &self.shared;
        let key = Key::of(&[name]);
        let mut removed = None;
        for _ in 0..TRIES {
            let entry = shared.store.get_latest(Bucket::Agents, &key).await?;
            let known = entry.as_ref().map(records::decode::<AgentRecord>).transpose()?;
            let (Some(Entry { revision, .. }), Some(known)) = (entry, known) else { break };
            let Some(identity) = self.registered(&known) else {
                // It is gone; by an update of ours whose answer was lost, or by somebody else's.
                if let Some(identity) = removed {
                    return self.removed(identity, known).await;
                }
                break;
            };
            let record = self.tombstone(permit, known, &identity);
            let bytes = records::encode(&record);
            match shared.store.update(Bucket::Agents, &key, bytes, revision).await {
                Ok(_) => return self.removed(identity, record).await,
                Err(StoreError::Conflict | StoreError::Unknown(_)) => removed = Some(identity),
                Err(err) => return Err(err.into()),
            }
        }
        Err(Error::AgentNotFound(name.clone()))
    }

    fn registered(&self, record: &AgentRecord) -> Option<Identity> {
        let signed = record.registration.as_ref()?;
        registration::open(signed, self.shared.fleet).map(|registration| registration.identity)
    }

    fn tombstone(&self, permit: &Permit, known: AgentRecord, agent: &Identity) -> AgentRecord {
        let at = self.shared.clock.wall();
        let AgentRecord { mut removed, .. } = known;
        removed.push(RemovedKey { key: agent.key, at, by: permit.subject().to_owned() });
        AgentRecord { v: VERSION, registration: None, registered_at: at, removed }
    }

    /// What is in the store counts here at once.
    async fn removed(&self, agent: Identity, record: AgentRecord) -> Result<(), Error> {
        tracing::warn!(agent = %agent.name, key = %agent.key, "removed from the fleet");
        let tell = move |state: &mut super::state::State| {
            state.take_agent(&agent.name, &record);
            state.keep_out(&agent, RegistrationRefusal::Removed);
        };
        self.shared.ask(tell).await
    }
}
