//! Orders of events that are rare, each made to happen.

use std::sync::atomic::{AtomicU64, Ordering};

use super::stores::{HeldStore, Point};
use super::*;
use crate::job::JobRecord;
use crate::message::CancelOrder;

#[tokio::test(start_paused = true)]
async fn a_job_that_is_made_while_a_scan_begins_is_not_dropped_by_it() {
    let store = Arc::new(HeldStore::new(Arc::new(EmbeddedStore::in_memory())));
    let fleet = Fleet::over(Arc::clone(&store) as _, Arc::new(EmbeddedBus::new()));
    let controller = fleet.controller().await;
    let agent = fleet.ready_agent("web-01", &controller).await;
    store.hold(&[Point::Watched(Bucket::Jobs)]);
    tokio::time::sleep(Duration::from_secs(301)).await;
    agent.hello(&[], &[]).await;
    until_state(&controller, &agent.identity.name, AgentState::Ready).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    let me = admin();
    let mut waiting = std::pin::pin!(controller.results(&me, job, None));
    let soon = tokio::time::timeout(Duration::from_millis(1), &mut waiting).await;
    assert!(soon.is_err(), "{soon:?}");
    store.release();
    let soon = tokio::time::timeout(Duration::from_millis(1), &mut waiting).await;
    assert!(soon.is_err(), "who waits goes on waiting: {soon:?}");
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    assert_eq!(waiting.await.unwrap().status, JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn two_requests_with_one_key_at_one_moment_keep_the_order() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let _agent = fleet.ready_agent("web-01", &controller).await;
    for n in 0..20 {
        let request = keyed(&fleet, &format!("k{n}"), b"a");
        let me = admin();
        let (a, b) = tokio::join!(
            controller.submit(&me, request.clone()),
            controller.submit(&me, request.clone())
        );
        let job = a.unwrap();
        assert_eq!(job, b.unwrap());
        let entry = fleet.store.get_latest(Bucket::Jobs, &Key::of(&[&job])).await.unwrap().unwrap();
        let record: JobRecord = serde_json::from_slice(&entry.value).unwrap();
        let envelope = Key::of(&[&job, &record.envelope]);
        let kept = fleet.store.get_latest(Bucket::Envelopes, &envelope).await.unwrap();
        assert!(kept.is_some(), "the order of request {n} is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_keys_that_ask_for_a_name_at_once_one_is_welcome() {
    let fleet = Fleet::new();
    let _controller = fleet.controller().await;
    let (mut one, other) = (fleet.agent("web-01").await, fleet.agent("web-01").await);
    for _ in 0..3 {
        one.register().await;
        other.register().await;
    }
    let mut welcomed = std::collections::HashSet::new();
    while let Ok(word) = tokio::time::timeout(Duration::from_secs(1), one.next()).await {
        let ToAgent::Welcome(welcome) = word else { continue };
        welcomed.insert(welcome.identity.key);
    }
    assert_eq!(welcomed.len(), 1, "{welcomed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_of_a_job_that_is_not_read_yet_is_not_refused() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let chunk = OutputChunk {
        identity: agent.identity.clone(),
        job: JobId::new(fleet.clock.wall()),
        stream: Stream::Stdout,
        offset: 0,
        data: STANDARD.encode("x"),
        sha256: Digest::of(b"x"),
    };
    agent.work(&FromAgent::Output(chunk)).await;
    let answer = tokio::time::timeout(Duration::from_secs(1), agent.next()).await;
    assert!(answer.is_err(), "refused for good: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_removal_goes_on_is_not_found_at_once() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let _agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    let key = Key::of(&[&job]);
    fleet.store.create(Bucket::Removed, &key, "{}".into()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let start = tokio::time::Instant::now();
    let shown = controller.results(&admin(), job, NOW).await;
    assert!(matches!(shown, Err(Error::JobNotFound(_))), "{shown:?}");
    assert!(start.elapsed() < Duration::from_millis(100), "somebody waited for a timer");
}

#[tokio::test(start_paused = true)]
async fn numbers_that_a_host_makes_up_break_nothing() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agent.order().await;
    let mut report = agent.report(job, Outcome::Exited { code: 0 }, b"hello");
    (report.stdout.kept, report.stderr.kept) = (u64::MAX, u64::MAX);
    (report.stdout.inline, report.stderr.inline) = (None, None);
    agent.send_report(&report).await;
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert!(results.results[0].stdout_incomplete);
    let name: AgentName = "web-01".parse().unwrap();
    let reversed = std::ops::Range { start: 10, end: 5 };
    for range in [u64::MAX - 1..u64::MAX, reversed] {
        let part = controller.output(&admin(), job, &name, Stream::Stdout, range).await.unwrap();
        assert!(part.bytes.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_cancelled_is_cancelled_and_never_sent_after_a_restart() {
    let fleet = Fleet::new();
    let first = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &first).await;
    let job = first.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    first.cancel(&admin(), job).await.unwrap();
    first.stop().await;
    while agent.inbox.try_next().is_some() {}
    let _second = fleet.controller().await;
    agent.hello(&[], &[]).await;
    let mut cancels = 0;
    while let Ok(word) = tokio::time::timeout(Duration::from_secs(20), agent.next()).await {
        match word {
            ToAgent::Cancel(cancel) => {
                let cancel: CancelOrder = cancel.verify(&agent.ring[0].key).unwrap();
                assert_eq!(cancel.job, job);
                cancels += 1;
            }
            ToAgent::Dispatch { .. } => panic!("an order that nobody wants any more"),
            ToAgent::Answer(_)
            | ToAgent::OutputSettled(_)
            | ToAgent::Welcome(_)
            | ToAgent::Refused(_) => {}
        }
    }
    assert!((5..20).contains(&cancels), "{cancels} times within 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_job_cannot_be_read_keeps_its_report() {
    let fleet = Fleet::new();
    let first = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &first).await;
    let job = first.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    first.stop().await;
    fleet.store.purge(Bucket::Hosts, &Prefix::of(&[&job])).await.unwrap();
    let second = fleet.controller().await;
    let shown = second.results(&admin(), job, NOW).await;
    assert!(matches!(shown, Err(Error::JobDamaged { .. })), "{shown:?}");
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    let answer = tokio::time::timeout(Duration::from_secs(1), agent.answer()).await;
    assert!(answer.is_err(), "refused for good: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn what_came_after_a_removal_goes_with_its_tombstone() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    controller.results(&admin(), job, None).await.unwrap();
    let me = person("me", &[Permission::JOB_WRITE]);
    controller.delete(&me, job).await.unwrap();
    let late = Key::of(&[&job, &"late"]);
    fleet.store.create(Bucket::Output, &late, "x".into()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(80 * 3600)).await;
    assert!(fleet.store.get_latest(Bucket::Removed, &Key::of(&[&job])).await.unwrap().is_none());
    assert!(fleet.store.get_latest(Bucket::Output, &late).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_was_delayed_does_not_bring_a_former_identity_back() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let former = agent.identity.clone();
    let late = agent.registration();
    tokio::time::advance(Duration::from_secs(1)).await;
    agent.identity.journal = JournalId::random();
    agent.register().await;
    while !matches!(agent.next().await, ToAgent::Welcome(welcome) if welcome.identity == agent.identity)
    {
    }
    agent.hello(&[], &[]).await;
    until_state(&controller, &agent.identity.name, AgentState::Ready).await;
    agent.work(&FromAgent::Register(late)).await;
    while let Ok(word) = tokio::time::timeout(Duration::from_secs(1), agent.next()).await {
        let is_former = matches!(&word, ToAgent::Welcome(welcome) if welcome.identity == former);
        assert!(!is_former, "{word:?}");
    }
    assert_eq!(
        controller.agent(&admin(), &agent.identity.name).await.unwrap().state,
        AgentState::Ready
    );
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_broke_says_so() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let broken = controller.shared.ask(|_| panic!("on purpose")).await;
    assert!(matches!(broken, Err::<(), _>(Error::ShuttingDown)));
    controller.shared.tasks.wait().await;
    assert!(!controller.is_ready());
    let submitted = controller.submit(&admin(), submission(&fleet, Target::Any)).await;
    assert!(matches!(submitted, Err(Error::ShuttingDown)), "{submitted:?}");
}

/// A clock whose wall clock a test steps forward.
struct SteppedClock {
    inner: TokioClock,
    ahead: AtomicU64,
}

impl Clock for SteppedClock {
    fn wall(&self) -> Timestamp {
        self.inner.wall() + Duration::from_secs(self.ahead.load(Ordering::Relaxed))
    }
    fn boottime(&self) -> Duration {
        self.inner.boottime()
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_forward_removes_no_job() {
    let mut fleet = Fleet::new();
    let inner = TokioClock::starting_at(fleet.clock.wall());
    let clock = Arc::new(SteppedClock { inner, ahead: AtomicU64::new(0) });
    fleet.clock = Arc::clone(&clock) as _;
    fleet.config.retention = Duration::from_secs(3600);
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agent.order().await;
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    controller.results(&admin(), job, None).await.unwrap();
    clock.ahead.store(365 * 24 * 3600, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(
        controller.results(&admin(), job, NOW).await.is_ok(),
        "a step is not the passing of time"
    );
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(matches!(controller.results(&admin(), job, NOW).await, Err(Error::JobNotFound(_))));
}
