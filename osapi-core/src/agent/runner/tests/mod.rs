//! The agent at work over a real bus, with a controller that is a few lines.

mod controller;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Agent, AgentError, AgentParts, Limits};
use crate::agent::journal::{Binding, FileJournal, Journal, MemoryJournal};
use crate::agent::machine::Drained;
use crate::auth::keys::SigningKey;
use crate::backend::embedded::EmbeddedBus;
use crate::backend::faulty::{BusFaults, FaultyBus};
use crate::backend::{Bus, Denials};
use crate::clock::{Timestamp, TokioClock};
use crate::eventually::eventually;
use crate::executor::scripted::{Gate, Script, ScriptedExecutor};
use crate::executor::{Executor, MockExecutor};
use crate::id::{Digest, JobId, SealingKey};
use crate::job::limits::CHUNK_MAX;
use crate::job::report::Stream;
use crate::job::{AgentFacts, ClaimRule, Exec, Labels, Operation, Outcome};
use crate::message::{FromAgent, Readiness, ReceiptKind};
use controller::Controller;

const START: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);

/// One agent and one controller on one bus.
struct Fleet {
    bus: Arc<dyn Bus>,
    root: SigningKey,
    key: Arc<SigningKey>,
    journal: Arc<dyn Journal>,
    executor: Arc<ScriptedExecutor>,
    clock: TokioClock,
    denials: watch::Sender<Denials>,
    spool: tempfile::TempDir,
    limits: Limits,
}

/// An agent that is running.
struct Running {
    task: JoinHandle<Result<Drained, AgentError>>,
    shutdown: CancellationToken,
}

impl Fleet {
    fn new() -> Self {
        Self::on(Arc::new(EmbeddedBus::new()))
    }

    fn on(bus: Arc<dyn Bus>) -> Self {
        let (root, key) = (SigningKey::generate(), Arc::new(SigningKey::generate()));
        let journal = Arc::new(MemoryJournal::new(binding(&root, &key)));
        let (executor, spool) = (ScriptedExecutor::default(), tempfile::tempdir().unwrap());
        let clock = TokioClock::starting_at(START);
        let (executor, limits) = (Arc::new(executor), Limits::default());
        let denials = watch::Sender::default();
        Self { bus, root, key, journal, executor, clock, denials, spool, limits }
    }

    fn agent(&self, executor: Arc<dyn Executor>) -> Agent {
        Agent::new(AgentParts {
            bus: Arc::clone(&self.bus),
            journal: Arc::clone(&self.journal),
            executor,
            clock: Arc::new(self.clock),
            key: Arc::clone(&self.key),
            root: self.root.public(),
            hostname: "web-1.example".into(),
            version: "1".into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: Labels::default(),
            facts: AgentFacts::default(),
            denials: self.denials.subscribe(),
            spool: self.spool.path().join("spool"),
            limits: self.limits,
        })
    }

    fn start(&self) -> Running {
        self.start_with(self.executor.clone())
    }

    fn start_with(&self, executor: Arc<dyn Executor>) -> Running {
        let (agent, shutdown) = (self.agent(executor), CancellationToken::new());
        #[expect(
            clippy::disallowed_methods,
            reason = "the handle is awaited or aborted by the test"
        )]
        let task = tokio::spawn(agent.run(shutdown.clone()));
        Running { task, shutdown }
    }

    async fn controller(&self) -> Controller {
        Controller::new(&self.bus, &self.root, self.journal.header().identity(), self.clock).await
    }
}

impl Running {
    async fn end(self) -> Drained {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap()
    }

