//! Reading back what the store keeps of executions: reports, and output that travelled beside them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Shared;
use super::error::Error;
use super::records::{self, ReportBatch};
use crate::api::endpoints::JobOutput;
use crate::api::types::{Encoding, HostResult};
use crate::backend::{Bucket, Key};
use crate::id::{AgentName, Digest, JobId};
use crate::job::facts::{ReportFacts, StreamFacts};
use crate::job::limits::{ANSWER_EXCERPT, CHUNK_MAX};
use crate::job::report::Stream;
use crate::job::{Outcome, Parts, Report, StreamReport};

/// What was read of a stream.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Whether everything that was asked for is there, and is what the report says.
    whole: bool,
}

/// Reads the reports and the output of one job. Reports that share a record are read together.
pub(super) struct Reader<'a> {
    shared: &'a Shared,
    job: JobId,
    batches: HashMap<Arc<str>, ReportBatch>,
    /// The report that was opened last: each is asked for its value and for both of its streams.
    opened: Option<(Digest, Report)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(shared: &'a Shared, job: JobId) -> Self {
        Self { shared, job, batches: HashMap::new(), opened: None }
    }

    pub(super) async fn fill(
        &mut self,
        row: &mut HostResult,
        facts: &ReportFacts,
        everything: bool,
        room: &mut usize,
    ) -> Result<(), Error> {
        if let Outcome::Returned { value } = &self.report(facts).await?.outcome {
            row.value = Some(value.clone()).filter(|value| *value != Value::Null);
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let shown = self.show(&row.hostname, stream, facts, everything, room).await?;
            match stream {
                Stream::Stdout => {
                    (row.stdout, row.stdout_encoding, row.stdout_url) =
                        (Some(shown.text), shown.encoding, shown.url);
                    row.stdout_incomplete |= shown.damaged;
                }
                Stream::Stderr => {
                    (row.stderr, row.stderr_encoding, row.stderr_url) =
                        (Some(shown.text), shown.encoding, shown.url);
                    row.stderr_incomplete |= shown.damaged;
                }
            }
        }
        Ok(())
    }

    async fn show(
        &mut self,
        host: &AgentName,
        stream: Stream,
        report: &ReportFacts,
        everything: bool,
        room: &mut usize,
    ) -> Result<Shown, Error> {
        let kept = facts_of(report, stream).kept;
        let excerpt = kept.min(ANSWER_EXCERPT as u64);
        if everything || kept == excerpt {
            let piece = self.read(host, stream, report, 0..kept).await?;
            let shown = Shown::of(piece);
            let size = json_size(&shown.text);
            if size <= *room || kept == excerpt {
                *room = room.saturating_sub(size);
                return Ok(shown);
            }
        }
        let piece = self.read(host, stream, report, 0..excerpt).await?;
        let url = Some(JobOutput::location(self.job, host, stream));
        Ok(Shown { url, ..Shown::of(cut_at_character(piece)) })
    }

    /// The bytes `range` of a stream, from the report or from chunks. What is missing ends them.
    pub(super) async fn read(
        &mut self,
        host: &AgentName,
        stream: Stream,
        report: &ReportFacts,
        range: Range<u64>,
    ) -> Result<Piece, Error> {
        let facts = facts_of(report, stream);
        let bytes = if facts.inline {
            let side = side(self.report(report).await?, stream);
            let all =
                STANDARD.decode(side.inline.as_deref().unwrap_or_default()).unwrap_or_default();
            let to = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(all.len());
            all[to(range.start)..to(range.end)].to_vec()
        } else {
            self.read_chunks(host, stream, report, range.clone()).await?
        };
        let all_there = bytes.len() as u64 == range.end - range.start;
        let is_all = range == (0..facts.kept);
        let whole = all_there && (!is_all || Digest::of(&bytes) == facts.sha256);
        Ok(Piece { bytes, whole })
    }

    /// The bytes `range` of a stream that came in chunks. Nobody has signed a chunk: a part that is not what the report says is missing.
    async fn read_chunks(
        &mut self,
        host: &AgentName,
        stream: Stream,
        report: &ReportFacts,
        range: Range<u64>,
    ) -> Result<Vec<u8>, Error> {
        let StreamFacts { kept, sha256, .. } = *facts_of(report, stream);
        let parts = side(self.report(report).await?, stream).parts.as_ref();
        let parts = parts.filter(|parts| parts.is_sound()).cloned();
        let parts = parts.unwrap_or_else(|| Parts::single(kept, sha256));
        let mut bytes = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let Some((part, digest)) = parts.around(at, kept) else { break };
            let wanted = at..range.end.min(part.end);
            at = wanted.end;
            let place = Place { host, stream, sha256 };
            match self.read_part(place, part, digest, wanted).await? {
                Some(read) => bytes.extend_from_slice(&read),
                None => break,
            }
        }
        Ok(bytes)
    }

    /// The bytes `wanted` of a part, if all of it is there and is what the report says.
    async fn read_part(
        &self,
        Place { host, stream, sha256 }: Place<'_>,
        part: Range<u64>,
        digest: Digest,
        wanted: Range<u64>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let chunk = CHUNK_MAX as u64;
        let (mut hash, mut bytes) = (Sha256::new(), Vec::new());
        let mut at = part.start;
        while at < part.end {
            let first = at - at % chunk;
            let end = first.saturating_add(chunk).min(part.end);
            let key = records::output_key(self.job, host, stream, first);
            let entry = self.shared.store.get(Bucket::Output, &key).await?;
            // A chunk of another attempt is not of this stream.
            let data = entry
                .as_ref()
                .and_then(|entry| entry.value.strip_prefix(sha256.as_bytes().as_slice()));
            let within = |range: Range<u64>| {
                let place = |at: u64| usize::try_from(at - first).ok();
                data?.get(place(range.start)?..place(range.end)?)
            };
            let Some(piece) = within(at..end) else { return Ok(None) };
            hash.update(piece);
            let overlap = wanted.start.max(at)..wanted.end.min(end);
            if overlap.start < overlap.end {
                bytes.extend_from_slice(within(overlap).unwrap_or_default());
            }
            at = end;
        }
        let is_genuine = Digest::from_bytes(hash.finalize().into()) == digest;
        Ok(is_genuine.then_some(bytes))
    }

    /// A report as it stands in the store, if it still is the one whose facts are known.
    async fn report(&mut self, facts: &ReportFacts) -> Result<&Report, Error> {
        let report = match self.opened.take() {
            Some((digest, report)) if digest == facts.signed => report,
            _ => self.open(facts).await?,
        };
        Ok(&self.opened.insert((facts.signed, report)).1)
    }

    async fn open(&mut self, facts: &ReportFacts) -> Result<Report, Error> {
        let damaged = || Error::JobDamaged {
            job: self.job,
            reason: "a report in the store was altered".into(),
        };
        let place = &facts.place;
        if !self.batches.contains_key(&place.key) {
            let key: Key = place.key.parse().map_err(|_| damaged())?;
            let entry = records::read(&*self.shared.store, Bucket::Reports, &key).await?;
            let batch = records::decode(&entry.ok_or(Error::JobNotFound(self.job))?)?;
            self.batches.insert(Arc::clone(&place.key), batch);
        }
        let signed =
            self.batches.get(&place.key).and_then(|batch| batch.reports.get(place.index as usize));
        let signed = signed.filter(|signed| signed.digest() == facts.signed).ok_or_else(damaged)?;
        signed.peek().ok_or_else(damaged)
    }
}

