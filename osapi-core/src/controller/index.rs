//! The jobs that a controller knows, by id, with what is due for each of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::oneshot;

use super::live::Live;
use crate::api::params::JobsQuery;
use crate::api::types::{JobList, JobSummary};
use crate::clock::Timestamp;
use crate::id::{AgentName, JobId, KeyId};
use crate::job::state::{ExecutionState, JobStatus};
use crate::job::view::JobView;

/// One job.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) view: JobView,
    /// Absent once nothing can change any more.
    pub(super) live: Option<Box<Live>>,
    /// Why it is never sent: its records do not fit together.
    pub(super) damaged: Option<Box<str>>,
    waiting: Vec<oneshot::Sender<()>>,
    due: Due,
    /// As which status it is counted.
    counted: Option<JobStatus>,
}

/// The moments at which something is to be done for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Due {
    /// To send something, by the boottime clock.
    pub(super) send: Option<Duration>,
    /// To make void what nobody has claimed.
    pub(super) void: Option<Timestamp>,
    /// To settle what nothing was heard of.
    pub(super) settle: Option<Timestamp>,
    /// To remove what is past its retention.
    pub(super) remove: Option<Timestamp>,
}

/// All jobs.
#[derive(Debug)]
pub(super) struct Index {
    retention: Duration,
    jobs: BTreeMap<JobId, Tracked>,
    /// Per host, the jobs that are not final there (as far as the whole job goes).
    open: HashMap<AgentName, BTreeSet<JobId>>,
    /// Per job that was tried again, the jobs that do so.
    retries: HashMap<JobId, BTreeSet<JobId>>,
    sends: BTreeSet<(Duration, JobId)>,
    voids: BTreeSet<(Timestamp, JobId)>,
    settles: BTreeSet<(Timestamp, JobId)>,
    removals: BTreeSet<(Timestamp, JobId)>,
    statuses: Statuses,
}

/// How many jobs have each status, kept so that counting needs no look at every job.
#[derive(Debug)]
struct Statuses([(JobStatus, u32); JobStatus::ALL.len()]);

impl Statuses {
    fn of(&mut self, status: JobStatus) -> Option<&mut u32> {
        self.0.iter_mut().find(|(known, _)| *known == status).map(|(_, count)| count)
    }

    /// A job has another status than before; it may come or go by that.
    fn change(&mut self, before: Option<JobStatus>, after: Option<JobStatus>) {
        if before == after {
            return;
        }
        if let Some(count) = before.and_then(|status| self.of(status)) {
            *count -= 1;
        }
        if let Some(count) = after.and_then(|status| self.of(status)) {
            *count += 1;
        }
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self(JobStatus::ALL.map(|status| (status, 0)))
    }
}