    /// The process dies.
    async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

fn binding(root: &SigningKey, key: &SigningKey) -> Binding {
    let (fleet, key) = (root.public().fleet(), key.public());
    Binding { fleet, name: "web-1".parse().unwrap(), key, machine: "m".into() }
}

fn exec(program: &str) -> Operation {
    Operation::Exec(Exec::new(program))
}

#[tokio::test(start_paused = true)]
async fn a_command_runs_from_order_to_report_without_waiting_for_any_timer() {
    let mut fleet = Fleet::new();
    let dir = tempfile::tempdir().unwrap();
    let file = FileJournal::open(&dir.path().join("j"), &binding(&fleet.root, &fleet.key)).unwrap();
    for journal in [Arc::clone(&fleet.journal), Arc::new(file)] {
        fleet.journal = journal;
        fleet.executor.on("ls", Script::exits(3).stdout("a\n").stderr("b\n"));
        let mut controller = fleet.controller().await;
        let begun = Instant::now();
        let agent = fleet.start();
        controller.until_ready().await;
        let job = controller.dispatch(exec("ls")).await;
        let started = controller.receipt(job).await;
        assert_eq!(started, ReceiptKind::Started { at: START });
        let report = controller.report(job).await;
        assert_eq!(report.outcome, Outcome::Exited { code: 3 });
        assert_eq!(report.stdout.inline.as_deref(), Some("YQo="));
        assert_eq!(report.stderr.inline.as_deref(), Some("Ygo="));
        assert_eq!((report.started_at, report.duration_ms), (Some(START), 0));
        assert_eq!(agent.end().await, Drained::default());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
    assert_eq!(fleet.executor.starts().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_long_command_delays_no_short_one_no_cancel_and_no_hello() {
    let fleet = Fleet::new();
    fleet.executor.on("sleep", Script::runs_until_stopped());
    let mut controller = fleet.controller().await;
    let begun = Instant::now();
    let agent = fleet.start();
    controller.until_ready().await;
    let long = controller.dispatch(exec("sleep")).await;
    controller.receipt(long).await;
    let short = controller.dispatch(exec("true")).await;
    assert_eq!(controller.report(short).await.outcome, Outcome::Exited { code: 0 });
    controller.ping().await;
    assert_eq!(controller.hello().await.running, [long]);
    controller.cancel(long).await;
    assert_eq!(controller.report(long).await.outcome, Outcome::Cancelled);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_is_stopped_at_its_timeout() {
    let fleet = Fleet::new();
    fleet.executor.on("sleep", Script::runs_until_stopped().stdout("so far"));
    let mut controller = fleet.controller().await;
    let agent = fleet.start();
    controller.until_ready().await;
    let sleep = Exec { timeout: 7, ..Exec::new("sleep") };
    let begun = Instant::now();
    let job = controller.dispatch(Operation::Exec(sleep)).await;
    let report = controller.report(job).await;
    assert_eq!((report.outcome, report.duration_ms), (Outcome::TimedOut, 7000));
    assert_eq!(report.stdout.total, 6);
    assert_eq!(begun.elapsed(), Duration::from_secs(7));
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn large_output_arrives_in_parts_before_its_report() {
    let fleet = Fleet::new();
    let kept: Bytes = (0..1_000_003_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
    fleet.executor.on("cat", Script::exits(0).stdout(kept.clone()).stderr("small"));
    let mut controller = fleet.controller().await;
    let agent = fleet.start();
    controller.until_ready().await;
    let job = controller.dispatch(exec("cat")).await;
    let report = controller.report(job).await;
    assert_eq!((report.stdout.kept, report.stdout.inline), (1_000_003, None));
    let parts = report.stdout.parts.unwrap();
    assert_eq!(parts.size, CHUNK_MAX as u64);
    assert_eq!(parts.sha256, kept.chunks(CHUNK_MAX).map(Digest::of).collect::<Vec<_>>());
    assert_eq!(report.stderr.parts, None, "the report has all of it");
    assert_eq!(report.stderr.inline.as_deref(), Some("c21hbGw="), "what is in memory is inline");
    assert!(controller.output(job, Stream::Stdout) == kept, "all parts came first");
    agent.end().await;
    assert_eq!(std::fs::read_dir(fleet.spool.path().join("spool")).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn large_output_arrives_after_a_crash_too() {
    let fleet = Fleet::new();
    let kept = Bytes::from(vec![7; 400_000]);
    fleet.executor.on("cat", Script::exits(0).stderr(kept.clone()));
    let mut controller = fleet.controller().await;
    controller.is_deaf_to_output = true;
    let agent = fleet.start();
    controller.until_ready().await;
    let job = controller.dispatch(exec("cat")).await;
    controller.until(|word| matches!(word, FromAgent::Output(_)).then_some(())).await;
    agent.crash().await;

    controller.is_deaf_to_output = false;
    let agent = fleet.start();
    assert_eq!(controller.report(job).await.outcome, Outcome::Exited { code: 0 });
    assert!(controller.output(job, Stream::Stderr) == kept);
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_interrupted_is_ended_and_lost_and_not_run_again() {
    let fleet = Fleet::new();
    fleet.executor.on("sleep", Script::runs_until_stopped());
    let mut controller = fleet.controller().await;
    let agent = fleet.start();
    controller.until_ready().await;
    let job = controller.dispatch(exec("sleep")).await;
    controller.receipt(job).await;
    agent.crash().await;

    let agent = fleet.start();
    controller.until_ready().await;
    controller.send_again(job).await;
    assert_eq!(controller.report(job).await.outcome, Outcome::Lost);
    assert_eq!((fleet.executor.starts(), fleet.executor.ended()), (vec![job], vec![job]));
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_a_crash_is_reported_with_the_loss() {
    let large = Bytes::from(vec![7; 300_000]);
    for written in [Bytes::from("so far"), large] {
        let fleet = Fleet::new();
        fleet.executor.on("work", Script::runs_until_stopped().stdout(written.clone()));
        let mut controller = fleet.controller().await;
        let agent = fleet.start();
        controller.until_ready().await;
        let job = controller.dispatch(exec("work")).await;
        controller.receipt(job).await;
        let file = fleet.spool.path().join(format!("spool/{job}.out"));
        let is_kept =
            async || std::fs::metadata(&file).is_ok_and(|f| f.len() > written.len() as u64);
        eventually(is_kept).await;
        agent.crash().await;

        let agent = fleet.start();
        let report = controller.report(job).await;
        assert_eq!(report.outcome, Outcome::Lost);
        assert!(report.stdout.incomplete, "there may have been more");
        assert_eq!(
            (report.stdout.total, report.stdout.kept),
            (written.len() as u64, written.len() as u64)
        );
        match report.stdout.inline {
            Some(inline) => assert_eq!(STANDARD.decode(inline).unwrap(), written),
            None => assert!(controller.output(job, Stream::Stdout) == written),
        }
        agent.end().await;
        assert_eq!(std::fs::read_dir(fleet.spool.path().join("spool")).unwrap().count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_what_runs_and_reports_it() {
    let fleet = Fleet::new();
    let gate = Gate::closed();
    fleet.executor.on("work", Script::exits(0).held_by(&gate));
    let mut controller = fleet.controller().await;
    let agent = fleet.start();
    controller.until_ready().await;
    let job = controller.dispatch(exec("work")).await;
    controller.receipt(job).await;
    agent.shutdown.cancel();
    let draining = |word: &FromAgent| match word {
        FromAgent::Hello(hello) => (hello.readiness == Readiness::Draining).then_some(()),
        _ => None,
    };
    controller.until(draining).await;
    gate.open();
    assert_eq!(controller.report(job).await.outcome, Outcome::Exited { code: 0 });
    assert_eq!(agent.end().await, Drained::default());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_stops_what_does_not_end() {
    let fleet = Fleet::new();
    fleet.executor.on("sleep", Script::runs_until_stopped());
    let mut controller = fleet.controller().await;
    let agent = fleet.start();
    controller.until_ready().await;
    let job =
        controller.dispatch(Operation::Exec(Exec { timeout: 300, ..Exec::new("sleep") })).await;
    controller.receipt(job).await;
    agent.shutdown.cancel();
    let begun = Instant::now();
    assert_eq!(controller.report(job).await.outcome, Outcome::Lost);
    assert_eq!(begun.elapsed(), fleet.limits.drain_grace);
    assert_eq!(agent.end().await, Drained::default());
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_panics_loses_one_execution_and_nothing_else() {
    let fleet = Fleet::new();
    let mut executor = MockExecutor::new();
    executor.expect_admit().returning(|_, _| Ok(()));
    executor.expect_execute().returning(|_, _, _| panic!("a defect"));
    executor.expect_end_leftovers().times(1).returning(|_| Ok(()));
    let mut controller = fleet.controller().await;
    let agent = fleet.start_with(Arc::new(executor));
    controller.until_ready().await;
    let job = controller.dispatch(exec("x")).await;
    assert_eq!(controller.report(job).await.outcome, Outcome::Lost);
    controller.ping().await;
    assert_eq!(controller.hello().await.readiness, Readiness::Ready);
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn over_a_bad_bus_every_job_runs_once_and_is_reported() {
    let rules = [ClaimRule::None, ClaimRule::Host, ClaimRule::Job];
    for (seed, claim) in (0..9).zip(rules.into_iter().cycle()) {
        let faults = BusFaults { lose: 0.3, repeat: 0.3, hold: 0.3, overtaken_by: 5 };
        let fleet = Fleet::on(Arc::new(FaultyBus::new(Arc::new(EmbeddedBus::new()), seed, faults)));
        fleet.executor.on("cat", Script::exits(0).stdout(vec![1; 300_000]));
        let mut controller = fleet.controller().await;
        controller.claim = claim;
        let agent = fleet.start();
        controller.until_ready().await;
        let mut jobs: Vec<JobId> = Vec::new();
        for program in ["a", "cat", "b", "c"] {
            jobs.push(controller.dispatch(exec(program)).await);
        }
        for job in &jobs {
            assert_eq!(controller.report(*job).await.outcome, Outcome::Exited { code: 0 });
        }
        let mut starts = fleet.executor.starts();
        starts.sort_unstable();
        jobs.sort_unstable();
        assert_eq!(starts, jobs, "seed {seed}");
        agent.crash().await;
    }
}

#[tokio::test]
async fn a_journal_of_another_key_or_fleet_is_refused() {
    let mut fleet = Fleet::new();
    fleet.key = Arc::new(SigningKey::generate());
    let ended = fleet.agent(fleet.executor.clone()).run(CancellationToken::new()).await;
    assert!(matches!(ended, Err(AgentError::OtherJournal("key"))));
    let mut fleet = Fleet::new();
    fleet.root = SigningKey::generate();
    let ended = fleet.agent(fleet.executor.clone()).run(CancellationToken::new()).await;
    assert!(matches!(ended, Err(AgentError::OtherJournal("fleet"))));
}

#[tokio::test(start_paused = true)]
async fn output_that_nobody_needs_is_removed_at_the_start() {
    let fleet = Fleet::new();
    let spool = fleet.spool.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    std::fs::write(spool.join(format!("{}.out", JobId::new(START))), b"left").unwrap();
    let mut controller = fleet.controller().await;
    let agent = fleet.start();
    controller.until_ready().await;
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
    agent.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_denies_is_said_in_hellos() {
    let fleet = Fleet::new();
    fleet.denials.send_replace(Denials { count: 2, last: None });
    let mut controller = fleet.controller().await;
    let agent = fleet.start();
    assert_eq!(controller.hello().await.denied, 2, "also what was denied before it began");
    controller.until_ready().await;
    fleet.denials.send_modify(|denials| denials.count += 1);
    let told = |word: &FromAgent| match word {
        FromAgent::Hello(hello) => (hello.denied == 3).then_some(()),
        _ => None,
    };
    controller.until(told).await;
    drop(fleet.denials);
    controller.ping().await;
    assert_eq!(controller.hello().await.denied, 3, "who watched the broker is gone");
    agent.end().await;
}
