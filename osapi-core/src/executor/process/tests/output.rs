use super::*;
use crate::agent::spool::Spool;

#[tokio::test]
async fn both_streams_are_told_apart_and_in_order() {
    let (_, seen) = run(shell("for n in 1 2 3; do echo o$n; echo e$n >&2; done")).await;
    assert_eq!(seen.stdout(), "o1\no2\no3\n");
    assert_eq!(seen.0.borrow().stderr, b"e1\ne2\ne3\n");
    assert!(seen.0.borrow().incomplete.is_empty());
}

/// Spools what it is told.
struct Spooling(Spool);

#[async_trait]
impl Events for Spooling {
    fn keep_at_most(&self, bytes: u64) {
        self.0.keep_at_most(bytes);
    }
    async fn started(&self, _: Handle) {}
    async fn output(&self, stream: Stream, bytes: Bytes) {
        assert!(bytes.len() <= 64 * 1024, "memory stays flat");
        self.0.write(stream, bytes).await;
    }
    async fn incomplete(&self, stream: Stream) {
        self.0.incomplete(stream);
    }
}

#[tokio::test]
async fn fifty_mebibytes_are_counted_exactly_and_kept_at_both_ends() {
    const MIB: usize = 1024 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let job = JobId::new(SystemClock.wall());
    let events = Arc::new(Spooling(Spool::new(dir.path(), job, 10 * MIB)));
    let script = "echo first; yes x | head -c 52428788; echo last >&2; echo last";
    let task = Task { job, operation: shell(script), submitter: submitter() };
    let executor = executor();
    let outcome = within(executor.execute(task, events.clone(), Stop::channel().1)).await;
    assert_eq!(outcome, Outcome::Exited { code: 0 });
    let collected = events.0.finish().await;
    let report = &collected.stdout.report;
    assert_eq!(report.total, 6 + 52_428_788 + 5);
    assert_eq!((report.kept, report.head), (10 * MIB as u64, 5 * MIB as u64));
    assert!(!report.incomplete);
    let kept = &collected.stdout.kept;
    assert_eq!(&kept.read(0, 8).await.unwrap()[..], b"first\nx\n");
    assert_eq!(&kept.read(kept.len() - 7, 100).await.unwrap()[..], b"x\nlast\n");
    assert_eq!(collected.stderr.report.total, 5);
}

#[tokio::test]
async fn a_pipe_that_is_held_does_not_hold_the_answer() {
    for executor in impatient() {
        let running = Run::begin(executor, shell("sleep 1000 & echo $!; exit 3"));
        let (outcome, seen) = within(running.end()).await;
        assert_eq!(outcome, Outcome::Exited { code: 3 });
        let pid = seen.pids(1).await[0];
        assert!(!is_alive(pid), "what it left in the background is ended");
        assert!(seen.0.borrow().incomplete.is_empty(), "so the pipes came to their ends");
    }
}

#[tokio::test]
async fn the_last_words_of_a_background_process_are_heard() {
    let mut executor = executor();
    executor.limits.drain_grace = Duration::from_secs(20);
    let script = "(sleep 0.3; echo last) & exit 0";
    let (_, seen) = within(Run::begin(executor, shell(script)).end()).await;
    assert_eq!(seen.stdout(), "last\n");
}

#[tokio::test]
async fn a_pipe_held_by_somebody_who_stays_is_given_up_and_said_so() {
    use tokio_util::sync::CancellationToken;
    let (out, mut holder) = std::io::pipe().unwrap();
    let (err, _) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut holder, b"said").unwrap();
    let pipes = super::super::pipes::Pipes::new(out.into(), err.into()).unwrap();
    let seen = Seen::default();
    seen.started(Handle { job: JobId::new(SystemClock.wall()), detail: serde_json::Value::Null })
        .await;
    let gone = CancellationToken::new();
    gone.cancel();
    within(pipes.drain(&seen, &gone, Duration::from_millis(1))).await;
    assert_eq!(seen.stdout(), "said");
    assert_eq!(seen.0.borrow().incomplete, [Stream::Stdout]);
}
