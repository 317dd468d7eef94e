//! A store that went back in time: noticed by what agents prove of it and by what was read of it before. Until a person has accepted
//! that, nothing is sent, claimed or made: what was recorded since is not known here.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Effect, State};
use crate::auth::keys::{KeyRing, KeyUse};
use crate::backend::{Bucket, Cursor, StoreError};
use crate::id::{AgentName, Identity, PublicKey};
use crate::message::Seen;

/// That the store is not what it was.
#[derive(Debug)]
pub(super) struct Rollback {
    /// The job keys that were valid when it was noticed. Once none of them is any more, nothing of before is believed, by nobody.
    keys: BTreeSet<PublicKey>,
}

/// What an agent proved, to be compared with what the leader of the store says.
#[derive(Debug)]
pub(in crate::controller) struct Claimed {
    pub(in crate::controller) cursor: Cursor,
    agent: AgentName,
}

impl State {
    /// Whether the store went back in time.
    pub(super) fn is_rolled_back(&self) -> bool {
        self.rollback.is_some()
    }

    /// An agent says how far the store had come. Its word alone counts for nothing.
    pub(super) fn on_seen(&mut self, identity: &Identity, seen: &Seen) {
        let position = &seen.position;
        let is_other = position.store != self.shared.store.id();
        let cursor = Cursor(position.cursor);
        let is_behind = is_other || !self.has_read(Bucket::Reports, cursor);
        if self.is_rolled_back() || !is_behind || !self.is_proven(identity, seen) {
            return;
        }
        if is_other {
            let why = format!("agent '{}' has a report in another store", identity.name);
            self.roll_back(why);
        } else if !std::mem::replace(&mut self.is_comparing, true) {
            let agent = identity.name.clone();
            self.effects.push(Effect::Compare(Claimed { cursor, agent }));
        }
    }

    /// Whether a controller of this fleet told exactly that to exactly this agent, under a key that is valid.
    fn is_proven(&self, identity: &Identity, seen: &Seen) -> bool {
        let Some(ring) = self.keys.latest() else { return false };
        ring.verify(&seen.proof, KeyUse::Job).is_ok_and(|answer| {
            answer.fleet == self.shared.fleet
                && answer.identity == *identity
                && seen.position.bucket == Bucket::Reports.name()
                && answer.at.as_ref() == Some(&seen.position)
        })
    }

    /// The leader has said where the reports end.
    pub(in crate::controller) fn compared(
        &mut self,
        claimed: &Claimed,
        head: Result<Cursor, StoreError>,
    ) {
        self.is_comparing = false;
        match head {
            Ok(head) if head < claimed.cursor => {
                let Claimed { agent, cursor } = claimed;
                self.roll_back(format!(
                    "agent '{agent}' has a report at {}, and the store ends at {}",
                    cursor.0, head.0
                ));
            }
            Ok(_) => {}
            // It is compared again at the next hello.
            Err(err) => tracing::debug!(
                error = &err as &dyn std::error::Error,
                "the end of the reports cannot be read"
            ),
        }
    }

    /// A scan of `bucket` ended before what had been read of it.
    pub(super) fn on_scan_end(&mut self, bucket: Bucket, cursor: Cursor) {
        if let Some(read) = self.read.get(&bucket).copied()
            && read > cursor
        {
            self.read.insert(bucket, cursor);
            let why =
                format!("bucket {bucket} was read up to {}, and ends at {}", read.0, cursor.0);
            self.roll_back(why);
        }
    }

    fn roll_back(&mut self, why: String) {
        if self.is_rolled_back() {
            return;
        }
        tracing::error!(
            why,
            "the store went back in time: nothing is sent until somebody has accepted that"
        );
        let ring = self.keys.latest();
        self.rollback =
            Some(Rollback { keys: ring.map(|ring| job_keys(ring)).unwrap_or_default() });
        self.shared.rolled_back.send_replace(Some(Arc::from(why)));
    }

    /// A ring without any job key of before ends it: neither orders nor proofs of before are valid under it.
    pub(super) fn accept_restore(&mut self, ring: &KeyRing) {
        let is_over = self
            .rollback
            .as_ref()
            .is_some_and(|rollback| rollback.keys.is_disjoint(&job_keys(ring)));
        if is_over {
            tracing::warn!(
                serial = ring.serial,
                "the store as it is was accepted, under new job keys"
            );
            self.rollback = None;
            self.shared.rolled_back.send_replace(None);
        }
    }
}

fn job_keys(ring: &KeyRing) -> BTreeSet<PublicKey> {
    ring.keys.iter().filter(|key| key.usage == KeyUse::Job).map(|key| key.key).collect()
}
