//! Keys that come and go: what is signed with a key that was retired is not sent any more, and jobs that were ordered under one end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Effect, State};
use crate::auth::envelope::Signed;
use crate::auth::keys::{KeyRing, KeyUse};
use crate::backend::Bucket;
use crate::clock::Timestamp;
use crate::controller::Phase;
use crate::controller::keybook::Standing;
use crate::controller::live::Live;
use crate::controller::state::From;
use crate::id::{JobId, KeyId};
use crate::job::limits::RESEND_MAX;
use crate::message::CancelOrder;

/// Most jobs that are being cancelled at once because their key was retired.
const AT_ONCE: usize = 16;

/// Jobs that are to end because the key under which they were ordered was retired.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    waiting: BTreeSet<JobId>,
    at_work: BTreeSet<JobId>,
    /// After a failure nothing is tried before this.
    not_before: Duration,
}

/// What a cancel is worth.
pub(super) enum Cancel {
    /// One of our job keys signed it.
    Authentic,
    /// It may be, once a later ring is read.
    Unknown,
    /// It is nothing that an agent would take.
    Worthless,
}

impl State {
    /// A ring that is in the store, or that the root key has just signed. Rings that do not verify count for nothing.
    pub(in crate::controller) fn take_ring(&mut self, signed: Signed<KeyRing>) {
        let ring = match KeyRing::open(&signed, &self.shared.root) {
            Ok(ring) => ring,
            Err(err) => {
                tracing::error!(
                    error = &err as &dyn std::error::Error,
                    "a key ring in the store does not verify: ignored"
                );
                return;
            }
        };
        let restored = self.keys.restored();
        let is_latest = self.keys.take(ring, signed);
        if self.keys.restored() > restored {
            self.accept_restore();
        }
        if !is_latest {
            return;
        }
        self.shared.ring.send_replace(self.keys.latest().cloned());
        // At the start agents are asked for hellos, which say what they know.
        if self.scanned.contains(&Bucket::Keyrings)
            && let Some(signed) = self.keys.signed()
        {
            self.effects.push(Effect::Announce(signed.clone()));
        }
        tracing::info!(serial = self.keys.serial(), "a new key ring is valid");
        self.check_signing_key();
        self.withdraw_retired();
        for (job, (cancel, at)) in std::mem::take(&mut self.unverified) {
            self.take_cancel(job, cancel, at, From::Elsewhere);
        }
    }

    /// Looks whether what this controller signs with is valid.
    pub(in crate::controller) fn check_signing_key(&mut self) {
        let id = self.shared.job_key().id();
        let was_valid = self.signs_validly;
        self.signs_validly = self.keys.standing(&id) == Standing::Valid;
        if !self.signs_validly && self.keys.latest().is_some() {
            tracing::error!(key = %id, "the job key of this server is not in the key ring: it takes no jobs until it has one that is");
        } else if self.signs_validly && !was_valid {
            tracing::info!(key = %id, "signing with this job key");
        }
    }

    /// How far this controller is, given whether it has read everything.
    pub(super) fn phase(&self, has_read: bool) -> Phase {
        match () {
            () if !has_read => Phase::Starting,
            () if self.signs_validly => Phase::Ready,
            () => Phase::KeyNotValid,
        }
    }

    /// Whether an order that was signed with this key may still be sent.
    pub(super) fn is_retired(&self, key: &KeyId) -> bool {
        self.keys.standing(key) == Standing::Retired
    }

    /// What was signed with a key that is not valid any more is not sent any more.
    fn withdraw_retired(&mut self) {
        let jobs: Vec<_> = self.index.live_ids().collect();
        for job in jobs {
            let keys = &self.keys;
            self.index.change(job, |tracked| {
                if let Some(live) = tracked.live.as_deref_mut() {
                    live.withdraw_cancel(|key| keys.standing(key) == Standing::Valid);
                }
            });
            self.note_orphan(job);
        }
    }

    /// Takes note of a job that is to end because its key was retired.
    pub(super) fn note_orphan(&mut self, job: JobId) {
        let Some(tracked) = self.index.get(job) else { return };
        let Some(live) = tracked.live.as_deref() else { return };
        let is_before_restore = self.is_before_restore(live);
        // What ran, and was reported to a store that lost it, is asked for again by the cancel.
        let is_open = is_before_restore || !tracked.view.is_settled();
        if is_open && tracked.view.cancel_requested_at().is_none() && self.is_retired(&live.key) {
            self.orphans.waiting.insert(job);
        }
        if is_before_restore {
            self.index.change(job, |tracked| {
                if let Some(live) = tracked.live.as_deref_mut() {
                    live.voiding.stop();
                }
            });
        }
    }

    /// Whether the store has gone back in time since a job was ordered. Then a claim that is not there may have been lost.
    pub(super) fn is_before_restore(&self, live: &Live) -> bool {
        self.keys.is_before_restore(&live.key)
    }

    /// Has jobs cancelled whose key was retired: nobody would take their orders any more, and what has begun under them ends.
    pub(super) fn end_orphans(&mut self, now: Duration) {
        let known = [Bucket::Jobs, Bucket::Cancels];
        if self.orphans.waiting.is_empty()
            || now < self.orphans.not_before
            || !self.signs_validly
            || self.linked != Some(true)
            || !self.knows(&known)
        {
            return;
        }
        while self.orphans.at_work.len() < AT_ONCE
            && let Some(job) = self.orphans.waiting.pop_first()
        {
            let Some(tracked) = self.index.get(job) else { continue };
            let Some(live) = tracked.live.as_deref() else { continue };
            let key = Arc::clone(&live.key);
            let facts = tracked.view.facts();
            let is_over = tracked.view.is_settled()
                || self.shared.clock.wall() > facts.not_after + facts.run_limit;
            let is_of_use = !is_over || self.is_before_restore(live);
            if !is_of_use || tracked.view.cancel_requested_at().is_some() {
                continue;
            }
            tracing::warn!(%job, %key, "the key of this job was retired: it is cancelled");
            self.orphans.at_work.insert(job);
            self.effects.push(Effect::Bar(Box::new(facts.clone()), key));
        }
    }

    /// A job was cancelled because its key was retired, or that failed and is tried again.
    pub(in crate::controller) fn orphan_ended(&mut self, job: JobId, is_done: bool) {
        self.orphans.at_work.remove(&job);
        if !is_done {
            self.orphans.not_before = self.boottime() + RESEND_MAX;
            self.note_orphan(job);
        }
    }

    /// What a cancel of `job` is worth.
    pub(super) fn judge_cancel(&self, job: JobId, cancel: &Signed<CancelOrder>) -> Cancel {
        let Some(ring) = self.keys.latest() else { return Cancel::Unknown };
        let standing = cancel.key_id().map(|key| self.keys.standing(&key));
        match ring.verify(cancel, KeyUse::Job) {
            Ok(body) if body.job == job => Cancel::Authentic,
            Ok(_) => Cancel::Worthless,
            Err(_) if standing == Ok(Standing::Unknown) => Cancel::Unknown,
            Err(_) => Cancel::Worthless,
        }
    }

    /// Keeps a cancel until a ring comes that knows its key.
    pub(super) fn keep_unverified(
        &mut self,
        job: JobId,
        cancel: Signed<CancelOrder>,
        at: Timestamp,
    ) {
        self.unverified.insert(job, (cancel, at));
    }

    /// How many jobs that are not settled were ordered under this key.
    pub(in crate::controller) fn open_jobs_under(&self, key: &KeyId) -> usize {
        let open = self.index.statuses_by_key();
        open.filter(|(status, of)| !status.is_settled() && *of == key).count()
    }
}
