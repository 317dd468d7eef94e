//! What a controller knows, and what follows from each thing that it learns. No I/O: what is to be done is handed out as [`Effect`]s.
//!
//! Here is what time brings; [`told`] is what the store tells, [`words`] what agents say, [`sending`] what goes out to them,
//! [`claims`] what there is to claim, [`keys`] what becomes of things when keys change, [`rollback`] what a store that went back means.

mod claims;
mod keys;
mod overheard;
mod rollback;
mod sending;
mod told;
mod words;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::claim::Claims;
use super::index::Index;
use super::keybook::KeyBook;
use super::orders::WantedOrder;
use super::outbound::Outbound;
use super::pump;
use super::roster::Roster;
use super::{Now, Shared};
use crate::api::types::{AgentInfo, AgentState};
use crate::auth::envelope::Signed;
use crate::auth::keys::KeyRing;
use crate::backend::{Bucket, Cursor, Entry, Key, StoreError};
use crate::clock::Timestamp;
use crate::id::{AgentName, Digest, Identity, JobId, KeyId};
use crate::job::facts::JobFacts;
use crate::job::limits::{ANSWERS_WITHIN, CONNECTED_MIN, SKEW_MAX};
use crate::job::{ClaimRecord, ClaimRule, JobRecord};
use crate::message::{CancelOrder, Hello, Receipt};
use keys::Orphans;
use overheard::Overheard;
use rollback::Rollback;

pub(super) use claims::Terms;
pub(super) use rollback::{Claimed, Evidence};
pub(super) use told::From;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Effect {
    Send(AgentName, Outbound),
    LoadHosts(Box<JobRecord>),
    LoadOrder(WantedOrder),
    /// To create these claims of a job.
    Void(JobId, Vec<ClaimRecord>),
    Remove(JobId),
    /// To ask the leader about what an agent has proved.
    Compare(Claimed),
    /// To tell every agent that these keys are valid now.
    Announce(Signed<KeyRing>),
    /// The job ends because this key, under which it was ordered, was retired.
    Bar(Box<JobFacts>, Arc<KeyId>),
}

/// Whether a report may be stored, as far as is known without verifying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It would be the first, once it verifies.
    Open,
    /// One is there: this is its hash.
    Present(Digest),
    /// The job is not for that agent, or its claim is another's or void.
    NotAddressed,
    /// It needs a claim by this rule, and none is known yet.
    NotClaimed(ClaimRule),
    /// It needs a claim, and the store has perhaps lost that one.
    ClaimLost(Claims),
    /// There is no such job here.
    NoJob,
    /// The agent was removed.
    Removed,
}

/// How much is known of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knowledge {
    Known,
    /// It was there, and is no longer shown.
    Removed,
    /// It may be in the store, and was not told yet.
    Nothing,
}

/// Most receipts that are kept for jobs that were not read yet.
const RECEIPTS_MAX: usize = 32_768;
/// Most hellos that are kept for registrations that were not read yet.
const HELLOS_MAX: usize = 4096;
/// Most removals that go on at once.
const REMOVALS_MAX: usize = 64;

/// What is known.
pub(super) struct State {
    shared: Arc<Shared>,
    pub(super) roster: Roster,
    pub(super) index: Index,
    pub(super) keys: KeyBook,
    /// Whether the key with which this controller signs is valid.
    signs_validly: bool,
    /// Cancels whose key is in no ring that was read yet.
    unverified: HashMap<JobId, (Signed<CancelOrder>, Timestamp)>,
    orphans: Orphans,
    effects: Vec<Effect>,
    /// Per bucket, up to where it was read.
    read: HashMap<Bucket, Cursor>,
    /// Per bucket that is being scanned and in which what is not told is gone, the keys that are there.
    scans: HashMap<Bucket, HashSet<Key>>,
    scanned: HashSet<Bucket>,
    /// Job records whose host lists are being read.
    loading: HashSet<JobId>,
    /// Records that came before their job.
    early: HashMap<JobId, Early>,
    removed: HashSet<JobId>,
    /// Jobs whose removal goes on.
    removing: HashSet<JobId>,
    /// Jobs whose claims are being made void.
    voidings: usize,
    /// Reports that this controller has verified and is writing.
    verified: HashSet<Digest>,
    /// Receipts for jobs that are not known yet.
    receipts: Overheard<JobId, Receipt>,
    /// Hellos of agents whose registration was not read yet.
    hellos: Overheard<Identity, Hello>,
    /// Whether orders wait for room in the outbox.
    is_held_back: bool,
    /// The store went back in time.
    rollback: Option<Rollback>,
    /// Some of what was read is perhaps not in the store any more.
    is_outdated: bool,
    /// Whether what an agent proved is being compared with the store.
    is_comparing: bool,
    /// Whether everything in the store was read once.
    has_read: bool,
    linked: Option<bool>,
    connected_since: Option<Now>,
    /// When what is known was last current.
    current: Timestamp,
    awaited: Vec<(Awaited, oneshot::Sender<()>)>,
    started: Now,
}

