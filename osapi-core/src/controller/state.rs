//! What a controller knows, and what follows from each thing that it learns. No I/O: what is to be done is handed out as [`Effect`]s.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::follow::WantedOrder;
use super::index::Index;
use super::intake::open_registration;
use super::live::Live;
use super::outbound::{Dispatchable, Outbound};
use super::pump::{FOLLOWED, Told};
use super::records::{self, AgentRecord, CancelRecord, ReportBatch};
use super::roster::{Registered, Roster};
use super::{Now, Shared};
use crate::auth::envelope::Signed;
use crate::auth::keys::{KeyRing, KeyUse};
use crate::backend::{Bucket, Cursor, Entry, Key, StoreError};
use crate::clock::Timestamp;
use crate::id::{AgentName, Digest, Identity, JobId};
use crate::job::facts::{Place, StoredReport};
use crate::job::limits::CONNECTED_MIN;
use crate::job::record::{ClaimRecord, JobRecord};
use crate::job::view::{self, JobView};
use crate::job::word::{Listed, ReceiptKind};
use crate::job::{Host, Report};
use crate::message::{CancelOrder, Hello, Readiness, Receipt, Registration, Welcome};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Effect {
    Send(AgentName, Outbound),
    LoadHosts(Box<JobRecord>),
    LoadOrder(WantedOrder),
    Remove(JobId),
}

/// Whether a report may be stored, as far as is known without verifying it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It would be the first, once it verifies.
    Open,
    /// One is there: this is its hash.
    Present(Digest),
    /// The job is not for that agent.
    NotAddressed,
    /// There is no such job here.
    NoJob,
}

/// What is known.
pub(super) struct State {
    shared: Arc<Shared>,
    pub(super) roster: Roster,
    pub(super) index: Index,
    ring: Option<(Arc<KeyRing>, Signed<KeyRing>)>,
    effects: Vec<Effect>,
    /// Per bucket, up to where it was read.
    read: HashMap<Bucket, Cursor>,
    /// Per bucket that is being scanned, the keys that were told.
    scans: HashMap<Bucket, HashSet<Key>>,
    scanned: HashSet<Bucket>,
    /// Job records whose host lists are being read.
    loading: HashSet<JobId>,
    /// Records that came before their job.
    early: HashMap<JobId, Vec<(Bucket, Entry)>>,
    removed: HashSet<JobId>,
    /// Reports that this controller has verified and is writing.
    verified: HashSet<Digest>,
    linked: Option<bool>,
    connected_since: Option<Now>,
    /// When what is known was last current.
    current: Timestamp,
    awaited: Vec<(Awaited, oneshot::Sender<()>)>,
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
            ring: None,
            effects: Vec::new(),
            read: HashMap::new(),
            scans: HashMap::new(),
            scanned: HashSet::new(),
            loading: HashSet::new(),
            early: HashMap::new(),
            removed: HashSet::new(),
            verified: HashSet::new(),
            linked: None,
            connected_since: None,
            current: shared.clock.wall(),
            awaited: Vec::new(),
            shared,
        }
    }

    pub(super) fn boottime(&self) -> Duration {
        self.shared.clock.boottime()
    }

    fn now(&self) -> Now {
        Now { wall: self.shared.clock.wall(), boottime: self.boottime() }
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
        let now = self.now();
        self.connected_since = up.then_some(now);
        self.roster.set_listening(up.then_some(now.boottime));
        up
    }

    /// When something is due, as a moment of the boottime clock.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let due = self.index.next_due();
        let now = self.now();
        // Silence means nothing before this controller has been connected for a while, nor while it is not.
        let meaningful = self.connected_since.map(|since| since.wall + CONNECTED_MIN);
        let settle = due.settle.zip(meaningful).map(|(settle, meaningful)| settle.max(meaningful));
        let by_wall = settle.into_iter().chain(due.remove).min();
        let by_wall = by_wall.map(|at| now.boottime + at.since(now.wall));
        due.send.into_iter().chain(by_wall).min()
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
        for job in self.index.due_to_send(now.boottime) {
            self.send_due(job, now);
        }
        for job in self.index.due_to_remove(now.wall) {
            self.effects.push(Effect::Remove(job));
        }
        self.tell_awaited();
        self.publish_ready();
    }

    fn send_due(&mut self, job: JobId, now: Now) {
        let (roster, effects) = (&self.roster, &mut self.effects);
        self.index.change(job, |tracked| {
            let (view, damaged) = (&tracked.view, tracked.damaged.is_some());
            let Some(live) = tracked.live.as_deref_mut() else { return };
            let in_time = now.wall < view.facts().not_after;
            let wants = |identity: &Identity| {
                let open = view.row(&identity.name).is_some_and(|row| !row.is_final());
                open && !damaged && roster.is_live(identity, now.boottime)
            };
            let sends = live.take_due(now.boottime, in_time, wants);
            effects.extend(
                sends.messages.into_iter().map(|(to, outbound)| Effect::Send(to, outbound)),
            );
            if let (true, Some(envelope)) = (sends.wants_order, live.envelope) {
                effects.push(Effect::LoadOrder(WantedOrder {
                    job,
                    envelope,
                    hosts: Arc::clone(&live.hosts),
                }));
            }
        });
    }

    fn publish_ready(&mut self) {
        let ready = self.ring.is_some()
            && self.loading.is_empty()
            && FOLLOWED.iter().all(|b| self.scanned.contains(b));
        // Ready once is ready for good: a rescan or a new job does not make what is known unknown.
        self.shared.ready.send_if_modified(|was| {
            let news = ready && !*was;
            *was |= ready;
            news
        });
    }

    /// How many agents are in each state.
    pub(super) fn agent_counts(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for agent in self.roster.all(self.boottime()) {
            *counts.entry(agent.state.as_str().to_owned()).or_default() += 1;
        }
        counts
    }
}

