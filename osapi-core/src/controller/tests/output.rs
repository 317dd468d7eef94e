//! Output in chunks, which nobody has signed: what is shown of it is what the report says, or is said to be missing.

use std::ops::Range;

use super::*;
use crate::api::types::HostResult;
use crate::job::report::Parts;

/// No multiple of a chunk.
const SIZE: usize = 7 * CHUNK_MAX + 7;
const CHUNK: u64 = CHUNK_MAX as u64;

/// Bytes that take so much room in JSON that an answer has only the first of them.
fn written() -> Vec<u8> {
    (0..SIZE).map(|n| 14 + (n % 17) as u8).collect()
}

/// The same number of bytes that nobody wrote.
fn forged(bytes: &[u8]) -> Vec<u8> {
    vec![b'#'; bytes.len()]
}

struct Done {
    fleet: Fleet,
    controller: Controller,
    agent: Agent,
    job: JobId,
}

impl Done {
    /// A job whose output of `bytes` came in chunks; somebody with the host's login sent others, at these places, before the agent did.
    async fn with(bytes: &[u8], forgeries: &[usize], has_parts: bool) -> Self {
        let fleet = Fleet::new();
        let controller = fleet.controller().await;
        let mut agent = fleet.ready_agent("web-01", &controller).await;
        let job = controller.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
        agent.order().await;
        let mut done = Self { fleet, controller, agent, job };
        let of = Digest::of(bytes);
        let chunks: Vec<_> = bytes.chunks(CHUNK_MAX).collect();
        for place in forgeries {
            assert!(done.send(*place, &forged(chunks[*place]), of).await);
        }
        for (place, chunk) in chunks.iter().enumerate() {
            let is_stored = done.send(place, chunk, of).await;
            assert_eq!(is_stored, !forgeries.contains(&place), "what is there is another");
            assert_eq!(done.send(place, chunk, of).await, is_stored, "sent again");
        }
        done.report(bytes, has_parts).await;
        done
    }

    /// Whether the chunk is said to be stored.
    async fn send(&mut self, place: usize, chunk: &[u8], sha256: Digest) -> bool {
        let (identity, stream) = (self.agent.identity.clone(), Stream::Stdout);
        let (job, offset) = (self.job, (place * CHUNK_MAX) as u64);
        let data = STANDARD.encode(chunk);
        let chunk = OutputChunk { identity, job, stream, offset, data, sha256 };
        self.agent.work(&FromAgent::Output(chunk)).await;
        loop {
            if let ToAgent::OutputSettled(settled) = self.agent.next().await {
                assert_eq!(settled.offset, offset);
                return settled.stored;
            }
        }
    }

    async fn report(&mut self, bytes: &[u8], has_parts: bool) {
        let mut report = self.agent.report(self.job, Outcome::Exited { code: 0 }, bytes);
        report.stdout.inline = None;
        report.stdout.parts = has_parts.then(|| Parts {
            size: CHUNK,
            sha256: bytes.chunks(CHUNK_MAX).map(Digest::of).collect(),
        });
        self.agent.send_report(&report).await;
        self.controller.results(&admin(), self.job, None).await.unwrap();
    }

    async fn row(&self) -> HostResult {
        let results = self.controller.results(&admin(), self.job, NOW).await.unwrap();
        results.results.into_iter().next().unwrap()
    }

    /// As much of the range as is given.
    async fn read(&self, range: Range<u64>) -> Vec<u8> {
        let name = &self.agent.identity.name;
        let (mut at, mut bytes) = (range.start, Vec::new());
        while at < range.end {
            let left = at..range.end;
            let piece =
                self.controller.output(&admin(), self.job, name, Stream::Stdout, left).await;
            let piece = piece.unwrap().bytes;
            if piece.is_empty() {
                break;
            }
            at += piece.len() as u64;
            bytes.extend_from_slice(&piece);
        }
        bytes
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_in_chunks_is_read_whole_and_in_every_range() {
    let bytes = written();
    for has_parts in [true, false] {
        let done = Done::with(&bytes, &[], has_parts).await;
        let row = done.row().await;
        assert!(!row.stdout_incomplete && row.stdout_url.is_some());
        assert_eq!(row.stdout.unwrap().as_bytes(), &bytes[..8192]);
        let end = SIZE as u64;
        for range in [0..end, 0..1, CHUNK - 1..CHUNK + 1, 3 * CHUNK..6 * CHUNK, end - 9..end] {
            let expected = &bytes[range.start as usize..range.end as usize];
            assert!(done.read(range.clone()).await == expected, "{range:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_forged_chunk_is_missing_wherever_it_is_read_and_what_is_beside_it_is_not() {
    let bytes = written();
    let done = Done::with(&bytes, &[5], true).await;
    let row = done.row().await;
    assert!(row.stdout_incomplete && row.stdout.unwrap().as_bytes() == &bytes[..5 * CHUNK_MAX]);
    assert!(done.read(0..SIZE as u64).await == bytes[..5 * CHUNK_MAX]);
    assert!(done.read(5 * CHUNK + 9..5 * CHUNK + 10).await.is_empty());
    assert!(done.read(6 * CHUNK..SIZE as u64).await == bytes[6 * CHUNK_MAX..]);

    let done = Done::with(&bytes, &[0], true).await;
    let row = done.row().await;
    assert_eq!((row.stdout.as_deref(), row.stdout_incomplete), (Some(""), true));
}

#[tokio::test(start_paused = true)]
async fn without_hashes_of_parts_nothing_is_shown_unless_the_whole_is_what_the_report_says() {
    let bytes = written();
    let done = Done::with(&bytes, &[6], false).await;
    let row = done.row().await;
    assert_eq!((row.stdout.as_deref(), row.stdout_incomplete), (Some(""), true));
    assert!(done.read(0..CHUNK).await.is_empty());
    assert!(done.read(7..8).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_size_that_no_agent_makes_break_nothing() {
    let bytes = written();
    for size in [0, 1, CHUNK - 1, u64::MAX] {
        let mut done = Done::with(&[], &[], false).await;
        let job = done.controller.submit(&admin(), submission(&done.fleet, host("web-01"))).await;
        done.job = job.unwrap();
        let of = Digest::of(&bytes);
        for (place, chunk) in bytes.chunks(CHUNK_MAX).enumerate() {
            assert!(done.send(place, chunk, of).await);
        }
        let mut report = done.agent.report(done.job, Outcome::Exited { code: 0 }, &bytes);
        report.stdout.inline = None;
        report.stdout.parts = Some(Parts { size, sha256: vec![Digest::of(&bytes)] });
        done.agent.send_report(&report).await;
        done.controller.results(&admin(), done.job, None).await.unwrap();
        assert!(done.read(0..SIZE as u64).await == bytes, "{size}: it is one part");
    }
}