/// Records that came before their job.
#[derive(Debug, Default)]
struct Early {
    records: Vec<(Bucket, Entry)>,
    /// They were there before the present scan of the jobs began: if it does not tell their job, it is no more.
    awaits_scan: bool,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    Read(Bucket, Cursor),
    Job(JobId),
}

impl State {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            roster: Roster::default(),
            index: Index::new(shared.config.retention),
            keys: KeyBook::default(),
            signs_validly: false,
            unverified: HashMap::new(),
            orphans: Orphans::default(),
            effects: Vec::new(),
            read: HashMap::new(),
            scans: HashMap::new(),
            scanned: HashSet::new(),
            loading: HashSet::new(),
            early: HashMap::new(),
            removed: HashSet::new(),
            removing: HashSet::new(),
            voidings: 0,
            verified: HashSet::new(),
            receipts: Overheard::at_most(RECEIPTS_MAX),
            hellos: Overheard::at_most(HELLOS_MAX),
            is_held_back: false,
            rollback: None,
            is_outdated: false,
            is_comparing: false,
            has_read: false,
            linked: None,
            connected_since: None,
            current: shared.clock.wall(),
            awaited: Vec::new(),
            started: Now { wall: shared.clock.wall(), boottime: shared.clock.boottime() },
            shared,
        }
    }

    pub(super) fn boottime(&self) -> Duration {
        self.shared.clock.boottime()
    }

    fn now(&self) -> Now {
        Now { wall: self.shared.clock.wall(), boottime: self.boottime() }
    }

    /// The wall clock, as far as it has not run ahead of the time that has passed since the start. A clock that steps forward must not
    /// make every job look past its retention: what is removed does not come back.
    fn unstepped(&self, now: Now) -> Timestamp {
        let passed = now.boottime.saturating_sub(self.started.boottime);
        now.wall.min(self.started.wall + passed + SKEW_MAX)
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether the backends can be reached. `true` if they just came up.
    pub(super) fn set_linked(&mut self, up: bool) -> bool {
        if self.linked == Some(up) {
            return false;
        }
        self.linked = Some(up);
        self.listen_anew();
        up
    }

    /// What was not heard until now says nothing about silence.
    pub(super) fn listen_anew(&mut self) {
        let now = (self.linked == Some(true)).then(|| self.now());
        self.connected_since = now;
        self.roster.set_listening(now.map(|now| now.boottime));
    }

    /// How long agents may still take to answer the ping of this connection; `None` once they had their time.
    pub(super) fn answers_due(&self) -> Option<Duration> {
        let since = self.connected_since?.boottime;
        (since + ANSWERS_WITHIN).checked_sub(self.boottime()).filter(|left| !left.is_zero())
    }

    /// When something is due, as a moment of the boottime clock.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let due = self.index.next_due();
        let now = self.now();
        // Silence means nothing before this controller has been connected for a while, nor while it is not.
        let meaningful = self.connected_since.map(|since| since.wall + CONNECTED_MIN);
        let settle = due.settle.zip(meaningful).map(|(settle, meaningful)| settle.max(meaningful));
        // The end of a removal makes room for the next.
        let remove = due.remove.filter(|_| self.removing.len() < REMOVALS_MAX);
        let settle = settle.map(|at| now.boottime + at.since(now.wall));
        let void = due.void.filter(|_| self.may_void());
        let void = void.map(|at| now.boottime + at.since(now.wall));
        let remove = remove.map(|at| now.boottime + at.since(self.unstepped(now)));
        let send = due.send.filter(|_| !self.is_held_back && !self.is_rolled_back());
        [send, void, settle, remove].into_iter().flatten().min()
    }

    /// Does whatever is due.
    pub(super) fn tick(&mut self) {
        let now = self.now();
        if self.linked == Some(true) {
            self.current = now.wall;
        }
        let since = self.connected_since.map(|since| since.wall);
        for job in self.index.due_to_settle(self.current) {
            let current = self.current;
            self.index.change(job, |tracked| tracked.view.settle(current, since));
        }
        self.void_due(now);
        self.send_all_due(now);
        let room = REMOVALS_MAX.saturating_sub(self.removing.len());
        for job in self.index.due_to_remove(self.unstepped(now), room) {
            self.remove(job);
        }
        self.tell_awaited();
        self.end_orphans(now.boottime);
        self.publish_phase();
    }

    fn publish_phase(&mut self) {
        // Read once is read for good: a rescan or a new job does not make what is known unknown.
        self.has_read |= pump::PHASES.iter().all(|buckets| self.knows(buckets));
        let phase = self.phase(self.has_read);
        self.shared.phase.send_if_modified(|was| std::mem::replace(was, phase) != phase);
    }

    /// Every registered agent, by name.
    pub(super) fn agents(&self) -> Vec<AgentInfo> {
        let now = self.now();
        self.roster.all(now.boottime, now.wall)
    }

    pub(super) fn agent(&self, name: &AgentName) -> Option<AgentInfo> {
        let now = self.now();
        self.roster.info(name, now.boottime, now.wall)
    }

    /// The names under which a key was refused lately.
    pub(super) fn refused_agents(&self) -> impl Iterator<Item = &AgentName> {
        self.roster.refused(self.now().wall)
    }

    /// How many agents are in each state.
    pub(super) fn agent_counts(&self) -> [(AgentState, u32); AgentState::ALL.len()] {
        let mut counts = AgentState::ALL.map(|state| (state, 0));
        for state in self.roster.states(self.boottime()) {
            let count = counts.iter_mut().find(|(counted, _)| *counted == state);
            count.into_iter().for_each(|(_, count)| *count += 1);
        }
        counts
    }

    /// Starts to remove a job, unless that goes on already.
    fn remove(&mut self, job: JobId) {
        if self.removing.insert(job) {
            self.effects.push(Effect::Remove(job));
        }
    }

    /// A removal has ended, well or not.
    pub(super) fn removal_ended(&mut self, job: JobId) {
        self.removing.remove(&job);
    }

    /// The job is removed: it is no longer shown, sent or judged.
    pub(super) fn forget(&mut self, job: JobId) {
        if let Some(seen) = self.scans.get_mut(&Bucket::Removed) {
            seen.insert(Key::of(&[&job]));
        }
        self.removed.insert(job);
        self.index.remove(job);
        self.early.remove(&job);
        self.unverified.remove(&job);
    }

    /// How much is known of a job.
    pub(super) fn knowledge(&self, job: JobId) -> Knowledge {
        match self.index.get(job) {
            Some(_) => Knowledge::Known,
            None if self.removed.contains(&job) => Knowledge::Removed,
            None => Knowledge::Nothing,
        }
    }

    /// Whether the host list of a job is wanted.
    pub(super) fn awaits_hosts(&self, job: JobId) -> bool {
        self.loading.contains(&job)
    }

    /// Host lists that are being read.
    pub(super) fn loads(&self) -> usize {
        self.loading.len()
    }

    /// Told once everything up to `cursor` of `bucket` has been read.
    pub(super) fn read_up_to(&mut self, bucket: Bucket, cursor: Cursor) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.awaited.push((Awaited::Read(bucket, cursor), tell));
        told
    }

    /// Told once the job is known.
    pub(super) fn known(&mut self, job: JobId) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.awaited.push((Awaited::Job(job), tell));
        told
    }

    fn tell_awaited(&mut self) {
        let awaited = std::mem::take(&mut self.awaited);
        for (what, tell) in awaited {
            let has_come = match what {
                Awaited::Read(bucket, cursor) => self.has_read(bucket, cursor),
                Awaited::Job(job) => self.knowledge(job) != Knowledge::Nothing,
            };
            match has_come {
                // Whoever waited may have gone.
                true => {
                    tell.send(()).ok();
                }
                false if tell.is_closed() => {}
                false => self.awaited.push((what, tell)),
            }
        }
    }

    /// Whether everything up to `cursor` of `bucket` has been read.
    pub(super) fn has_read(&self, bucket: Bucket, cursor: Cursor) -> bool {
        self.read.get(&bucket).is_some_and(|read| *read >= cursor)
    }

    fn note_read(&mut self, bucket: Bucket, cursor: Cursor) {
        let read = self.read.entry(bucket).or_insert(cursor);
        *read = cursor.max(*read);
    }

    /// Whether each of these buckets was scanned, and what their records stand for is at hand.
    pub(super) fn knows(&self, buckets: &[Bucket]) -> bool {
        buckets.iter().all(|bucket| {
            self.scanned.contains(bucket)
                && match bucket {
                    Bucket::Keyrings => self.keys.latest().is_some(),
                    Bucket::Jobs => self.loading.is_empty(),
                    _ => true,
                }
        })
    }
}

/// Why a job is damaged, with all causes.
fn damage(err: &StoreError) -> Box<str> {
    let cause =
        std::error::Error::source(err).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{err}{cause}").into()
}
