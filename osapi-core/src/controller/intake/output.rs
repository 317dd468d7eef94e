//! Output that travels beside reports, in chunks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::admission;
use crate::backend::{Bucket, Key, StoreError};
use crate::controller::Shared;
use crate::controller::error::Error;
use crate::controller::outbound::Outbound;
use crate::controller::records;
use crate::controller::remove::is_gone;
use crate::controller::state::Admission;
use crate::id::{AgentName, Digest};
use crate::job::limits;
use crate::message::word::{OutputChunk, OutputSettled};

/// Stores a chunk, and says whether it is stored. What may be taken later gets no answer, so that the agent asks again.
pub(super) async fn store(
    shared: &Shared,
    name: &AgentName,
    chunk: OutputChunk,
) -> Result<(), Error> {
    let OutputChunk { identity, job, stream, offset, sha256, ref data } = chunk;
    let bytes = STANDARD.decode(data).ok().filter(|bytes| bytes.len() <= limits::CHUNK_MAX);
    let (Some(bytes), true) = (bytes, identity.name == *name) else {
        tracing::warn!(agent = %name, "a chunk of output cannot be read");
        return Ok(());
    };
    let expected = match admission(shared, job, &identity).await? {
        Admission::Open | Admission::Present(_) => true,
        Admission::NotAddressed => false,
        // It may be a job that was not read yet, or not claimed yet: the agent asks again.
        Admission::NotClaimed(_) | Admission::ClaimLost(_) => return Ok(()),
        Admission::Removed => return Ok(()),
        Admission::NoJob if !is_gone(shared, job).await => return Ok(()),
        Admission::NoJob => false,
    };
    // Chunks lie at fixed places, so that a range is read without reading what is before it.
    let in_place = offset % limits::CHUNK_MAX as u64 == 0;
    let key = records::output_key(job, name, stream, offset);
    let stored = expected && in_place && write(shared, &key, &sha256, bytes).await?;
    let settled = OutputSettled { identity, job, stream, offset, sha256, stored };
    shared.outbox.deliver(name, Outbound::OutputSettled(settled)).await;
    Ok(())
}

/// Writes a chunk behind the hash of the stream that it is part of. A full bucket costs the output, never the report.
async fn write(shared: &Shared, key: &Key, stream: &Digest, bytes: Vec<u8>) -> Result<bool, Error> {
    let mut record = stream.as_bytes().to_vec();
    record.extend(bytes);
    match shared.store.create(Bucket::Output, key, record.into()).await {
        Ok(_) | Err(StoreError::Exists) => Ok(true),
        Err(StoreError::Full(_) | StoreError::TooLarge { .. }) => Ok(false),
        Err(err) => Err(err.into()),
    }
}
