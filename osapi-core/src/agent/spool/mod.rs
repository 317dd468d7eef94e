//! Collects the output of one execution: exact counts, the head and the tail of each stream, and flat memory.
//!
//! A small stream of a short execution stays in memory and touches no disk. Any other goes to a file of its own, in which the tail is a ring
//! (`layout`), and which says at any moment what it holds (`note`), so that what was written before a crash of the agent is found (`recover`).
//! Nothing here is synced: losing output to a power cut is noticed and shown, and costs nothing else.

mod collector;
mod kept;
mod layout;
mod note;
mod recover;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::collector::Collector;
pub use self::kept::Kept;
pub use self::recover::recover;
use crate::blocking::blocking;
use crate::id::JobId;
use crate::job::StreamReport;
use crate::job::report::Stream;

/// A stream up to this many bytes stays in memory. Both streams of that size fit into a report.
pub const MEMORY_MAX: usize = 64 * 1024;

/// Collects what one execution writes.
///
/// An IO error (a full disk) never fails the execution: what is written from there on is lost, counted, and the stream `incomplete`.
#[derive(Debug)]
pub struct Spool {
    stdout: Arc<Mutex<Collector>>,
    stderr: Arc<Mutex<Collector>>,
}

/// The collected output of one execution.
#[derive(Debug)]
pub struct Collected {
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

/// One collected stream.
#[derive(Debug)]
pub struct Output {
    /// Counts and hash for the report; `inline` is not filled in.
    pub report: StreamReport,
    /// The kept bytes.
    pub kept: Kept,
}

impl Spool {
    /// Keeps at most `limit` bytes per stream: its first half from the head, the other from the tail, and all if it fits.
    ///
    /// `dir` must exist; a file of mode 0600 is made in it once a stream is larger than [`MEMORY_MAX`].
    #[must_use]
    pub fn new(dir: &Path, job: JobId, limit: usize) -> Self {
        let collector =
            |stream| Arc::new(Mutex::new(Collector::new(dir.join(file_name(job, stream)), limit)));
        Self { stdout: collector(Stream::Stdout), stderr: collector(Stream::Stderr) }
    }

    /// Keeps at most `limit` bytes per stream, if that is less. Has no effect on a stream of which something was written.
    pub fn keep_at_most(&self, limit: u64) {
        [&self.stdout, &self.stderr].iter().for_each(|one| lock(one).keep_at_most(limit));
    }

    /// Takes what was written next to `stream`. Calls for one stream must not overlap.
    ///
    /// # Cancel safety
    /// If it is dropped, the bytes may be taken or not; the counts stay exact for those that were.
    pub async fn write(&self, stream: Stream, bytes: Bytes) {
        let collector = self.collector(stream);
        let needs_disk = {
            let mut collector = lock(collector);
            let needs_disk = collector.needs_disk(bytes.len());
            if !needs_disk {
                collector.write(&bytes);
            }
            needs_disk
        };
        if needs_disk {
            let collector = Arc::clone(collector);
            blocking(move || lock(&collector).write(&bytes)).await;
        }
    }

    /// Has what was written, and what is written from now on, outlive a crash of this process.
    pub async fn outlive(&self) {
        let both = [Arc::clone(&self.stdout), Arc::clone(&self.stderr)];
        blocking(move || both.iter().for_each(|collector| lock(collector).outlive())).await;
    }

    /// Notes that reading of `stream` ended before its end.
    pub fn incomplete(&self, stream: Stream) {
        lock(self.collector(stream)).incomplete();
    }

    /// Ends both streams and tells what was kept of them. What is written later is not taken.
    pub async fn finish(&self) -> Collected {
        let (stdout, stderr) = (Arc::clone(&self.stdout), Arc::clone(&self.stderr));
        if lock(&stdout).is_in_memory() && lock(&stderr).is_in_memory() {
            return Collected { stdout: lock(&stdout).finish(), stderr: lock(&stderr).finish() };
        }
        blocking(move || {
            let finish = |collector: &Mutex<Collector>| lock(collector).finish();
            Collected { stdout: finish(&stdout), stderr: finish(&stderr) }
        })
        .await
    }

    fn collector(&self, stream: Stream) -> &Arc<Mutex<Collector>> {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }
}

/// Jobs of which there is spooled output in `dir`. Blocks.
///
/// # Errors
/// When the directory cannot be read.
pub fn jobs_in(dir: &Path) -> io::Result<BTreeSet<JobId>> {
    let mut jobs = BTreeSet::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.split_once('.')).map(|(stem, _)| stem);
        jobs.extend(stem.and_then(|stem| stem.parse::<JobId>().ok()));
    }
    Ok(jobs)
}

/// Removes all spooled output of `job` from `dir`. Blocks. No error if there is none.
///
/// # Errors
/// When a file cannot be removed.
pub fn discard(dir: &Path, job: JobId) -> io::Result<()> {
    [Stream::Stdout, Stream::Stderr]
        .into_iter()
        .try_for_each(|stream| remove_file(&dir.join(file_name(job, stream))))
}

fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn file_name(job: JobId, stream: Stream) -> PathBuf {
    let suffix = match stream {
        Stream::Stdout => "out",
        Stream::Stderr => "err",
    };
    PathBuf::from(format!("{job}.{suffix}"))
}

fn lock(collector: &Mutex<Collector>) -> MutexGuard<'_, Collector> {
    // A panic while it was held left counts that are at worst too low, and the stream is dropped with the execution.
    collector.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