impl Index {
    pub(super) fn new(retention: Duration) -> Self {
        let (jobs, open, retries) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        let (sends, voids, settles, removals) = Default::default();
        let statuses = Statuses::default();
        Self { retention, jobs, open, retries, sends, voids, settles, removals, statuses }
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = JobId> {
        self.jobs.keys().copied()
    }

    /// The jobs of which something may still change.
    pub(super) fn live_ids(&self) -> impl Iterator<Item = JobId> {
        self.jobs.iter().filter(|(_, tracked)| tracked.live.is_some()).map(|(job, _)| *job)
    }

    /// The status of each job of which something may still change, and the key of its order.
    pub(super) fn statuses_by_key(&self) -> impl Iterator<Item = (JobStatus, &KeyId)> {
        self.jobs
            .values()
            .filter_map(|tracked| Some((tracked.view.status(), &*tracked.live.as_deref()?.key)))
    }

    pub(super) fn get(&self, job: JobId) -> Option<&Tracked> {
        self.jobs.get(&job)
    }

    pub(super) fn insert(
        &mut self,
        job: JobId,
        view: JobView,
        live: Live,
        damaged: Option<Box<str>>,
    ) {
        for host in live.hosts.iter().filter(|host| !host.unreachable) {
            self.open.entry(host.identity.name.clone()).or_default().insert(job);
        }
        if let Some(first) = view.facts().retry_of {
            self.retries.entry(first).or_default().insert(job);
        }
        let live = Some(Box::new(live));
        let (waiting, due) = (Vec::new(), Due::default());
        let tracked = Tracked { view, live, damaged, waiting, due, counted: None };
        self.jobs.insert(job, tracked);
        self.change(job, |_| ());
    }

    /// Changes a job and brings everything that is derived from it up to date.
    pub(super) fn change<R>(
        &mut self,
        job: JobId,
        change: impl FnOnce(&mut Tracked) -> R,
    ) -> Option<R> {
        let tracked = self.jobs.get_mut(&job)?;
        let result = change(tracked);
        let status = Some(tracked.view.status());
        self.statuses.change(std::mem::replace(&mut tracked.counted, status), status);
        if tracked.view.is_settled() {
            for waiting in tracked.waiting.drain(..) {
                // Whoever waited may have gone.
                waiting.send(()).ok();
            }
        }
        let finished = if tracked.view.is_final() { tracked.live.take() } else { None };
        let due = Due {
            send: tracked.live.as_ref().and_then(|live| live.due()),
            void: tracked
                .live
                .as_ref()
                .filter(|_| tracked.view.unclaimed_count() > 0)
                .and_then(|live| live.voiding.due()),
            settle: tracked.view.next_due(),
            remove: tracked.view.settled_at().map(|at| at + self.retention),
        };
        let before = std::mem::replace(&mut tracked.due, due);
        self.reschedule(job, before, due);
        if let Some(live) = finished {
            self.close(job, &live);
        }
        Some(result)
    }

    fn reschedule(&mut self, job: JobId, before: Due, after: Due) {
        if before == after {
            return;
        }
        fn swap<T: Ord>(
            set: &mut BTreeSet<(T, JobId)>,
            job: JobId,
            before: Option<T>,
            after: Option<T>,
        ) {
            if let Some(before) = before {
                set.remove(&(before, job));
            }
            set.extend(after.map(|after| (after, job)));
        }
        swap(&mut self.sends, job, before.send, after.send);
        swap(&mut self.voids, job, before.void, after.void);
        swap(&mut self.settles, job, before.settle, after.settle);
        swap(&mut self.removals, job, before.remove, after.remove);
    }

    fn close(&mut self, job: JobId, live: &Live) {
        for host in &*live.hosts {
            if let Some(open) = self.open.get_mut(&host.identity.name) {
                open.remove(&job);
                if open.is_empty() {
                    self.open.remove(&host.identity.name);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, job: JobId) {
        let Some(tracked) = self.jobs.remove(&job) else { return };
        self.reschedule(job, tracked.due, Due::default());
        self.statuses.change(tracked.counted, None);
        if let Some(first) = tracked.view.facts().retry_of
            && let Some(retries) = self.retries.get_mut(&first)
        {
            retries.remove(&job);
            if retries.is_empty() {
                self.retries.remove(&first);
            }
        }
        if let Some(live) = tracked.live {
            self.close(job, &live);
        }
    }

    /// The jobs that try this one again, oldest first.
    pub(super) fn retries(&self, job: JobId) -> Vec<JobId> {
        self.retries.get(&job).into_iter().flatten().copied().collect()
    }

    /// The jobs that are not final and are for this host.
    pub(super) fn open_jobs(&self, host: &AgentName) -> Vec<JobId> {
        self.open.get(host).into_iter().flatten().copied().collect()
    }

    /// The next moment of each kind.
    pub(super) fn next_due(&self) -> Due {
        Due {
            send: self.sends.first().map(|(at, _)| *at),
            void: self.voids.first().map(|(at, _)| *at),
            settle: self.settles.first().map(|(at, _)| *at),
            remove: self.removals.first().map(|(at, _)| *at),
        }
    }

    pub(super) fn due_to_send(&self, now: Duration) -> Vec<JobId> {
        self.sends.iter().take_while(|(at, _)| *at <= now).map(|(_, job)| *job).collect()
    }

    pub(super) fn due_to_void(&self, now: Timestamp, at_most: usize) -> Vec<JobId> {
        let due = self.voids.iter().take_while(|(at, _)| *at <= now).take(at_most);
        due.map(|(_, job)| *job).collect()
    }

    pub(super) fn due_to_settle(&self, now: Timestamp) -> Vec<JobId> {
        self.settles.iter().take_while(|(at, _)| *at <= now).map(|(_, job)| *job).collect()
    }

    /// Jobs whose retention is past, at most so many. Each is named again a minute later, if it is still there.
    pub(super) fn due_to_remove(&mut self, now: Timestamp, at_most: usize) -> Vec<JobId> {
        let due = self.removals.iter().take_while(|(at, _)| *at <= now).take(at_most);
        let due: Vec<_> = due.map(|(_, job)| *job).collect();
        for job in &due {
            if let Some(tracked) = self.jobs.get_mut(job) {
                let before = tracked.due;
                tracked.due.remove = Some(now + Duration::from_secs(60));
                let after = tracked.due;
                self.reschedule(*job, before, after);
            }
        }
        due
    }

    /// Told when the job has settled; at once if it has already. `None` if there is no such job.
    pub(super) fn settled(&mut self, job: JobId) -> Option<oneshot::Receiver<()>> {
        let (tell, told) = oneshot::channel();
        self.change(job, |tracked| {
            // Before it grows, those who have gone make room.
            if tracked.waiting.len() == tracked.waiting.capacity() {
                tracked.waiting.retain(|waiting| !waiting.is_closed());
            }
            tracked.waiting.push(tell);
        })?;
        Some(told)
    }

    pub(super) fn list(&self, query: &JobsQuery) -> JobList {
        let limit = query.limit.unwrap_or(JobsQuery::LIMIT_DEFAULT) as usize;
        let before = query.cursor.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let range = self.jobs.range((std::ops::Bound::Unbounded, before)).rev();
        let mut matching = range.filter(|(_, tracked)| tracked.matches(query)).peekable();
        let mut jobs = Vec::new();
        while jobs.len() < limit
            && let Some((_, tracked)) = matching.next()
        {
            jobs.push(tracked.summary());
        }
        let next = matching.peek().and(jobs.last()).map(|last| last.job_id);
        JobList { jobs, next }
    }

    /// How many jobs have each status.
    pub(super) fn counts(&self) -> [(JobStatus, u32); JobStatus::ALL.len()] {
        self.statuses.0
    }
}

impl Tracked {
    fn matches(&self, query: &JobsQuery) -> bool {
        let facts = self.view.facts();
        query.status.is_none_or(|status| status == self.view.status())
            && query.operation.as_deref().is_none_or(|kind| kind == facts.kind)
            && query.submitter.as_deref().is_none_or(|subject| subject == &*facts.subject)
            && query.host.as_ref().is_none_or(|host| self.view.row(host).is_some())
    }

    pub(super) fn summary(&self) -> JobSummary {
        let facts = self.view.facts();
        let tally = self.view.tally();
        let count = |state: ExecutionState| {
            Some((state.to_string(), tally.count(state))).filter(|(_, n)| *n > 0)
        };
        JobSummary {
            job_id: facts.job,
            status: self.view.status(),
            kind: facts.kind.into(),
            target: facts.target.to_string(),
            submitter: facts.subject.to_string(),
            created_at: facts.created_at,
            not_after: facts.not_after,
            hosts: ExecutionState::ALL.into_iter().filter_map(count).collect(),
        }
    }
}