/// Which stream chunks are of.
struct Place<'a> {
    host: &'a AgentName,
    stream: Stream,
    /// Of the whole stream.
    sha256: Digest,
}

/// A stream as it stands in an answer.
struct Shown {
    text: String,
    encoding: Encoding,
    url: Option<String>,
    damaged: bool,
}

impl Shown {
    fn of(piece: Piece) -> Self {
        let (text, encoding) = match String::from_utf8(piece.bytes) {
            Ok(text) => (text, Encoding::Utf8),
            Err(err) => (STANDARD.encode(err.as_bytes()), Encoding::Base64),
        };
        Self { text, encoding, url: None, damaged: !piece.whole }
    }
}

/// Cuts an excerpt before a character that it would split.
fn cut_at_character(mut piece: Piece) -> Piece {
    if let Err(err) = std::str::from_utf8(&piece.bytes)
        && err.error_len().is_none()
    {
        piece.bytes.truncate(err.valid_up_to());
    }
    piece
}

/// Bytes that a text takes in JSON (RFC 8259 §7).
fn json_size(text: &str) -> usize {
    let size = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(size).sum()
}

fn side(report: &Report, stream: Stream) -> &StreamReport {
    match stream {
        Stream::Stdout => &report.stdout,
        Stream::Stderr => &report.stderr,
    }
}

pub(super) fn facts_of(report: &ReportFacts, stream: Stream) -> &StreamFacts {
    match stream {
        Stream::Stdout => &report.stdout,
        Stream::Stderr => &report.stderr,
    }
}
