use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::id::Digest;
use crate::job::Parts;
use crate::job::limits::CHUNK_MAX;

fn job() -> JobId {
    "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()
}

async fn reopen(dir: &Path, stream: Stream, report: &StreamReport) -> io::Result<Kept> {
    Kept::open(dir, job(), stream, report.kept, report.sha256).await
}

fn text(len: usize, seed: usize) -> Bytes {
    (0..len).map(|n| (n.wrapping_mul(31) ^ (n >> 8) ^ seed) as u8).collect()
}

async fn all(kept: &Kept) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < kept.len() {
        bytes.extend_from_slice(&kept.read(bytes.len() as u64, 1000).await.unwrap());
    }
    bytes
}

/// What has to be kept, said as simply as possible.
fn model(written: &[u8], limit: usize) -> (Vec<u8>, usize) {
    if written.len() <= limit {
        return (written.to_vec(), written.len());
    }
    let tail = limit / 2;
    let head = limit - tail;
    let kept = [&written[..head], &written[written.len() - tail..]].concat();
    (kept, head)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_keeps_what_the_model_keeps(
        limit in prop_oneof![0_usize..40, 60_000_usize..200_000],
        writes in prop::collection::vec(prop_oneof![0_usize..30, 1_usize..70_000], 0..12),
        offset in 0_u64..200_000,
    ) {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let spool = Spool::new(dir.path(), job(), limit);
            let mut written = Vec::new();
            for (seed, len) in writes.into_iter().enumerate() {
                let bytes = text(len, seed);
                written.extend_from_slice(&bytes);
                spool.write(Stream::Stderr, bytes).await;
            }
            let (expected, head) = model(&written, limit);
            let Output { report, kept } = spool.finish().await.stderr;
            prop_assert_eq!(&all(&kept).await, &expected);
            prop_assert_eq!(report.total, written.len() as u64);
            prop_assert_eq!((report.kept, report.head), (expected.len() as u64, head as u64));
            prop_assert_eq!(report.sha256, Digest::of(&expected));
            prop_assert!(!report.incomplete);
            let part = kept.read(offset, 100).await.unwrap();
            let from = expected.len().min(offset as usize);
            prop_assert_eq!(&part[..], &expected[from..expected.len().min(from + 100)]);
            prop_assert_eq!(kept.is_on_disk(), expected.len() > MEMORY_MAX);
            if kept.is_on_disk() {
                let again = reopen(dir.path(), Stream::Stderr, &report).await.unwrap();
                prop_assert_eq!(all(&again).await, expected);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn small_output_touches_no_disk() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path(), job(), 1 << 20);
    spool.write(Stream::Stdout, text(MEMORY_MAX, 0)).await;
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    spool.write(Stream::Stdout, text(1, 0)).await;
    let file = dir.path().join(format!("{}.out", job()));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let collected = spool.finish().await;
    assert_eq!(collected.stdout.report.total, MEMORY_MAX as u64 + 1);
    assert_eq!(collected.stderr.report.sha256, Digest::of(b""));
    assert_eq!(jobs_in(dir.path()).unwrap().into_iter().collect::<Vec<_>>(), [job()]);
    collected.stdout.kept.remove().await.unwrap();
    assert!(!file.exists());
    discard(dir.path(), job()).unwrap();
}

#[tokio::test]
async fn a_disk_that_fails_costs_output_only() {
    let spool = Spool::new(Path::new("/nonexistent/spool"), job(), 1 << 20);
    spool.write(Stream::Stdout, text(1000, 0)).await;
    spool.write(Stream::Stdout, text(MEMORY_MAX, 1)).await;
    spool.write(Stream::Stdout, text(10, 2)).await;
    let Output { report, kept } = spool.finish().await.stdout;
    assert_eq!((report.total, report.kept), (1010 + MEMORY_MAX as u64, 1000));
    assert!(report.incomplete);
    assert_eq!(all(&kept).await, text(1000, 0));
}

#[tokio::test]
async fn a_file_that_was_changed_is_not_taken_for_the_output() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path(), job(), 1 << 20);
    spool.write(Stream::Stdout, text(100_000, 0)).await;
    let report = spool.finish().await.stdout.report;
    let file = dir.path().join(format!("{}.out", job()));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[note::LEN as usize + 7] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let kind = |opened: io::Result<Kept>| opened.unwrap_err().kind();
    let opened = reopen(dir.path(), Stream::Stdout, &report).await;
    assert_eq!(kind(opened), io::ErrorKind::InvalidData);
    std::fs::write(&file, b"").unwrap();
    let opened = reopen(dir.path(), Stream::Stdout, &report).await;
    assert_eq!(kind(opened), io::ErrorKind::UnexpectedEof);
    std::fs::remove_file(&file).unwrap();
    let opened = reopen(dir.path(), Stream::Stdout, &report).await;
    assert_eq!(kind(opened), io::ErrorKind::NotFound);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn after_a_crash_there_is_what_was_written_until_then(
        limit in prop_oneof![0_usize..40, 60_000_usize..200_000],
        writes in prop::collection::vec(prop_oneof![0_usize..30, 1_usize..70_000], 1..12),
        since in 0_usize..3,
    ) {
        run(async {
            let dir = tempfile::tempdir().unwrap();
            let spool = Spool::new(dir.path(), job(), limit);
            let mut written = Vec::new();
            for (n, len) in writes.into_iter().enumerate() {
                if n == since {
                    spool.outlive().await;
                }
                let bytes = text(len, n);
                written.extend_from_slice(&bytes);
                spool.write(Stream::Stdout, bytes).await;
                if n < since {
                    continue;
                }
                let (expected, head) = model(&written, limit);
                let Output { report, kept } = recover(dir.path(), job()).await.stdout;
                prop_assert_eq!(&all(&kept).await, &expected);
                prop_assert!(report.incomplete);
                let total = if expected.is_empty() { 0 } else { written.len() as u64 };
                prop_assert_eq!((report.total, report.head), (total, head as u64));
                prop_assert_eq!(report.sha256, Digest::of(&expected));
            }
            Ok(())
        })?;
    }

    #[test]
    fn in_the_middle_of_a_write_what_is_certain_is_there(
        limit in 0_usize..24,
        total in 0_usize..60,
        len in 0_usize..60,
        done in 0_usize..60,
    ) {
        let layout = layout::Layout::new(limit);
        let stream = text(total + len, 0);
        let mut disk = vec![0; limit];
        let first = layout.place(0, total).into_iter().map(|place| (0, total, place));
        let second = layout.place(total as u64, len).into_iter().map(|place| (total, done, place));
        for (at, reached, place) in first.chain(second) {
            let part = &stream[at + place.source.start..at + place.source.end];
            // Of the second write, some bytes come no further than the process.
            let part = &part[..part.len().min(reached)];
            let offset = place.offset as usize;
            disk[offset..offset + part.len()].copy_from_slice(part);
        }
        let extent = layout.extent_during(total as u64, len);
        prop_assert!(extent.is_sound(), "{extent:?}");
        let mut found = Vec::new();
        for stored in extent.locate(0..extent.kept) {
            found.extend_from_slice(&disk[stored.start as usize..stored.end as usize]);
        }
        let tail = (extent.kept - extent.head) as usize;
        let expected = [&stream[..extent.head as usize], &stream[total - tail..total]].concat();
        prop_assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn what_was_not_synced_before_the_machine_stopped_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path(), job(), 1 << 20);
    spool.write(Stream::Stdout, text(10, 0)).await;
    spool.outlive().await;
    let file = dir.path().join(format!("{}.out", job()));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let Output { report, kept } = recover(dir.path(), job()).await.stdout;
    assert!(report.incomplete && report.total == 0 && kept.is_empty());
}

