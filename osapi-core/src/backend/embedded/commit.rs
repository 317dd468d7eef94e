//! Group commit: writes that arrive while a commit runs wait, and go together into the next one.
//!
//! The first writer that finds no commit running starts the worker on the blocking pool; it ends when nothing waits. So a lone
//! write is committed at once, no timer is involved, and opening a store needs no runtime.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_util::task::TaskTracker;

use super::batch::{Applied, Op, OpKind, Refusal};
use super::disk::{CommitError, Disk, DiskError};
use super::feed::Feeds;
use super::limits::Limits;
use crate::backend::{Bucket, Link, StoreError};

/// What a waiting write counts for beside its value.
const OVERHEAD: usize = 1024;
/// The queue takes at least the largest write with room to spare.
const LEAST_QUEUE: u32 = 2 << 20;

/// The queue before the file.
#[derive(Debug)]
pub(super) struct Committer {
    disk: Arc<Disk>,
    feeds: Arc<Feeds>,
    room: Arc<Semaphore>,
    room_bytes: u32,
    queue: Mutex<Queue>,
    link: watch::Sender<Link>,
    commits: AtomicU64,
    writes: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    working: bool,
    end: Option<End>,
}

/// One cause, told to every caller of a batch.
type SharedError = Arc<DiskError>;

/// Why no further write is taken.
#[derive(Debug, Clone)]
enum End {
    Closed,
    Failed(SharedError),
}

#[derive(Debug)]
struct Waiting {
    op: Op,
    reply: Reply,
    /// Its place in the queue, given back when the write is done.
    room: OwnedSemaphorePermit,
}

type Reply = oneshot::Sender<Result<Written, StoreError>>;

/// What a write that is on the disk did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// The bucket's last cursor after it.
    pub(super) cursor: u64,
    /// How many records it removed.
    pub(super) removed: usize,
}

