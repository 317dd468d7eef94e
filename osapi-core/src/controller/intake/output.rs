//! Output that travels beside reports, in chunks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

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
    let record = Bytes::from(record);
    match shared.store.create(Bucket::Output, key, record.clone()).await {
        Ok(_) => Ok(true),
        Err(StoreError::Exists) => is_there(shared, key, &record).await,
        Err(StoreError::Full(_) | StoreError::TooLarge { .. }) => Ok(false),
        Err(err) => Err(err.into()),
    }
}

/// Whether what is there already is this chunk. Nobody signs chunks: whoever has the host's login may have been faster.
async fn is_there(shared: &Shared, key: &Key, record: &Bytes) -> Result<bool, Error> {
    let entry = records::read(&*shared.store, Bucket::Output, key).await?;
    let is_there = entry.is_some_and(|entry| entry.value == *record);
    if !is_there {
        tracing::warn!(%key, "another chunk of output is in the place of this one: it stays incomplete");
    }
    Ok(is_there)
}
