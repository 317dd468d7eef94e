//! What agents say, and what the intake asks before it writes what they say.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Admission, Effect, Knowledge, State, damage};
use crate::backend::{Bucket, Key, StoreError};
use crate::clock::Timestamp;
use crate::controller::outbound::{Dispatchable, Outbound};
use crate::controller::roster::{Registered, Speaker};
use crate::id::{Digest, Identity, JobId};
use crate::job::view;
use crate::job::word::{Listed, ReceiptKind};
use crate::message::{
    Hello, Readiness, Receipt, Refusal, Refused, Registration, RegistrationRefusal, Welcome,
};

impl State {
    pub(in crate::controller) fn on_hello(&mut self, hello: Hello) {
        let now = self.now();
        let denied_before = self.roster.denials_of(&hello.identity.name);
        match self.roster.hear(&hello, now.boottime, now.wall) {
            Speaker::Agent => {}
            Speaker::FormerRun => {
                tracing::debug!(agent = %hello.identity.name, "a hello of a run that is over");
                return;
            }
            Speaker::Stranger(why) => {
                // Who just came in has no jobs and has seen nothing: what claims more is not worth the room.
                let is_small = hello.running.is_empty() && hello.accepted.is_empty();
                self.keep_out(&hello.identity, why.clone());
                if why == RegistrationRefusal::Unknown && is_small {
                    let hello = Hello { seen: None, later_ring: None, ..hello };
                    self.hellos.keep(hello.identity.clone(), hello, now.boottime);
                }
                return;
            }
        }
        if self.roster.is_alarm_due(&hello.identity.name, now.boottime) {
            tracing::error!(agent = %hello.identity.name, "two agents run with one key: neither is given work; remove it, and set both up anew");
        }
        // Again once it has doubled: what is denied is mostly tried again and again.
        if hello.denied.checked_ilog2() > denied_before.checked_ilog2() {
            tracing::error!(agent = %hello.identity.name, denied = hello.denied, "the broker denies an agent what it needs, or it tries what it must not");
        }
        if let Some(seen) = &hello.seen {
            self.on_seen(&hello.identity, seen);
        }
        let Hello { identity, instance, readiness, running, accepted, later_ring, .. } = hello;
        if let Some(ring) = &later_ring {
            self.on_later_ring(&identity, ring);
        }
        let known_ring = hello.ring;
        let running: HashSet<_> = running.into_iter().collect();
        let accepted: HashSet<_> = accepted.into_iter().collect();
        for job in self.index.open_jobs(&identity.name) {
            let listed = match () {
                () if running.contains(&job) => Listed::Running,
                () if accepted.contains(&job) => Listed::Accepted,
                () => Listed::No,
            };
            self.index.change(job, |tracked| {
                tracked.view.on_hello(&identity, instance, listed, now.wall);
                let Some(live) = tracked.live.as_deref_mut() else { return };
                match listed {
                    Listed::Running | Listed::Accepted if !live.has_cancel() => {
                        live.stop(&identity)
                    }
                    // What is not listed may be unknown there, or over: the repetition is also the question.
                    Listed::No | Listed::Running | Listed::Accepted => {
                        live.send_to(&identity, now.boottime)
                    }
                }
            });
        }
        self.keys.hear(known_ring);
        let serial = self.keys.serial();
        // Who has a later ring shows it in return.
        let asks_for_ring = known_ring > serial && later_ring.is_none() && !self.is_rolled_back();
        if readiness == Readiness::NotReady || known_ring < serial || asks_for_ring {
            self.welcome(&identity);
        }
    }

    /// Tells somebody that it is not let in, and why.
    pub(in crate::controller) fn keep_out(
        &mut self,
        identity: &Identity,
        why: RegistrationRefusal,
    ) {
        let now = self.now();
        let is_refused = match &why {
            RegistrationRefusal::NameTaken { .. }
            | RegistrationRefusal::Removed
            | RegistrationRefusal::Overtaken => true,
            // It is not known yet, or cannot be meant for this fleet.
            RegistrationRefusal::OtherFleet
            | RegistrationRefusal::Invalid
            | RegistrationRefusal::Unknown => false,
        };
        if is_refused && self.roster.note_stranger(identity, now.boottime, now.wall) {
            tracing::error!(agent = %identity.name, key = %identity.key, "refused: {why}");
        }
        let refused = Refused { identity: identity.clone(), why };
        self.effects
            .push(Effect::Send(identity.name.clone(), Outbound::Refused(Box::new(refused))));
    }