/// What the store tells.
impl State {
    pub(super) fn absorb(&mut self, told: Told) {
        match told {
            Told::ScanBegins(bucket) => {
                self.scans.insert(bucket, HashSet::new());
            }
            Told::Put(bucket, entry) => {
                self.note_read(bucket, entry.cursor);
                if let Some(seen) = self.scans.get_mut(&bucket) {
                    seen.insert(entry.key.clone());
                }
                if let Err(err) = self.put(bucket, entry) {
                    tracing::error!(%bucket, error = &err as &dyn std::error::Error, "a record cannot be read");
                }
            }
            Told::Deleted(bucket, key, cursor) => {
                self.note_read(bucket, cursor);
                self.deleted(bucket, &key);
            }
            Told::ScanEnds(bucket, cursor) => self.scan_ended(bucket, cursor),
            Told::Lost(bucket, err) => {
                tracing::warn!(%bucket, error = &err as &dyn std::error::Error, "a bucket cannot be watched: it is opened again");
            }
        }
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

    /// The job is removed: it is no longer shown, sent or judged.
    pub(super) fn forget(&mut self, job: JobId) {
        self.removed.insert(job);
        self.index.remove(job);
        self.early.remove(&job);
    }

    fn tell_awaited(&mut self) {
        let awaited = std::mem::take(&mut self.awaited);
        for (what, tell) in awaited {
            let has_come = match what {
                Awaited::Read(bucket, cursor) => self.has_read(bucket, cursor),
                Awaited::Job(job) => self.index.get(job).is_some(),
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

    fn scan_ended(&mut self, bucket: Bucket, cursor: Cursor) {
        self.note_read(bucket, cursor);
        self.scanned.insert(bucket);
        let seen = self.scans.remove(&bucket).unwrap_or_default();
        match bucket {
            Bucket::Jobs => {
                let gone: Vec<_> =
                    self.index.ids().filter(|job| !seen.contains(&Key::of(&[job]))).collect();
                gone.into_iter().for_each(|job| self.index.remove(job));
            }
            Bucket::Agents => self.roster.retain(|name| seen.contains(&Key::of(&[name]))),
            _ => {}
        }
        // Records of jobs that are no more, left by a removal that is under way.
        if self.scanned.contains(&Bucket::Jobs) {
            let loading = &self.loading;
            self.early.retain(|job, _| loading.contains(job));
        }
    }

    fn deleted(&mut self, bucket: Bucket, key: &Key) {
        match (bucket, records::job_of(key)) {
            (Bucket::Jobs, Some(job)) => self.index.remove(job),
            (Bucket::Removed, Some(job)) => {
                self.removed.remove(&job);
            }
            (Bucket::Agents, _) => {
                if let Ok(name) = key.as_str().parse() {
                    self.roster.remove(&name);
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, bucket: Bucket, entry: Entry) -> Result<(), StoreError> {
        match bucket {
            Bucket::Keyrings => self.take_ring(records::signed(&entry)?),
            Bucket::Agents => self.take_agent(&records::decode(&entry)?),
            Bucket::Jobs => self.take_job(records::decode(&entry)?, &entry.key),
            Bucket::Removed => {
                if let Some(job) = records::job_of(&entry.key) {
                    self.forget(job);
                }
            }
            Bucket::Claims | Bucket::Cancels | Bucket::Reports => {
                return self.take_for_job(bucket, entry);
            }
            Bucket::Envelopes
            | Bucket::Hosts
            | Bucket::Reservations
            | Bucket::Rollouts
            | Bucket::Output
            | Bucket::Audit
            | Bucket::Drains
            | Bucket::Revoked => {}
        }
        Ok(())
    }

    fn take_ring(&mut self, signed: Signed<KeyRing>) {
        match KeyRing::open(&signed, &self.shared.root) {
            Ok(ring) if self.ring.as_ref().is_none_or(|(known, _)| known.serial < ring.serial) => {
                let ring = Arc::new(ring);
                self.ring = Some((Arc::clone(&ring), signed));
                self.shared.ring.send_replace(Some(ring));
            }
            Ok(_) => {}
            Err(err) => tracing::error!(
                error = &err as &dyn std::error::Error,
                "a key ring in the store does not verify: ignored"
            ),
        }
    }

    fn take_agent(&mut self, record: &AgentRecord) {
        match open_registration(&record.registration, self.shared.fleet) {
            Some(registration) => {
                self.roster.register(Registered { registration, at: record.registered_at })
            }
            None => tracing::error!("a registration in the store does not verify: ignored"),
        }
    }

    fn take_job(&mut self, record: JobRecord, key: &Key) {
        let job = record.job;
        if Key::of(&[&job]) != *key {
            tracing::error!(%job, "a job record stands under another job's key: ignored");
        } else if self.removed.contains(&job) {
            // A removal that was interrupted.
            self.effects.push(Effect::Remove(job));
        } else if self.index.get(job).is_none() && self.loading.insert(job) {
            self.effects.push(Effect::LoadHosts(Box::new(record)));
        }
    }

    /// The host list could not be read: the job is shown as damaged, and never sent.
    pub(super) fn host_list_failed(&mut self, record: &JobRecord, err: &StoreError) {
        tracing::error!(job = %record.job, error = err as &dyn std::error::Error, "the host list of a job cannot be read");
        self.insert(record, Vec::new(), Some(damage(err)));
    }

    /// A job whose host list is at hand; with the order if this controller has just made it.
    pub(super) fn add_job(
        &mut self,
        record: &JobRecord,
        hosts: Vec<Host>,
        order: Option<Arc<Dispatchable>>,
    ) {
        if self.removed.contains(&record.job) || self.index.get(record.job).is_some() {
            self.loading.remove(&record.job);
            return;
        }
        if let Some(seen) = self.scans.get_mut(&Bucket::Jobs) {
            seen.insert(Key::of(&[&record.job]));
        }
        self.insert(record, hosts, None);
        let now = self.boottime();
        self.index.change(record.job, |tracked| {
            if let Some(live) = tracked.live.as_deref_mut() {
                live.set_order(order);
                live.send_to_all(now);
            }
        });
    }

    fn insert(&mut self, record: &JobRecord, hosts: Vec<Host>, damaged: Option<Box<str>>) {
        let job = record.job;
        self.loading.remove(&job);
        let shared: Arc<[Host]> = hosts.clone().into();
        let live = Live::new(shared, record.envelope);
        self.index.insert(job, JobView::new(record, hosts), live, damaged);
        for (bucket, entry) in self.early.remove(&job).unwrap_or_default() {
            if let Err(err) = self.take_for_job(bucket, entry) {
                tracing::error!(%job, %bucket, error = &err as &dyn std::error::Error, "a record cannot be read");
            }
        }
    }

    fn take_for_job(&mut self, bucket: Bucket, entry: Entry) -> Result<(), StoreError> {
        let Some(job) = records::job_of(&entry.key) else { return Ok(()) };
        if self.removed.contains(&job) {
            return Ok(());
        }
        if self.index.get(job).is_none() {
            self.early.entry(job).or_default().push((bucket, entry));
            return Ok(());
        }
        match bucket {
            Bucket::Claims => {
                let claim: ClaimRecord = records::decode(&entry)?;
                self.index.change(job, |tracked| tracked.view.on_claim(&claim));
            }
            Bucket::Cancels => {
                let record: CancelRecord = records::decode(&entry)?;
                self.take_cancel(job, record.cancel, record.at);
            }
            _ => self.take_reports(job, &entry)?,
        }
        Ok(())
    }

    /// A cancel that is in the store. It counts if one of our job keys signed it.
    pub(super) fn take_cancel(&mut self, job: JobId, cancel: Signed<CancelOrder>, at: Timestamp) {
        let ring = self.ring.as_ref().map(|(ring, _)| Arc::clone(ring));
        let authentic = ring.is_some_and(|ring| {
            ring.verify(&cancel, KeyUse::Job).is_ok_and(|body| body.job == job)
        });
        if !authentic {
            tracing::error!(%job, "a cancel in the store does not verify: it is shown, and not sent");
        }
        let now = self.boottime();
        self.index.change(job, |tracked| {
            tracked.view.on_cancel(at);
            if let Some(live) = tracked.live.as_deref_mut()
                && authentic
                && !live.has_cancel()
            {
                live.set_cancel(Arc::new(cancel));
                live.send_to_all(now);
            }
        });
    }

    fn take_reports(&mut self, job: JobId, entry: &Entry) -> Result<(), StoreError> {
        let batch: ReportBatch = records::decode(entry)?;
        let key: Arc<str> = entry.key.as_str().into();
        for (index, signed) in (0..).zip(&batch.reports) {
            let digest = signed.digest();
            let Some(report) = self.open_report(job, signed, digest) else {
                tracing::error!(%job, %key, index, "a report in the store does not verify: ignored");
                continue;
            };
            let place = Place { cursor: entry.cursor.0, index, key: Arc::clone(&key) };
            let report = StoredReport::of(&report, digest, place);
            self.index.change(job, |tracked| tracked.view.on_report(report));
        }
        Ok(())
    }

    /// The report, if the host that it names signed it: the view then asks whether that host was addressed.
    fn open_report(
        &mut self,
        job: JobId,
        signed: &Signed<Report>,
        digest: Digest,
    ) -> Option<Report> {
        let claimed = signed.peek()?;
        let is_known = self.verified.remove(&digest);
        let report = if is_known { claimed } else { signed.verify(&claimed.identity.key).ok()? };
        (report.job == job && report.fleet == self.shared.fleet).then_some(report)
    }
}

/// What agents say.
impl State {
    pub(super) fn on_hello(&mut self, hello: Hello) {
        let now = self.now();
        let Hello { identity, instance, .. } = hello.clone();
        if !self.roster.hear(hello.clone(), now.boottime, now.wall) {
            tracing::debug!(agent = %identity.name, "a hello of an identity that is not registered");
            return;
        }
        for job in self.index.open_jobs(&identity.name) {
            let listed = match () {
                () if hello.running.contains(&job) => Listed::Running,
                () if hello.accepted.contains(&job) => Listed::Accepted,
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
        let serial = self.ring.as_ref().map_or(0, |(ring, _)| ring.serial);
        if hello.readiness == Readiness::NotReady || hello.ring < serial {
            self.welcome(&identity);
        }
    }

    pub(super) fn on_receipt(&mut self, receipt: &Receipt) {
        let Receipt { identity, instance, job, kind } = receipt;
        let now = self.shared.clock.wall();
        self.index.change(*job, |tracked| {
            tracked.view.on_receipt(identity, *instance, *kind, now);
            let Some(live) = tracked.live.as_deref_mut() else { return };
            match kind {
                ReceiptKind::Accepted | ReceiptKind::Started { .. } if !live.has_cancel() => {
                    live.stop(identity)
                }
                ReceiptKind::Accepted
                | ReceiptKind::Started { .. }
                | ReceiptKind::Busy
                | ReceiptKind::Refused(_) => {}
            }
        });
    }

    /// An agent whose registration is in the store.
    pub(super) fn registered(&mut self, registration: Registration, at: Timestamp) {
        let identity = registration.identity.clone();
        if !self.roster.knows(&identity) {
            self.roster.register(Registered { registration, at });
        }
        self.welcome(&identity);
    }

    fn welcome(&mut self, identity: &Identity) {
        let Some((_, ring)) = &self.ring else { return };
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

    pub(super) fn order_loaded(&mut self, job: JobId, result: Result<Dispatchable, StoreError>) {
        self.index.change(job, |tracked| match result {
            Ok(order) => {
                if let Some(live) = tracked.live.as_deref_mut() {
                    live.set_order(Some(Arc::new(order)));
                }
            }
            Err(err @ StoreError::Damaged(_)) => {
                tracing::error!(%job, error = &err as &dyn std::error::Error, "a job is damaged: it is not sent");
                tracked.damaged = Some(damage(&err));
            }
            // It is read again at the next reason to send it.
            Err(err) => {
                tracing::warn!(%job, error = &err as &dyn std::error::Error, "the order of a job cannot be read");
                if let Some(live) = tracked.live.as_deref_mut() {
                    live.set_order(None);
                }
            }
        });
    }
}

/// What the intake asks.
impl State {
    pub(super) fn admission(&self, job: JobId, identity: &Identity) -> Admission {
        let Some(tracked) = self.index.get(job) else { return Admission::NoJob };
        match tracked.view.admission(identity) {
            view::Admission::Open => Admission::Open,
            view::Admission::Present(facts) => Admission::Present(facts.signed),
            view::Admission::NotAddressed | view::Admission::NotClaimed => Admission::NotAddressed,
        }
    }

    /// These reports were verified and are being written: what comes back from the store need not be verified again.
    pub(super) fn expect_reports(&mut self, digests: impl IntoIterator<Item = Digest>) {
        /// More than can be on their way: what failed to be written is forgotten.
        const MOST: usize = 65_536;
        if self.verified.len() > MOST {
            self.verified.clear();
        }
        self.verified.extend(digests);
    }
}

/// Why a job is damaged, with all causes.
fn damage(err: &StoreError) -> Box<str> {
    let cause =
        std::error::Error::source(err).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{err}{cause}").into()
}
