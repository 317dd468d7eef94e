//! A host: the agent, and what the rules have to know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use futures_util::FutureExt as _;

use super::super::world::*;
use super::orders::Life;
use crate::agent::journal::{Journal, MemoryJournal};
use crate::id::{Digest, JobId};
use crate::job::{Failure, Operation, Outcome, Submitter};

/// A host, or a copy of one.
pub(super) struct Host {
    pub(super) world: World,
    /// Which of the hosts it is, or was copied from.
    pub(super) place: usize,
    pub(super) life: Life,
    /// The journal of its second life.
    pub(super) next: Option<MemoryJournal>,
    /// Which jobs its policy refuses, one bit for each.
    refused: Arc<AtomicU8>,
    /// Jobs of which an authentic order came, or an authentic cancel.
    pub(super) vouched: BTreeSet<JobId>,
    pub(super) cancelled: BTreeSet<JobId>,
    /// Where a `yours` of the store's arrived.
    pub(super) granted: BTreeSet<JobId>,
    pub(super) started: BTreeSet<JobId>,
    /// What was started in this life.
    pub(super) owed: BTreeSet<JobId>,
    pub(super) told: BTreeMap<JobId, Digest>,
}

impl Host {
    pub(super) fn new(place: usize) -> Self {
        let refused = Arc::<AtomicU8>::default();
        let policy = Arc::clone(&refused);
        let mut world = World::named(["a", "b", "c"][place], |config| {
            (config.slots, config.queue) = (1, 2);
            config.admit = Arc::new(move |_: &Operation, submitter: &Submitter| {
                let n: usize = submitter.subject.parse().unwrap();
                match is_set(&policy, n) {
                    true => Err(Failure::new("policy", "not here")),
                    false => Ok(()),
                }
            });
        });
        world.syncs_at_once = false;
        let next = Some(MemoryJournal::new(world.header().binding));
        Self {
            world,
            place,
            life: Life::First,
            next,
            refused,
            vouched: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            granted: BTreeSet::new(),
            started: BTreeSet::new(),
            owed: BTreeSet::new(),
            told: BTreeMap::new(),
        }
    }

    pub(super) fn refuses(&self, n: usize) -> bool {
        is_set(&self.refused, n)
    }

    pub(super) fn report(&self, job: JobId) -> Option<(Digest, Outcome)> {
        let signed = self.world.journal.report(job).now_or_never().unwrap().unwrap()?;
        Some((signed.digest(), self.world.outcome(job)))
    }

    pub(super) fn change_policy(&self, n: usize) {
        self.refused.fetch_xor(1 << n, Ordering::Relaxed);
    }

    /// The journal is another from here on, and with it the identity. It can happen once.
    pub(super) fn wipe(&mut self) -> bool {
        let Some(journal) = self.next.take() else { return false };
        (self.world.journal, self.life) = (journal, Life::Second);
        for known in [&mut self.vouched, &mut self.cancelled, &mut self.granted, &mut self.owed] {
            known.clear();
        }
        self.told.clear();
        true
    }

    /// The host as its disk has it, on another machine.
    pub(super) fn copied(&self) -> Self {
        let mut world = World::named(["a", "b", "c"][self.place], |_| {});
        (world.journal, world.now) = (self.world.journal.copied(), self.world.now);
        (world.config, world.syncs_at_once) = (self.world.config.clone(), false);
        Self {
            world,
            place: self.place,
            life: self.life,
            next: None,
            refused: Arc::clone(&self.refused),
            vouched: self.vouched.clone(),
            cancelled: self.cancelled.clone(),
            granted: self.granted.clone(),
            started: self.started.clone(),
            owed: self.owed.clone(),
            told: self.told.clone(),
        }
    }
}

fn is_set(bits: &AtomicU8, n: usize) -> bool {
    bits.load(Ordering::Relaxed) >> n & 1 == 1
}
