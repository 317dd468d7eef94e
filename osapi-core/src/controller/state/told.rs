//! What the store tells: records, removals and the ends of scans, brought into what is known.

use std::collections::HashSet;
use std::sync::Arc;

use super::claims::void_at;
use super::keys::Cancel;
use super::{Effect, State, damage};
use crate::auth::envelope::Signed;
use crate::backend::{Bucket, Cursor, Entry, Key, StoreError};
use crate::clock::Timestamp;
use crate::controller::live::Live;
use crate::controller::outbound::Dispatchable;
use crate::controller::pump::Told;
use crate::controller::records::{self, AgentRecord, CancelRecord, ReportBatch};
use crate::controller::registration;
use crate::controller::roster::Registered;
use crate::id::{AgentName, JobId};
use crate::job::facts::{Place, StoredReport};
use crate::job::limits::JOIN_AFTER;
use crate::job::record::{ClaimRecord, JobRecord};
use crate::job::view::{self, JobView};
use crate::job::{Host, Report};
use crate::message::CancelOrder;

/// Who made something that is to be sent: whoever made it sends it at once, the others join in later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::controller) enum From {
    Here,
    Elsewhere,
}

impl State {
    pub(in crate::controller) fn absorb(&mut self, told: Told) {
        match told {
            Told::ScanBegins(bucket, begin) => {
                self.scan_begins(bucket);
                // Whoever asked may have been stopped.
                begin.send(()).ok();
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
            Told::Reached(bucket, cursor) => self.note_read(bucket, cursor),
            Told::ScanEnds(bucket, cursor) => self.scan_ended(bucket, cursor),
            Told::Lost(bucket, err) => {
                tracing::warn!(%bucket, error = &err as &dyn std::error::Error, "a bucket cannot be watched: it is opened again");
            }
        }
    }

    fn scan_begins(&mut self, bucket: Bucket) {
        // Nothing else drops out of sight by being absent, and these buckets are large.
        if matches!(bucket, Bucket::Jobs | Bucket::Agents | Bucket::Removed) {
            self.scans.insert(bucket, HashSet::new());
        }
        if bucket == Bucket::Jobs {
            self.early.values_mut().for_each(|early| early.awaits_scan = true);
        }
    }

    fn scan_ended(&mut self, bucket: Bucket, cursor: Cursor) {
        self.on_scan_end(bucket, cursor);
        self.note_read(bucket, cursor);
        self.scanned.insert(bucket);
        let Some(seen) = self.scans.remove(&bucket) else { return };
        match bucket {
            Bucket::Jobs => {
                let gone: Vec<_> =
                    self.index.ids().filter(|job| !seen.contains(&Key::of(&[job]))).collect();
                gone.into_iter().for_each(|job| self.index.remove(job));
                // Records of jobs that are no more, left by a removal that is under way.
                let loading = &self.loading;
                self.early.retain(|job, early| loading.contains(job) || !early.awaits_scan);
            }
            Bucket::Agents => self.roster.retain(|name| seen.contains(&Key::of(&[name]))),
            _ => self.removed.retain(|job| seen.contains(&Key::of(&[job]))),
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
            Bucket::Agents => {
                if let Ok(name) = entry.key.as_str().parse() {
                    self.take_agent(&name, &records::decode(&entry)?);
                }
            }
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

    /// A record of the name `name`. What was removed stays removed: the store tells old records again.
    pub(in crate::controller) fn take_agent(&mut self, name: &AgentName, record: &AgentRecord) {
        if let Some(seen) = self.scans.get_mut(&Bucket::Agents) {
            seen.insert(Key::of(&[name]));
        }
        for removed in &record.removed {
            self.roster.remove_key(name, removed.key);
        }
        let Some(signed) = &record.registration else { return };
        match registration::open(signed, self.shared.fleet) {
            Some(registration) if registration.identity.name == *name => {
                self.enroll(Registered { registration, at: record.registered_at });
            }
            _ => {
                tracing::error!(agent = %name, "a registration in the store does not verify: ignored")
            }
        }
    }

    fn take_job(&mut self, record: JobRecord, key: &Key) {
        let job = record.job;
        if Key::of(&[&job]) != *key {
            tracing::error!(%job, "a job record stands under another job's key: ignored");
        } else if self.removed.contains(&job) {
            // A removal that was interrupted.
            self.remove(job);
        } else if self.index.get(job).is_none() && self.loading.insert(job) {
            self.effects.push(Effect::LoadHosts(Box::new(record)));
        }
    }

    /// The host list could not be read: the job is shown as damaged, and never sent.
    pub(in crate::controller) fn host_list_failed(&mut self, record: &JobRecord, err: &StoreError) {
        if self.removed.contains(&record.job) {
            self.loading.remove(&record.job);
            return;
        }
        tracing::error!(job = %record.job, error = err as &dyn std::error::Error, "the host list of a job cannot be read");
        self.insert(record, Vec::new(), Some(damage(err)));
    }

    /// A job whose host list is at hand; with the order if this controller has just made it, and so is the one to send it.
    pub(in crate::controller) fn add_job(
        &mut self,
        record: &JobRecord,
        hosts: Vec<Host>,
        order: Option<Arc<Dispatchable>>,
    ) {
        let (job, now) = (record.job, self.boottime());
        let is_known = self.index.get(job).is_some();
        if self.removed.contains(&job) || (is_known && order.is_none()) {
            self.loading.remove(&job);
            return;
        }
        if let Some(seen) = self.scans.get_mut(&Bucket::Jobs) {
            seen.insert(Key::of(&[&job]));
        }
        let from = if order.is_some() { From::Here } else { From::Elsewhere };
        if !is_known {
            self.insert(record, hosts, None);
        }
        self.index.change(job, |tracked| {
            let Some(live) = tracked.live.as_deref_mut() else { return };
            live.voiding.hasten(void_at(record.not_after, from));
            match order {
                Some(order) => {
                    live.set_order(order);
                    live.send_to_all(now);
                }
                // Whoever made it sends it. If nothing is heard of that, it is sent from here too.
                None => live.send_to_all(now + JOIN_AFTER),
            }
        });
        for receipt in self.receipts.take(&job) {
            self.on_receipt(receipt);
        }
    }

    fn insert(&mut self, record: &JobRecord, hosts: Vec<Host>, damaged: Option<Box<str>>) {
        let job = record.job;
        self.loading.remove(&job);
        let shared: Arc<[Host]> = hosts.clone().into();
        let key = self.keys.shared(record.key.clone());
        let void_at = void_at(record.not_after, From::Elsewhere);
        let live = Live::new(shared, key, record.claim, void_at);
        self.index.insert(job, JobView::new(record, hosts), live, damaged);
        for (bucket, entry) in self.early.remove(&job).unwrap_or_default().records {
            if let Err(err) = self.take_for_job(bucket, entry) {
                tracing::error!(%job, %bucket, error = &err as &dyn std::error::Error, "a record cannot be read");
            }
        }
        self.note_orphan(job);
    }

    fn take_for_job(&mut self, bucket: Bucket, entry: Entry) -> Result<(), StoreError> {
        let Some(job) = records::job_of(&entry.key) else { return Ok(()) };
        if self.removed.contains(&job) {
            return Ok(());
        }
        if self.index.get(job).is_none() {
            self.early.entry(job).or_default().records.push((bucket, entry));
            return Ok(());
        }
        match bucket {
            Bucket::Claims => {
                let claim: ClaimRecord = records::decode(&entry)?;
                if records::claim_key(claim.job, claim.host.as_ref()) == entry.key {
                    self.take_claim(&claim);
                } else {
                    tracing::error!(%job, key = %entry.key, "a claim stands under another key: ignored");
                }
            }
            Bucket::Cancels => {
                let record: CancelRecord = records::decode(&entry)?;
                self.take_cancel(job, record.cancel, record.at, From::Elsewhere);
            }
            _ => self.take_reports(job, &entry)?,
        }
        Ok(())
    }

    /// A cancel that is in the store. It counts if one of our job keys signed it.
    pub(in crate::controller) fn take_cancel(
        &mut self,
        job: JobId,
        cancel: Signed<CancelOrder>,
        at: Timestamp,
        from: From,
    ) {
        let authentic = match self.judge_cancel(job, &cancel) {
            Cancel::Authentic => true,
            Cancel::Unknown => {
                self.keep_unverified(job, cancel.clone(), at);
                false
            }
            Cancel::Worthless => {
                tracing::error!(%job, "a cancel in the store does not verify: it is shown, and not sent");
                false
            }
        };
        let now = self.now();
        self.index.change(job, |tracked| {
            tracked.view.on_cancel(at);
            let Some(live) = tracked.live.as_deref_mut() else { return };
            live.voiding.hasten(void_at(now.wall, from));
            let is_news = authentic && !live.has_cancel();
            if is_news {
                live.set_cancel(Arc::new(cancel));
            }
            match from {
                From::Here if authentic => live.send_to_all(now.boottime),
                From::Elsewhere if is_news => live.send_to_all(now.boottime + JOIN_AFTER),
                From::Here | From::Elsewhere => {}
            }
        });
    }

    fn take_reports(&mut self, job: JobId, entry: &Entry) -> Result<(), StoreError> {
        let batch: ReportBatch = records::decode(entry)?;
        let key: Arc<str> = entry.key.as_str().into();
        for (index, signed) in (0..).zip(&batch.reports) {
            let place = Place { cursor: entry.cursor.0, index, key: Arc::clone(&key) };
            let digest = signed.digest();
            let was_verified = self.verified.remove(&digest);
            let claimed = signed.peek();
            if claimed.as_ref().is_some_and(|report| self.knows_earlier(job, report, &place)) {
                continue;
            }
            let verify = |claimed: Report| match was_verified {
                true => Some(claimed),
                false => signed.verify(&claimed.identity.key).ok(),
            };
            let is_ours = |report: &Report| report.job == job && report.fleet == self.shared.fleet;
            let Some(report) = claimed.and_then(verify).filter(is_ours) else {
                tracing::error!(%job, %key, index, "a report in the store does not verify: ignored");
                continue;
            };
            // The view asks whether the host that signed it was addressed.
            let report = StoredReport::of(&report, digest, place);
            self.index.change(job, |tracked| tracked.view.on_report(report));
        }
        Ok(())
    }

    /// Whether a report of the same host that stands no later is known, so that this one changes nothing: full scans tell everything
    /// again, and verifying is dear.
    fn knows_earlier(&self, job: JobId, report: &Report, place: &Place) -> bool {
        let Some(tracked) = self.index.get(job) else { return false };
        match tracked.view.admission(&report.identity) {
            view::Admission::Present(first) => first.place <= *place,
            view::Admission::Open
            | view::Admission::NotAddressed
            | view::Admission::NotClaimed
            | view::Admission::NotTheirs => false,
        }
    }
}
