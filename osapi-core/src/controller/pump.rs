//! Brings the store's records to the follower: one task per bucket that watches, reopens and scans again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::backend::{Bucket, Change, Cursor, Entry, Key, Prefix, Store, StoreError, Watch};

/// The buckets that the follower reads, each group once what is before it is known: a job after the tombstones, what belongs to a
/// job after the job, and what is verified after the keys.
pub(super) const PHASES: [&[Bucket]; 3] = [
    &[Bucket::Keyrings, Bucket::Removed, Bucket::Agents],
    &[Bucket::Jobs],
    &[Bucket::Claims, Bucket::Cancels, Bucket::Reports],
];

/// Time between two full scans, which find what a watch may have skipped.
const SCAN_EVERY: Duration = Duration::from_secs(300);
/// Pause before a watch that failed is opened again.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// What a pump tells.
#[derive(Debug)]
pub(super) enum Told {
    /// A full scan begins as soon as this is answered: what it does not tell before `ScanEnds` is gone, unless it came to be known in
    /// another way after the answer.
    ScanBegins(Bucket, oneshot::Sender<()>),
    /// A record.
    Put(Bucket, Entry),
    /// A record was removed, and where the watch stands after that.
    Deleted(Bucket, Key, Cursor),
    /// Where the watch stands, without a record to show for it.
    Reached(Bucket, Cursor),
    /// The scan has told everything up to this cursor.
    ScanEnds(Bucket, Cursor),
    /// The bucket cannot be watched at present.
    Lost(Bucket, StoreError),
}

/// Tells everything about `bucket` until the receiver is gone.
pub(super) async fn pump(store: Arc<dyn Store>, bucket: Bucket, tell: mpsc::Sender<Told>) {
    loop {
        match scan_and_watch(&store, bucket, &tell).await {
            Ok(Next::Rescan) => {}
            Ok(Next::Stop) => return,
            Err(err) => {
                if tell.send(Told::Lost(bucket, err)).await.is_err() {
                    return;
                }
                tokio::time::sleep(REOPEN_AFTER).await;
            }
        }
    }
}

enum Next {
    Rescan,
    Stop,
}

async fn scan_and_watch(
    store: &Arc<dyn Store>,
    bucket: Bucket,
    tell: &mpsc::Sender<Told>,
) -> Result<Next, StoreError> {
    // Answered before the scan: what the follower learned by itself until then is old enough to be in it.
    let (begin, begun) = oneshot::channel();
    if tell.send(Told::ScanBegins(bucket, begin)).await.is_err() || begun.await.is_err() {
        return Ok(Next::Stop);
    }
    let mut watch: Watch = store.watch(bucket, &Prefix::ALL, None).await?;
    let rescan_at = tokio::time::Instant::now() + SCAN_EVERY;
    let mut caught_up = false;
    loop {
        let change = tokio::select! {
            // Cancel-safe: `Watch::next` loses nothing.
            change = watch.next() => change,
            () = tokio::time::sleep_until(rescan_at), if caught_up => return Ok(Next::Rescan),
            () = tell.closed() => return Ok(Next::Stop),
        };
        let told = match change {
            None => return Ok(Next::Stop),
            Some(Err(StoreError::Rescan)) => return Ok(Next::Rescan),
            Some(Err(err)) => return Err(err),
            Some(Ok(Change::Put(entry))) => Told::Put(bucket, entry),
            Some(Ok(Change::Deleted(key, cursor))) => Told::Deleted(bucket, key, cursor),
            Some(Ok(Change::Reached(cursor))) => Told::Reached(bucket, cursor),
            Some(Ok(Change::CaughtUp(cursor))) => {
                caught_up = true;
                Told::ScanEnds(bucket, cursor)
            }
        };
        if tell.send(told).await.is_err() {
            return Ok(Next::Stop);
        }
    }
}
