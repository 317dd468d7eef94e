//! Waiting until a controller has read what the store had when it was asked.

use std::time::Duration;

use super::error::Error;
use super::{Controller, Shared};
use crate::backend::{Bucket, StoreError};

/// How long that may take.
const WITHIN: Duration = Duration::from_secs(2);

/// Waits until everything is known that had been written to the bucket before this was asked.
///
/// # Errors
/// When the store fails, or reading takes too long.
pub(super) async fn read_up(shared: &Shared, bucket: Bucket) -> Result<(), Error> {
    let head = shared.store.head(bucket).await?;
    if shared.ask(move |state| state.has_read(bucket, head)).await? {
        return Ok(());
    }
    let read = shared.ask(move |state| state.read_up_to(bucket, head)).await?;
    // Records that were overwritten may be skipped, and then nothing comes that is new enough: the full scans find out.
    match tokio::time::timeout(WITHIN, read).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Error::ShuttingDown),
        Err(_) => {
            let why = format!("bucket {bucket} cannot be read up to date");
            Err(Error::Store(StoreError::Unavailable(why.into())))
        }
    }
}

impl Controller {
    pub(super) async fn read_up(&self, bucket: Bucket) -> Result<(), Error> {
        read_up(&self.shared, bucket).await
    }
}
