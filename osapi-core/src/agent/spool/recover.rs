//! What an execution wrote before the agent that watched it crashed.

use std::io;
use std::path::{Path, PathBuf};

use super::{Collected, Kept, Output, file_name};
use crate::blocking::blocking;
use crate::id::JobId;
use crate::job::StreamReport;
use crate::job::report::Stream;

/// Finds what `dir` has of the output of an interrupted execution. There may have been more: both streams are `incomplete`.
pub async fn recover(dir: &Path, job: JobId) -> Collected {
    let place = |stream| dir.join(file_name(job, stream));
    let (stdout, stderr) = (place(Stream::Stdout), place(Stream::Stderr));
    blocking(move || Collected { stdout: found(stdout), stderr: found(stderr) }).await
}

fn found(path: PathBuf) -> Output {
    let name = path.display().to_string();
    read(path).unwrap_or_else(|err| {
        if err.kind() != io::ErrorKind::NotFound {
            tracing::warn!(path = name, error = %err, "output of an interrupted execution is lost");
        }
        let report = StreamReport { incomplete: true, ..StreamReport::empty() };
        Output { report, kept: Kept::in_memory(bytes::Bytes::new()) }
    })
}

fn read(path: PathBuf) -> io::Result<Output> {
    let (kept, extent) = Kept::open_interrupted(path)?;
    let (sha256, parts) = kept.hash()?;
    let report = StreamReport {
        total: extent.total,
        kept: extent.kept,
        head: extent.head,
        sha256,
        inline: None,
        incomplete: true,
        parts,
    };
    Ok(Output { report, kept })
}
