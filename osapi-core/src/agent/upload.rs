//! Sending kept output that is too large for its report: a window of chunks, each repeated until a controller says that it is settled.
//!
//! Output goes before its report, so that whoever sees the report can have the output; but a report waits only while that makes
//! progress.

use std::collections::BTreeMap;
use std::time::Duration;

use super::journal::Chunked;
use super::machine::pause_after;
use crate::id::Digest;
use crate::job::limits::CHUNK_MAX;
use crate::job::report::Stream;

/// Chunks of one job that are under way at once.
const WINDOW: usize = 8;
/// A report waits for its output no longer than this without progress, counting only time in which the bus could be reached.
const PATIENCE: Duration = Duration::from_secs(10);

/// A part of the kept bytes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chunk {
    /// Which stream.
    pub stream: Stream,
    /// Where in the kept bytes it begins.
    pub offset: u64,
    /// How many bytes it has: at most [`CHUNK_MAX`].
    pub len: u64,
}

/// The output of one job on its way.
#[derive(Debug)]
pub(super) struct Upload {
    streams: Vec<Chunked>,
    /// The next chunk that was never sent: a place in `streams`, and an offset.
    next: (usize, u64),
    flying: BTreeMap<Chunk, Flight>,
    /// Time without progress up to `since`, and since when the link has been up, if it is.
    idle: Duration,
    since: Option<Duration>,
}

#[derive(Debug)]
struct Flight {
    due: Duration,
    tries: u32,
}

impl Upload {
    /// The upload of these streams; `None` if there is nothing to send.
    pub(super) fn new(streams: &[Chunked]) -> Option<Self> {
        let streams: Vec<_> = streams.iter().filter(|stream| stream.kept > 0).cloned().collect();
        let (next, flying, idle, since) = ((0, 0), BTreeMap::new(), Duration::ZERO, None);
        (!streams.is_empty()).then_some(Self { streams, next, flying, idle, since })
    }

    /// The link came up: everything that is under way is sent again.
    pub(super) fn link_up(&mut self, now: Duration) {
        self.since.get_or_insert(now);
        for flight in self.flying.values_mut() {
            *flight = Flight { due: now, tries: 0 };
        }
    }

    /// The link went down.
    pub(super) fn link_down(&mut self, now: Duration) {
        self.idle = self.idle_at(now);
        self.since = None;
    }

    /// The chunks to send now, each with the stream that it is of.
    pub(super) fn send(&mut self, now: Duration) -> Vec<(Chunk, Chunked)> {
        if self.since.is_none() {
            return Vec::new();
        }
        let mut chunks = Vec::new();
        for (chunk, flight) in self.flying.iter_mut().filter(|(_, flight)| flight.due <= now) {
            *flight = Flight { due: now + pause_after(flight.tries), tries: flight.tries + 1 };
            chunks.push(*chunk);
        }
        while self.flying.len() < WINDOW
            && let Some(chunk) = self.next_chunk()
        {
            self.flying.insert(chunk, Flight { due: now + pause_after(0), tries: 1 });
            chunks.push(chunk);
        }
        chunks
            .into_iter()
            .filter_map(|chunk| Some((chunk, self.of(chunk.stream)?.clone())))
            .collect()
    }

    /// When [`Upload::send`] or [`Upload::is_stalled`] may have something new; `None` while the link is down.
    pub(super) fn due(&self, now: Duration) -> Option<Duration> {
        let since = self.since?;
        let resend = self.flying.values().map(|flight| flight.due).min();
        let stalled = (!self.is_stalled(now)).then(|| since + PATIENCE.saturating_sub(self.idle));
        resend.into_iter().chain(stalled).min()
    }

