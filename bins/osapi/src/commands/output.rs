//! All output of the hosts of a job: what answers only begin is fetched.

use osapi_client::{AgentName, Client, ErrorKind, JobId, Stream};
use osapi_core::api::types::HostResult;

use crate::args::remote::JobOutputArgs;
use crate::error::{CliError, Result};
use crate::render::outcome::{self, Shown};
use crate::render::{Screen, Side};

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

/// Writes what was kept of one stream of one host, piece by piece, and says what was not kept.
///
/// # Errors
/// When there is no such job, host or output, it may not be seen, or the server cannot be asked.
pub(crate) async fn all(client: &Client, args: &JobOutputArgs, screen: &mut Screen) -> Result<()> {
    let stream = if args.stderr { Stream::Stderr } else { Stream::Stdout };
    let details = client.job(args.id).details().await?;
    let row = details.results.iter().find(|row| row.hostname == args.host);
    let row = row.ok_or_else(|| no_host(args.id, &args.host))?;
    let mut reader = client.output(args.id, &args.host, stream);
    if let Some(range) = args.range {
        reader = reader.range(range.within(kept(row, stream)));
    }
    loop {
        match reader.chunk().await {
            Ok(Some(piece)) => screen.host(Side::Out, &piece)?,
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(CliError::from(error).hint(outcome::without_output(args.id, row)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(outcome::stream_notes(screen, row, stream)?)
}

fn no_host(job: JobId, host: &AgentName) -> CliError {
    CliError::new(format!("job {job} is not for a host named '{host}'"))
        .hint(format!("'osapi job get {job}' shows its hosts"))
}

/// How many bytes were kept, as far as the row says.
fn kept(row: &HostResult, stream: Stream) -> u64 {
    let (written, gap) = match stream {
        Stream::Stdout => (row.stdout_bytes, row.stdout_gap),
        Stream::Stderr => (row.stderr_bytes, row.stderr_gap),
    };
    written.saturating_sub(gap.map_or(0, |gap| gap.bytes))
}
