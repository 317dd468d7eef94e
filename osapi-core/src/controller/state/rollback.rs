//! A store that went back in time: noticed by what agents prove of it and by what was read of it before. Until a person has accepted
//! that, nothing is sent, claimed or made: what was recorded since is not known here.

use std::sync::Arc;

use super::{Effect, State};
use crate::auth::envelope::Signed;
use crate::auth::keys::{KeyRing, KeyUse};
use crate::backend::{Bucket, Cursor, StoreError};
use crate::id::{AgentName, Identity};
use crate::message::Seen;

/// That the store is not what it was.
#[derive(Debug)]
pub(super) struct Rollback {
    /// The latest ring that was known when it was noticed. What accepts it comes later.
    noticed_at: u64,
}

/// What an agent proved, to be compared with what the leader of the store says.
#[derive(Debug)]
pub(in crate::controller) struct Claimed {
    pub(in crate::controller) evidence: Evidence,
    agent: AgentName,
}

/// What was in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum Evidence {
    /// A report that stood there.
    Report(Cursor),
    /// The key ring of this serial.
    Ring(u64),
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
        } else {
            self.compare(identity, Evidence::Report(cursor));
        }
    }

    /// An agent shows a key ring, which counts whoever shows it. Rings reach agents by the store only.
    pub(super) fn on_later_ring(&mut self, identity: &Identity, signed: &Signed<KeyRing>) {
        if self.is_rolled_back() || self.is_comparing {
            return;
        }
        match KeyRing::open(signed, &self.shared.root) {
            Ok(ring) if ring.serial > self.keys.serial() => {
                self.compare(identity, Evidence::Ring(ring.serial));
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn compare(&mut self, identity: &Identity, evidence: Evidence) {
        if !std::mem::replace(&mut self.is_comparing, true) {
            let agent = identity.name.clone();
            self.effects.push(Effect::Compare(Claimed { evidence, agent }));
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

    /// The leader has said whether what was there is there.
    pub(in crate::controller) fn compared(
        &mut self,
        claimed: &Claimed,
        is_there: Result<bool, StoreError>,
    ) {
        self.is_comparing = false;
        let Claimed { agent, evidence } = claimed;
        match (is_there, evidence) {
            (Ok(true), _) => {}
            (Ok(false), Evidence::Report(cursor)) => self.roll_back(format!(
                "agent '{agent}' has a report at {}, and the store ends before that",
                cursor.0
            )),
            (Ok(false), Evidence::Ring(serial)) => self.roll_back(format!(
                "agent '{agent}' has key ring {serial}, and the store has none later than {}",
                self.keys.serial()
            )),
            // It is compared again at the next hello.
            (Err(err), _) => tracing::debug!(
                error = &err as &dyn std::error::Error,
                "whether the store went back in time cannot be read"
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
            self.is_outdated = true;
        }
    }

    /// Whether some of what was read is perhaps not in the store any more.
    pub(in crate::controller) fn must_begin_anew(&self) -> bool {
        self.is_outdated
    }

    /// Forgets what was read of the store, as at a start: no record counts because it was there once. Agents that were heard, keys that
    /// were removed, and key rings stay.
    pub(in crate::controller) fn begin_anew(&mut self) {
        tracing::warn!("everything in the store is read anew");
        self.is_outdated = false;
        self.has_read = false;
        self.read.clear();
        self.scans.clear();
        self.scanned.retain(|bucket| *bucket == Bucket::Keyrings);
        self.loading.clear();
        self.early.clear();
        self.verified.clear();
        self.unverified.clear();
        let jobs: Vec<_> = self.index.ids().collect();
        jobs.into_iter().for_each(|job| self.index.remove(job));
        self.publish_phase();
    }

    fn roll_back(&mut self, why: String) {
        if self.is_rolled_back() {
            return;
        }
        tracing::error!(
            why,
            "the store went back in time: nothing is sent until somebody has accepted that"
        );
        self.rollback = Some(Rollback { noticed_at: self.keys.serial() });
        self.shared.rolled_back.send_replace(Some(Arc::from(why)));
    }

    /// A person has accepted the store as it is: neither orders nor proofs of before are valid any more.
    pub(super) fn accept_restore(&mut self) {
        let serial = self.keys.restored();
        if self.rollback.as_ref().is_some_and(|rollback| rollback.noticed_at < serial) {
            tracing::warn!(serial, "the store as it is was accepted, under a new job key");
            self.rollback = None;
            self.shared.rolled_back.send_replace(None);
        }
        // Also if that it went back was never noticed here.
        self.is_outdated |= self.read.keys().any(|bucket| *bucket != Bucket::Keyrings);
    }
}