    /// A controller has settled the chunk at `offset`, or it cannot be read: it is not sent again. Tells whether it was under way.
    pub(super) fn settle(
        &mut self,
        stream: Stream,
        offset: u64,
        sha256: Option<Digest>,
        now: Duration,
    ) -> bool {
        if sha256.is_some() && sha256 != self.of(stream).map(|of| of.sha256) {
            return false;
        }
        let found = self.flying.keys().find(|c| c.stream == stream && c.offset == offset).copied();
        let was_flying = found.and_then(|chunk| self.flying.remove(&chunk)).is_some();
        if was_flying {
            self.idle = Duration::ZERO;
            self.since = self.since.map(|_| now);
        }
        was_flying
    }

    /// Whether every chunk is settled.
    pub(super) fn is_done(&self) -> bool {
        self.flying.is_empty() && self.next.0 == self.streams.len()
    }

    /// Whether the report has waited for long enough.
    pub(super) fn is_stalled(&self, now: Duration) -> bool {
        self.idle_at(now) >= PATIENCE
    }

    fn idle_at(&self, now: Duration) -> Duration {
        self.idle + self.since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    fn of(&self, stream: Stream) -> Option<&Chunked> {
        self.streams.iter().find(|one| one.stream == stream)
    }

    fn next_chunk(&mut self) -> Option<Chunk> {
        let (place, offset) = self.next;
        let Chunked { stream, kept, .. } = *self.streams.get(place)?;
        let len = (kept - offset).min(CHUNK_MAX as u64);
        let end = offset + len;
        self.next = if end == kept { (place + 1, 0) } else { (place, end) };
        Some(Chunk { stream, offset, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u64 = CHUNK_MAX as u64;

    fn stream(stream: Stream, kept: u64) -> Chunked {
        Chunked { stream, kept, sha256: Digest::of(&[stream as u8]) }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn chunks_cover_every_kept_byte_once_and_in_a_window() {
        let streams = [stream(Stream::Stdout, 9 * CHUNK + 5), stream(Stream::Stderr, 1)];
        let mut upload = Upload::new(&streams).unwrap();
        assert!(upload.send(at(0)).is_empty(), "the link is down");
        upload.link_up(at(0));
        let mut seen = Vec::new();
        while !upload.is_done() {
            let sent = upload.send(at(0));
            assert!(!sent.is_empty() && sent.len() <= WINDOW);
            for (chunk, of) in sent {
                assert!(upload.settle(chunk.stream, chunk.offset, Some(of.sha256), at(0)));
                seen.push(chunk);
            }
        }
        let out: u64 = seen.iter().filter(|c| c.stream == Stream::Stdout).map(|c| c.len).sum();
        assert_eq!((out, seen.len()), (9 * CHUNK + 5, 11));
    }

    #[test]
    fn a_chunk_is_repeated_until_it_is_settled() {
        let mut upload = Upload::new(&[stream(Stream::Stdout, 1)]).unwrap();
        upload.link_up(at(0));
        assert_eq!(upload.send(at(0)).len(), 1);
        assert!(upload.send(at(0)).is_empty());
        assert_eq!(upload.send(at(1)).len(), 1);
        assert!(!upload.settle(Stream::Stdout, 0, Some(Digest::of(b"other")), at(1)));
        assert!(upload.settle(Stream::Stdout, 0, None, at(1)));
        assert!(upload.is_done() && upload.send(at(60)).is_empty());
    }

    #[test]
    fn only_time_with_a_link_and_without_progress_counts_as_a_stall() {
        let mut upload = Upload::new(&[stream(Stream::Stdout, 2 * CHUNK)]).unwrap();
        upload.link_up(at(0));
        upload.send(at(0));
        upload.link_down(at(6));
        upload.link_up(at(100));
        assert!(!upload.is_stalled(at(103)));
        assert!(upload.is_stalled(at(104)));
        upload.settle(Stream::Stdout, 0, None, at(104));
        assert!(!upload.is_stalled(at(113)));
        assert!(upload.is_stalled(at(114)));
    }

    #[test]
    fn nothing_kept_is_nothing_to_send() {
        assert!(Upload::new(&[stream(Stream::Stdout, 0)]).is_none());
    }
}
