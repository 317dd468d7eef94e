//! All output of the hosts of a job: what answers only begin is fetched.

use osapi_client::{Client, ErrorKind, JobId, Stream};
use osapi_core::api::types::HostResult;

use crate::error::Result;
use crate::render::outcome::Shown;

/// The rows with all bytes that were kept.
///
/// # Errors
/// When output that is there cannot be fetched.
pub(crate) async fn complete(
    client: &Client,
    job: JobId,
    rows: &[HostResult],
) -> Result<Vec<Shown>> {
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        let stdout = stream(client, job, row, Stream::Stdout).await?;
        let stderr = stream(client, job, row, Stream::Stderr).await?;
        shown.push(Shown { row: row.clone(), stdout, stderr });
    }
    Ok(shown)
}

async fn stream(client: &Client, job: JobId, row: &HostResult, stream: Stream) -> Result<Vec<u8>> {
    match client.full_output(job, row, stream).await {
        Ok(bytes) => Ok(bytes.into()),
        // There is none yet, or it may not be seen: the row says which.
        Err(error) if error.kind() == ErrorKind::NoOutput => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