/// The store stopped after a failed commit.
#[derive(Debug, thiserror::Error)]
#[error("an earlier commit failed; the store must be opened again")]
struct Stopped(#[source] SharedError);

/// The runtime has ended, and with it the task that should have committed.
#[derive(Debug, thiserror::Error)]
#[error("no commit runs, as the runtime has ended")]
struct Abandoned;

impl Committer {
    /// A queue before `disk`.
    pub(super) fn new(disk: Arc<Disk>, feeds: Arc<Feeds>) -> Self {
        let room_bytes = disk.limits().queue_bytes.max(LEAST_QUEUE);
        Self {
            disk,
            feeds,
            room: Arc::new(Semaphore::new(room_bytes as usize)),
            room_bytes,
            queue: Mutex::default(),
            link: watch::Sender::new(Link::Up),
            commits: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    /// Whether writes are taken.
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Synced commits, and the writes in them.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.commits.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    /// How many writes wait for the next commit.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Does a write and returns when it is on the disk.
    ///
    /// # Cancel safety
    /// A write whose future is dropped may or may not be done.
    pub(super) async fn submit(
        self: &Arc<Self>,
        op: Op,
        tasks: &TaskTracker,
    ) -> Result<Written, StoreError> {
        let cost = u32::try_from(cost(&op)).unwrap_or(u32::MAX).min(self.room_bytes);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(cost).await else {
            return Err(self.refusal());
        };
        let (reply, answer) = oneshot::channel();
        if self.enqueue(Waiting { op, reply, room })? {
            let worker = Worker { committer: Arc::clone(self), phase: Phase::Idle };
            // The handle is not needed: the tracker waits for it, and its answers come by channel.
            drop(tasks.spawn_blocking(move || worker.run()));
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Unknown(Box::new(Abandoned))))
    }

    /// Takes no further write. What waits is still committed.
    pub(super) fn close(&self) {
        self.lock().end.get_or_insert(End::Closed);
        self.room.close();
        self.link.send_replace(Link::Down("store is closed".to_owned()));
    }

    /// Whether the caller must start the worker.
    fn enqueue(&self, waiting: Waiting) -> Result<bool, StoreError> {
        let mut queue = self.lock();
        if let Some(end) = &queue.end {
            return Err(end.refusal());
        }
        queue.waiting.push_back(waiting);
        Ok(!mem::replace(&mut queue.working, true))
    }

    fn refusal(&self) -> StoreError {
        self.lock().end.as_ref().unwrap_or(&End::Closed).refusal()
    }

    /// The next batch; without one the worker is over.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.lock();
        let batch = take_batch(&mut queue.waiting, self.disk.limits());
        queue.working = !batch.is_empty();
        queue.working.then_some(batch)
    }

    /// Stops for good: after a failed sync it is not known what the disk holds until the file is opened again.
    fn stop(&self, error: &SharedError) {
        tracing::error!(error = %error, "a commit failed: the store takes no further write until it is opened again");
        let refused = {
            let mut queue = self.lock();
            queue.end = Some(End::Failed(Arc::clone(error)));
            queue.working = false;
            mem::take(&mut queue.waiting)
        };
        self.room.close();
        self.link.send_replace(Link::Down(format!("a commit failed: {error}")));
        for waiting in refused {
            answer(waiting.reply, Err(End::Failed(Arc::clone(error)).refusal()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl End {
    fn refusal(&self) -> StoreError {
        match self {
            Self::Closed => DiskError::Closed.into(),
            Self::Failed(error) if error.is_damage() => {
                StoreError::Damaged(Box::new(Stopped(Arc::clone(error))))
            }
            Self::Failed(error) => StoreError::Unavailable(Box::new(Stopped(Arc::clone(error)))),
        }
    }
}

impl Committer {
    /// Commits a batch and makes the answers.
    fn write(&self, ops: &[Op]) -> Vec<Result<Written, StoreError>> {
        match self.disk.commit(ops) {
            Ok(results) => self.written(ops, results),
            Err(CommitError::Unwritten(error)) => {
                let error = Arc::new(error);
                self.stop(&error);
                ops.iter().map(|_| Err(End::Failed(Arc::clone(&error)).refusal())).collect()
            }
            Err(CommitError::Unknown(error, results)) => {
                let error = Arc::new(error);
                self.stop(&error);
                results.into_iter().map(|result| unsettled(&error, result)).collect()
            }
        }
    }

    /// Tells the watches before anybody is answered: who has an answer finds its write at or below the head.
    fn written(
        &self,
        ops: &[Op],
        results: Vec<Result<Applied, Refusal>>,
    ) -> Vec<Result<Written, StoreError>> {
        let mut news: BTreeMap<Bucket, Applied> = BTreeMap::new();
        let mut answers = Vec::with_capacity(results.len());
        let mut count = 0;
        for (op, result) in ops.iter().zip(results) {
            answers.push(result.map_err(StoreError::from).map(|applied| {
                count += 1;
                let written = Written { cursor: applied.head, removed: applied.removed.len() };
                let told = news.entry(op.bucket).or_default();
                told.head = applied.head;
                told.removed.extend(applied.removed);
                written
            }));
        }
        self.commits.fetch_add(u64::from(count > 0), Ordering::Relaxed);
        self.writes.fetch_add(count, Ordering::Relaxed);
        for (bucket, told) in news {
            self.feeds.of_bucket(bucket).publish(told.head, told.removed);
        }
        answers
    }
}

/// One run of commits, until nothing waits.
struct Worker {
    committer: Arc<Committer>,
    phase: Phase,
}

/// Where a worker stands, for the case that it is dropped there.
enum Phase {
    /// It holds no batch.
    Idle,
    /// A batch is taken and not yet answered.
    Writing,
    /// It found nothing to do and has handed over: the next write starts another.
    Over,
}

impl Worker {
    fn run(mut self) {
        while let Some(batch) = self.committer.next_batch() {
            self.phase = Phase::Writing;
            self.commit(batch);
            self.phase = Phase::Idle;
        }
        self.phase = Phase::Over;
    }

    fn commit(&self, batch: Vec<Waiting>) {
        let mut ops = Vec::with_capacity(batch.len());
        let mut callers = Vec::with_capacity(batch.len());
        for Waiting { op, reply, room } in batch {
            ops.push(op);
            callers.push((reply, room));
        }
        for ((reply, _room), result) in callers.into_iter().zip(self.committer.write(&ops)) {
            answer(reply, result);
        }
    }
}

impl Drop for Worker {
    /// A worker that never ran (its runtime ended) or that panicked must not leave writers waiting for ever.
    fn drop(&mut self) {
        match self.phase {
            Phase::Over => {}
            Phase::Writing => self.committer.stop(&Arc::new(DiskError::Panicked)),
            Phase::Idle => {
                let abandoned = {
                    let mut queue = self.committer.lock();
                    queue.working = false;
                    mem::take(&mut queue.waiting)
                };
                for waiting in abandoned {
                    answer(waiting.reply, Err(StoreError::Unavailable(Box::new(Abandoned))));
                }
            }
        }
    }
}

/// As many as fit a batch, and at least one.
fn take_batch(waiting: &mut VecDeque<Waiting>, limits: &Limits) -> Vec<Waiting> {
    let mut bytes = 0;
    let mut taken = 0;
    for next in waiting.iter() {
        if taken > 0 && (taken >= limits.batch_writes || bytes >= limits.batch_bytes) {
            break;
        }
        bytes += cost(&next.op);
        taken += 1;
    }
    waiting.drain(..taken).collect()
}

/// What a write takes of the queue's room, in bytes.
fn cost(op: &Op) -> usize {
    match &op.kind {
        OpKind::Create(_, value) | OpKind::Put(_, value) | OpKind::Update(_, value, _) => {
            value.len() + OVERHEAD
        }
        OpKind::Purge(..) => OVERHEAD,
    }
}

/// The answer to a write whose commit failed on its way: what had been refused was not written, the rest may have been.
fn unsettled(error: &SharedError, result: Result<Applied, Refusal>) -> Result<Written, StoreError> {
    match result {
        Ok(_) => Err(StoreError::Unknown(Box::new(Arc::clone(error)))),
        Err(_) => Err(StoreError::Unavailable(Box::new(Arc::clone(error)))),
    }
}

/// A caller that has gone away needs no answer.
fn answer(reply: Reply, result: Result<Written, StoreError>) {
    if reply.send(result).is_err() {
        tracing::trace!("a write was done whose caller had gone");
    }
}
