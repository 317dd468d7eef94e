//! What the agent says. Words and reports go through one queue, output through another, so that reading large output delays nothing.
//!
//! Nothing here is certain to arrive, and nothing needs to be: what matters is said again until it is answered.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::AgentParts;
use crate::agent::journal::{Chunked, Journal};
use crate::agent::machine::Event;
use crate::agent::spool::Kept;
use crate::agent::upload::Chunk;
use crate::backend::Bus;
use crate::id::{Identity, JobId};
use crate::job::report::Stream;
use crate::message::word::OutputChunk;
use crate::message::{FromAgent, Subject, encode};

/// Messages that may wait to be published; what comes beyond them is dropped.
const QUEUE: usize = 1024;
/// Chunks that may wait to be read and published.
const CHUNKS: usize = 64;
/// Files that are kept open for their chunks.
const OPEN_FILES: usize = 16;
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is said.
pub(super) enum Said {
    /// A message.
    Message(FromAgent),
    /// The report of a job, as the journal has it.
    Report(JobId),
}

struct Sending {
    job: JobId,
    chunk: Chunk,
    of: Chunked,
}

pub(super) struct Voice {
    words: mpsc::Sender<Said>,
    chunks: mpsc::Sender<Sending>,
    tasks: JoinSet<()>,
    dropped: u64,
}

impl Voice {
    pub(super) fn new(me: Identity, parts: &AgentParts, tell: mpsc::Sender<Event>) -> Self {
        let (words, said) = mpsc::channel(QUEUE);
        let (chunks, to_send) = mpsc::channel(CHUNKS);
        let mouth = Mouth { me, bus: Arc::clone(&parts.bus), journal: Arc::clone(&parts.journal) };
        let (spool, open) = (parts.spool.clone(), HashMap::new());
        let uploader = Uploader { mouth: mouth.clone(), spool, open, tell };
        let mut tasks = JoinSet::new();
        tasks.spawn(mouth.speak(said));
        tasks.spawn(uploader.upload(to_send));
        Self { words, chunks, tasks, dropped: 0 }
    }

    pub(super) fn say(&mut self, said: Said) {
        if self.words.try_send(said).is_err() {
            self.count_dropped();
        }
    }

    pub(super) fn send_chunk(&mut self, job: JobId, chunk: Chunk, of: Chunked) {
        if self.chunks.try_send(Sending { job, chunk, of }).is_err() {
            self.count_dropped();
        }
    }

    fn count_dropped(&mut self) {
        self.dropped += 1;
        tracing::debug!(dropped = self.dropped, "the bus is slow: a message is said again later");
    }

    /// Says what is still to be said, if that does not take long.
    pub(super) async fn finish(self) {
        let Self { words, chunks, mut tasks, .. } = self;
        drop((words, chunks));
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            tracing::warn!("the last words of the agent could not be said in time");
        }
    }
}

#[derive(Clone)]
struct Mouth {
    me: Identity,
    bus: Arc<dyn Bus>,
    journal: Arc<dyn Journal>,
}

impl Mouth {
    async fn speak(self, mut said: mpsc::Receiver<Said>) {
        while let Some(said) = said.recv().await {
            match said {
                Said::Message(message) => self.publish(&message).await,
                Said::Report(job) => match self.journal.report(job).await {
                    Ok(Some(report)) => self.publish(&FromAgent::Report(report)).await,
                    Ok(None) => tracing::error!(%job, "the journal has no report of an ended job"),
                    Err(err) => tracing::error!(%job, error = %err, "a report cannot be read"),
                },
            }
        }
    }

    async fn publish(&self, message: &FromAgent) {
        let name = self.me.name.clone();
        let subject = match message {
            FromAgent::Hello(_) | FromAgent::Receipt(_) => Subject::Heard(name),
            FromAgent::Register(_)
            | FromAgent::Claim(_)
            | FromAgent::Report(_)
            | FromAgent::Output(_) => Subject::Work(name),
        };
        if let Err(err) = self.bus.publish(&subject, encode(message).into()).await {
            tracing::debug!(%subject, error = %err, "a message was not published");
        }
    }
}

struct Uploader {
    mouth: Mouth,
    spool: PathBuf,
    open: HashMap<(JobId, Stream), Kept>,
    tell: mpsc::Sender<Event>,
}

impl Uploader {
    async fn upload(mut self, mut chunks: mpsc::Receiver<Sending>) {
        while let Some(Sending { job, chunk, of }) = chunks.recv().await {
            match self.read(job, chunk, &of).await {
                Ok(data) => {
                    let (identity, stream) = (self.mouth.me.clone(), chunk.stream);
                    let (offset, sha256) = (chunk.offset, of.sha256);
                    let chunk = OutputChunk { identity, job, stream, offset, data, sha256 };
                    self.mouth.publish(&FromAgent::Output(chunk)).await;
                }
                Err(err) => {
                    tracing::warn!(%job, error = %err, "a part of kept output cannot be read");
                    self.open.remove(&(job, chunk.stream));
                    if self.tell.send(Event::ChunkLost { job, chunk }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn read(&mut self, job: JobId, chunk: Chunk, of: &Chunked) -> io::Result<String> {
        let len = usize::try_from(chunk.len).map_err(io::Error::other)?;
        let kept = self.kept(job, of).await?;
        let bytes = kept.read(chunk.offset, len).await?;
        if bytes.len() < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(STANDARD.encode(bytes))
    }

    async fn kept(&mut self, job: JobId, of: &Chunked) -> io::Result<Kept> {
        let Chunked { stream, kept, sha256 } = *of;
        if let Some(kept) = self.open.get(&(job, stream)) {
            return Ok(kept.clone());
        }
        let kept = Kept::open(&self.spool, job, stream, kept, sha256).await?;
        if self.open.len() >= OPEN_FILES {
            self.open.clear();
        }
        self.open.insert((job, stream), kept.clone());
        Ok(kept)
    }
}
