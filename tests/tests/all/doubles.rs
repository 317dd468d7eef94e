//! Parts driven in isolation, with doubles for what they talk to: as a program sees them that embeds the library.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mockall::Sequence;
use osapi_core::agent::{Agent, AgentParts, Binding, Limits, MemoryJournal};
use osapi_core::auth::authorize::Permit;
use osapi_core::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use osapi_core::auth::permission::Permission;
use osapi_core::backend::embedded::{EmbeddedBus, EmbeddedStore};
use osapi_core::backend::faulty::{BusFaults, FaultyBus};
use osapi_core::backend::{Bus, Link, MockStore, Store, StoreError};
use osapi_core::clock::{Clock, SystemClock, Timestamp, TokioClock};
use osapi_core::controller::{
    Config, Controller, Error, Parts, Submission, fixed_key, found_key_ring,
};
use osapi_core::executor::process::ProcessExecutor;
use osapi_core::executor::{Executor as _, MockEvents, MockExecutor, Stop, Task};
use osapi_core::id::{JobId, SealingKey, StoreId};
use osapi_core::job::report::Stream;
use osapi_core::job::{
    AgentFacts, Exec, JobStatus, Labels, Operation, Outcome, Shell, Submitter, Target,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const START: Timestamp = Timestamp::from_unix_millis(1_800_000_000_000);

fn me() -> Permit {
    Permit::for_tests("ann", [Permission::COMMAND_EXECUTE, Permission::AGENT_READ])
}

fn task(job: JobId, operation: Operation) -> Task {
    let submitter = Submitter { subject: "ann".into(), token_id: "t".into(), roles: Vec::new() };
    Task { job, operation, submitter }
}

fn submission(operation: Operation, clock: &dyn Clock) -> Submission {
    Submission {
        operation,
        target: Target::Any,
        arrived_at: clock.wall(),
        idempotency: None,
        queue_for: None,
    }
}

/// A controller on `store` and `bus`, of a fleet with `root`.
async fn controller(
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    root: &SigningKey,
    job_key: SigningKey,
) -> Controller {
    let (root, config) = (root.public(), Config::default());
    let (job_key, denials) = (fixed_key(job_key), osapi_core::backend::never_denied());
    Controller::start(Parts { store, bus, clock, root, job_key, denials, config }).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_executor_is_asked_once_however_often_the_order_arrives() {
    // Every message arrives twice, and late ones overtake early ones.
    let faults = BusFaults { repeat: 1.0, hold: 0.5, overtaken_by: 3, ..BusFaults::default() };
    let bus: Arc<dyn Bus> = Arc::new(FaultyBus::new(Arc::new(EmbeddedBus::new()), 7, faults));
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(START));
    let (root, job_key, key) =
        (SigningKey::generate(), SigningKey::generate(), SigningKey::generate());
    let store = Arc::new(EmbeddedStore::in_memory());
    let ring = vec![RingKey { key: job_key.public(), usage: KeyUse::Job }];
    let ring = KeyRing::issue(&root, 1, START, ring).unwrap();
    found_key_ring(&*store, &ring, &root.public()).await.unwrap();
    let controller = controller(store, Arc::clone(&bus), Arc::clone(&clock), &root, job_key).await;

    let mut executor = MockExecutor::new();
    executor.expect_admit().returning(|_, _| Ok(()));
    executor.expect_end_leftovers().never();
    executor
        .expect_execute()
        .times(1)
        .withf(|task, _, _| task.operation == Operation::Exec(Exec::new("reboot")))
        .returning(|_, _, _| Outcome::Exited { code: 7 });
    let spool = tempfile::tempdir().unwrap();
    let binding = Binding {
        fleet: root.public().fleet(),
        name: "web-01".parse().unwrap(),
        key: key.public(),
        machine: "machine".into(),
    };
    let agent = Agent::new(AgentParts {
        bus,
        journal: Arc::new(MemoryJournal::new(binding)),
        executor: Arc::new(executor),
        clock: Arc::clone(&clock),
        key: Arc::new(key),
        root: root.public(),
        hostname: "web-01".into(),
        version: "1".into(),
        sealing: SealingKey::from_bytes([1; 32]),
        labels: Labels::default(),
        facts: AgentFacts::default(),
        denials: osapi_core::backend::never_denied(),
        spool: spool.path().into(),
        limits: Limits::default(),
    });
    let (stop, mut agents) = (CancellationToken::new(), JoinSet::new());
    agents.spawn(agent.run(stop.clone()));
    controller.ready().await;
    controller.agent_ready(&"web-01".parse().unwrap()).await;

    let order = submission(Operation::Exec(Exec::new("reboot")), &*clock);
    let job = controller.submit(&me(), order).await.unwrap();
    let results = controller.results(&me(), job, None).await.unwrap();
    assert_eq!((results.status, results.results[0].exit_code), (JobStatus::Failed, Some(7)));
    // Hellos, resends and rescans go on for a while; a second call would make the double panic.
    tokio::time::sleep(Duration::from_secs(600)).await;
    stop.cancel();
    let drained = agents.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!((drained.running, drained.unanswered), (0, 0));
    controller.stop().await;
}

#[tokio::test]
async fn a_process_tells_of_its_start_before_anything_else() {
    let job = JobId::new(SystemClock.wall());
    let mut order = Sequence::new();
    let mut events = MockEvents::new();
    events
        .expect_started()
        .times(1)
        .in_sequence(&mut order)
        .withf(move |handle| handle.job == job && !handle.detail.is_null())
        .return_const(());
    let written = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let sink = Arc::clone(&written);
    events.expect_output().times(1..).in_sequence(&mut order).returning(move |stream, bytes| {
        let (out, err) = &mut *sink.lock().unwrap();
        match stream {
            Stream::Stdout => out.extend_from_slice(&bytes),
            Stream::Stderr => err.extend_from_slice(&bytes),
        }
    });
    events.expect_incomplete().never();
    let operation = Operation::Shell(Shell::new("echo out; echo err >&2; exit 3"));
    let (_stopper, stop) = Stop::channel();
    let executor = ProcessExecutor::new("local".parse().unwrap());
    let outcome = executor.execute(task(job, operation), Arc::new(events), stop).await;
    assert_eq!(outcome, Outcome::Exited { code: 3 });
    assert_eq!(*written.lock().unwrap(), (b"out\n".to_vec(), b"err\n".to_vec()));
}

#[tokio::test]
async fn a_program_that_cannot_start_tells_of_no_start() {
    let job = JobId::new(SystemClock.wall());
    let mut events = MockEvents::new();
    events.expect_started().never();
    events.expect_output().never();
    events.expect_incomplete().never();
    let operation = Operation::Exec(Exec::new("/no/such/program"));
    let (_stopper, stop) = Stop::channel();
    let executor = ProcessExecutor::new("local".parse().unwrap());
    let outcome = executor.execute(task(job, operation), Arc::new(events), stop).await;
    assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_out_of_reach_makes_no_job_and_is_not_asked_all_the_time() {
    let unavailable = || StoreError::Unavailable("no route".into());
    let mut store = MockStore::new();
    store.expect_id().return_const(StoreId::random());
    let (_down, link) = watch::channel(Link::Down("no route".into()));
    store.expect_link().return_const(link);
    // Per bucket, in an hour, no more than about once in a second.
    store.expect_watch().times(1..60_000).returning(move |_, _, _| Err(unavailable()));
    store.expect_head().returning(move |_| Err(unavailable()));
    store.expect_get_latest().returning(move |_, _| Err(unavailable()));
    store.expect_get().returning(move |_, _| Err(unavailable()));
    store.expect_create().never();
    store.expect_put().never();
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(START));
    let (root, job_key) = (SigningKey::generate(), SigningKey::generate());
    let bus = Arc::new(EmbeddedBus::new());
    let controller = controller(Arc::new(store), bus, Arc::clone(&clock), &root, job_key).await;
    for _ in 0..60 {
        assert!(!controller.is_ready());
        let order = submission(Operation::Exec(Exec::new("true")), &*clock);
        let refused = controller.submit(&me(), order).await.unwrap_err();
        assert!(matches!(refused, Error::NotReady), "{refused}");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    controller.stop().await;
}