#[test]
fn after_a_failed_write_only_what_is_certain_is_kept() {
    let layout = layout::Layout::new(10);
    let kept = |total, lost| layout.extent_after_failure(total, lost).kept;
    assert_eq!(kept(3, 4), 3, "it grew: what was there is untouched");
    assert_eq!(kept(8, 4), 5, "it turned around in the ring: the head is untouched");
    assert_eq!(kept(100, 1), 5);
}

#[tokio::test]
async fn parts_are_as_large_as_needed_for_their_hashes_to_fit_into_a_report() {
    let chunk = CHUNK_MAX as u64;
    for (kept, size) in
        [(1, chunk), (1024 * chunk, chunk), (1024 * chunk + 1, 2 * chunk), (1 << 30, 9 * chunk)]
    {
        assert_eq!(Parts::size_for(kept), size, "{kept}");
    }
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::new(dir.path(), job(), 3 * CHUNK_MAX + 2);
    for seed in 0..7 {
        spool.write(Stream::Stdout, text(100_000, seed)).await;
    }
    let Collected { stdout: Output { report, kept }, .. } = spool.finish().await;
    let parts = report.parts.unwrap();
    let kept = all(&kept).await;
    assert_eq!(parts.sha256, kept.chunks(CHUNK_MAX).map(Digest::of).collect::<Vec<_>>());
    let (end, last) = (kept.len() as u64, parts.sha256[3]);
    assert_eq!(parts.around(end - 1, end), Some((3 * chunk..end, last)));
    assert_eq!(parts.around(4 * chunk, 9 * chunk), None);
}

#[tokio::test]
async fn what_is_kept_can_be_less_but_never_more() {
    for (limit, kept) in [(6, 6), (10, 10), (100, 10)] {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path(), job(), 10);
        spool.keep_at_most(limit);
        spool.write(Stream::Stdout, "0123456789abcdefghij".into()).await;
        // That is too late.
        spool.keep_at_most(2);
        spool.write(Stream::Stderr, "0123".into()).await;
        let Collected { stdout, stderr } = spool.finish().await;
        assert_eq!((stdout.report.total, stdout.report.kept), (20, kept));
        let half = kept as usize / 2;
        let expected = ["0123456789".split_at(half).0, "abcdefghij".split_at(10 - half).1].concat();
        assert_eq!(all(&stdout.kept).await, expected.as_bytes());
        assert_eq!((stderr.report.total, stderr.report.kept), (4, 2));
    }
}