    pub(in crate::controller) fn on_receipt(&mut self, receipt: Receipt) {
        if self.roster.is_removed(&receipt.identity.key) {
            return;
        }
        if self.knowledge(receipt.job) == Knowledge::Nothing {
            if self.roster.knows(&receipt.identity) {
                self.receipts.keep(receipt.job, receipt, self.boottime());
            }
            return;
        }
        let Receipt { identity, instance, job, kind } = receipt;
        let now = self.now();
        self.index.change(job, |tracked| {
            tracked.view.on_receipt(&identity, instance, kind, now.wall);
            let Some(live) = tracked.live.as_deref_mut() else { return };
            live.answered(&identity, declines(kind), now.boottime);
            match kind {
                ReceiptKind::Accepted | ReceiptKind::Started { .. } if !live.has_cancel() => {
                    live.stop(&identity)
                }
                ReceiptKind::Accepted
                | ReceiptKind::Started { .. }
                | ReceiptKind::Busy
                | ReceiptKind::Refused(_) => {}
            }
        });
        // What it lacks is in a welcome; the order is sent again anyway.
        if let ReceiptKind::Refused(Refusal::UnknownKey | Refusal::NotReady) = kind
            && self.roster.knows(&identity)
        {
            self.welcome(&identity);
        }
    }

    /// An agent whose registration is in the store.
    pub(in crate::controller) fn registered(&mut self, registration: Registration, at: Timestamp) {
        let identity = registration.identity.clone();
        if let Some(seen) = self.scans.get_mut(&Bucket::Agents) {
            seen.insert(Key::of(&[&identity.name]));
        }
        if !self.roster.knows(&identity) {
            self.enroll(Registered { registration, at });
        }
        if self.roster.knows(&identity) {
            self.welcome(&identity);
        }
    }

    /// Takes an agent in. It may have said hello before this controller read of it, and does so again only seconds later.
    pub(super) fn enroll(&mut self, registered: Registered) {
        let identity = registered.registration.identity.clone();
        self.roster.register(registered);
        for hello in self.hellos.take(&identity) {
            self.on_hello(hello);
        }
    }

    fn welcome(&mut self, identity: &Identity) {
        let Some(ring) = self.keys.signed() else { return };
        let welcome = Welcome {
            identity: identity.clone(),
            ring: ring.clone(),
            wall: self.shared.clock.wall(),
            store: self.shared.store.id(),
            retention_s: self.shared.config.retention.as_secs(),
        };
        self.effects
            .push(Effect::Send(identity.name.clone(), Outbound::Welcome(Box::new(welcome))));
    }

    pub(in crate::controller) fn order_loaded(
        &mut self,
        job: JobId,
        result: Result<Dispatchable, StoreError>,
    ) {
        let now = self.boottime();
        let result = match result {
            Err(err @ StoreError::Damaged(_)) => {
                self.note_damage(job, &err);
                return;
            }
            result => result,
        };
        self.index.change(job, |tracked| {
            let Some(live) = tracked.live.as_deref_mut() else { return };
            match result {
                Ok(order) => live.set_order(Arc::new(order)),
                // It is read again when it would have been sent again.
                Err(err) => {
                    tracing::warn!(%job, error = &err as &dyn std::error::Error, "the order of a job cannot be read");
                    live.order_not_read(now);
                }
            }
        });
    }

    /// The records of a job do not fit together: it is shown as damaged from now on, and never sent. Why.
    pub(in crate::controller) fn note_damage(&mut self, job: JobId, err: &StoreError) -> Box<str> {
        tracing::error!(%job, error = err as &dyn std::error::Error, "a job is damaged: it is not sent");
        let reason = damage(err);
        self.index.change(job, |tracked| tracked.damaged = Some(reason.clone()));
        reason
    }
}

/// Whether an agent says that it does not take a job now. That there is a claim already makes nobody else's turn come.
fn declines(kind: ReceiptKind) -> bool {
    match kind {
        ReceiptKind::Busy => true,
        ReceiptKind::Refused(why) => why != Refusal::Claimed,
        ReceiptKind::Accepted | ReceiptKind::Started { .. } => false,
    }
}

/// What the intake asks.
impl State {
    pub(in crate::controller) fn admission(&self, job: JobId, identity: &Identity) -> Admission {
        if self.roster.is_removed(&identity.key) {
            return Admission::Removed;
        }
        let Some(tracked) = self.index.get(job) else { return Admission::NoJob };
        match tracked.view.admission(identity) {
            view::Admission::Open => Admission::Open,
            view::Admission::Present(facts) => Admission::Present(facts.signed),
            // Whom a job is for is not known while its host list cannot be read.
            _ if tracked.damaged.is_some() => Admission::NoJob,
            view::Admission::NotClaimed => match self.claims_of(tracked) {
                lost if lost.is_before_restore => Admission::ClaimLost(lost),
                claims => Admission::NotClaimed(claims.rule),
            },
            view::Admission::NotAddressed | view::Admission::NotTheirs => Admission::NotAddressed,
        }
    }

    /// These reports were verified and are being written: what comes back from the store need not be verified again.
    pub(in crate::controller) fn expect_reports(
        &mut self,
        digests: impl IntoIterator<Item = Digest>,
    ) {
        /// More than can be on their way: what failed to be written is forgotten.
        const MOST: usize = 65_536;
        if self.verified.len() > MOST {
            self.verified.clear();
        }
        self.verified.extend(digests);
    }
}
