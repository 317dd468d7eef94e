//! Controller and agent together, over one bus and a scripted executor: what neither can show alone.

mod claims;
mod keys;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, AgentError, AgentParts, Binding, Drained, Limits, MemoryJournal};
use crate::auth::authorize::Permit;
use crate::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use crate::auth::permission::Permission;
use crate::backend::Bus;
use crate::backend::embedded::{EmbeddedBus, EmbeddedStore};
use crate::backend::faulty::{BusFaults, FaultyBus};
use crate::clock::{Clock, Timestamp, TokioClock};
use crate::controller::{Config, Controller, Parts, Submission, found_key_ring};
use crate::eventually::eventually;
use crate::executor::scripted::{Gate, Script, ScriptedExecutor};
use crate::id::{JobId, SealingKey};
use crate::job::{AgentFacts, Exec, ExecutionState, JobStatus, Labels, Operation, Target};

/// One machine: a controller, and an agent that a test can crash and start again.
struct Machine {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    root: SigningKey,
    store: Arc<EmbeddedStore>,
    /// With what the controllers sign.
    signing: watch::Sender<Arc<SigningKey>>,
    controller: Controller,
    agent_key: Arc<SigningKey>,
    journal: Arc<MemoryJournal>,
    executor: Arc<ScriptedExecutor>,
    spool: tempfile::TempDir,
}

/// A running agent.
struct Running {
    task: JoinHandle<Result<Drained, AgentError>>,
    stop: CancellationToken,
}

impl Running {
    async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    async fn end(self) -> Drained {
        self.stop.cancel();
        self.task.await.unwrap().unwrap()
    }
}

impl Machine {
    async fn over(bus: Arc<dyn Bus>) -> Self {
        let start = Timestamp::from_unix_millis(1_800_000_000_000);
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
        let (root, job_key, agent_key) =
            (SigningKey::generate(), SigningKey::generate(), SigningKey::generate());
        let store = Arc::new(EmbeddedStore::in_memory());
        let keys = vec![RingKey { key: job_key.public(), usage: KeyUse::Job }];
        let ring = KeyRing::issue(&root, 1, start, keys).unwrap();
        found_key_ring(&*store, &ring, &root.public()).await.unwrap();
        let signing = watch::Sender::new(Arc::new(job_key));
        let parts = Parts {
            store: Arc::clone(&store) as _,
            bus: Arc::clone(&bus),
            clock: Arc::clone(&clock),
            root: root.public(),
            job_key: signing.subscribe(),
            denials: crate::backend::never_denied(),
            config: Config::default(),
        };
        let controller = Controller::start(parts).await.unwrap();
        controller.ready().await;
        let journal = Arc::new(MemoryJournal::new(Binding {
            fleet: root.public().fleet(),
            name: "local".parse().unwrap(),
            key: agent_key.public(),
            machine: "machine".into(),
        }));
        let (agent_key, executor) = (Arc::new(agent_key), Arc::new(ScriptedExecutor::default()));
        let spool = tempfile::tempdir().unwrap();
        Self { bus, clock, root, store, signing, controller, agent_key, journal, executor, spool }
    }

    /// Another controller of the same fleet.
    async fn second(&self) -> Controller {
        let controller = Controller::start(Parts {
            store: Arc::clone(&self.store) as _,
            bus: Arc::clone(&self.bus),
            clock: Arc::clone(&self.clock),
            root: self.root.public(),
            job_key: self.signing.subscribe(),
            denials: crate::backend::never_denied(),
            config: Config::default(),
        });
        let controller = controller.await.unwrap();
        controller.ready().await;
        controller
    }

    async fn new() -> Self {
        Self::over(Arc::new(EmbeddedBus::new())).await
    }

    /// Starts the agent and waits until it takes jobs.
    async fn agent(&self) -> Running {
        let agent = Agent::new(AgentParts {
            bus: Arc::clone(&self.bus),
            journal: Arc::clone(&self.journal) as _,
            executor: Arc::clone(&self.executor) as _,
            clock: Arc::clone(&self.clock),
            key: Arc::clone(&self.agent_key),
            root: self.root.public(),
            hostname: "local".into(),
            version: "0".into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: Labels::default(),
            facts: AgentFacts::default(),
            denials: crate::backend::never_denied(),
            spool: self.spool.path().to_owned(),
            limits: Limits::default(),
        });
        let mut readiness = agent.readiness();
        let stop = CancellationToken::new();
        let task = spawn(agent.run(stop.clone()));
        readiness.wait_for(|now| *now == crate::message::Readiness::Ready).await.unwrap();
        let name = "local".parse().unwrap();
        let ready = crate::api::types::AgentState::Ready;
        eventually(async || {
            self.controller.agent(&me(), &name).await.is_ok_and(|agent| agent.state == ready)
        })
        .await;
        Running { task, stop }
    }

    async fn submit(&self, program: &str) -> JobId {
        let operation = Operation::Exec(Exec::new(program));
        let (target, arrived_at) = (Target::Host("local".parse().unwrap()), self.clock.wall());
        let submission =
            Submission { operation, target, arrived_at, idempotency: None, queue_for: None };
        self.controller.submit(&me(), submission).await.unwrap()
    }

    async fn outcome(&self, job: JobId) -> (ExecutionState, String) {
        let mut results = self.controller.results(&me(), job, None).await.unwrap();
        let row = results.results.remove(0);
        (row.status, row.stdout.unwrap_or_default())
    }

    /// Waits until the job is shown in this state.
    async fn until(&self, job: JobId, state: ExecutionState) {
        eventually(async || {
            let results = self.controller.results(&me(), job, Some(Duration::ZERO)).await.unwrap();
            results.results[0].status == state
        })
        .await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the test holds the handle, and aborts or awaits it")]
fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(future)
}

fn me() -> Permit {
    Permit::for_tests(
        "me",
        [Permission::COMMAND_EXECUTE, Permission::AGENT_READ, Permission::JOB_READ],
    )
}

#[tokio::test(start_paused = true)]
async fn a_command_completes_without_a_moment_passing() {
    let start = tokio::time::Instant::now();
    let machine = Machine::new().await;
    machine.executor.on("echo", Script::exits(0).stdout("hello\n"));
    let _agent = machine.agent().await;
    let job = machine.submit("echo").await;
    assert_eq!(machine.outcome(job).await, (ExecutionState::Succeeded, "hello\n".into()));
    // Shorter than any timer; a look of this test takes a millisecond.
    assert!(start.elapsed() < Duration::from_millis(100), "somebody waited for a timer");
}

#[tokio::test(start_paused = true)]
async fn what_ran_when_the_agent_crashed_is_lost_and_never_runs_again() {
    let machine = Machine::new().await;
    let gate = Gate::closed();
    machine.executor.on("long", Script::exits(0).held_by(&gate));
    let agent = machine.agent().await;
    let job = machine.submit("long").await;
    machine.until(job, ExecutionState::Running).await;
    agent.crash().await;
    gate.open();
    let _agent = machine.agent().await;
    assert_eq!(machine.outcome(job).await.0, ExecutionState::Lost);
    assert_eq!(machine.executor.starts(), [job]);
    assert_eq!(machine.executor.ended(), [job], "what was left of it was ended");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_comes_while_the_agent_is_down_runs_once_when_it_is_back_in_time() {
    let machine = Machine::new().await;
    machine.agent().await.crash().await;
    let job = machine.submit("true").await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let _agent = machine.agent().await;
    assert_eq!(machine.outcome(job).await.0, ExecutionState::Succeeded);
    assert_eq!(machine.executor.starts(), [job]);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_deadline_passed_while_the_agent_was_down_never_starts() {
    let machine = Machine::new().await;
    machine.agent().await.crash().await;
    let job = machine.submit("true").await;
    assert_eq!(machine.outcome(job).await.0, ExecutionState::NoAnswer);
    let _agent = machine.agent().await;
    machine.until(job, ExecutionState::Expired).await;
    assert!(machine.executor.starts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_what_runs_and_keeps_what_waits_from_starting() {
    let machine = Machine::new().await;
    machine.executor.on("long", Script::runs_until_stopped());
    let _agent = machine.agent().await;
    let mut jobs = Vec::new();
    for _ in 0..12 {
        jobs.push(machine.submit("long").await);
    }
    let (running, waiting) = (jobs[0], jobs[11]);
    machine.until(running, ExecutionState::Running).await;
    machine.until(waiting, ExecutionState::Accepted).await;
    for job in [running, waiting] {
        machine.controller.cancel(&me(), job).await.unwrap();
        assert_eq!(machine.outcome(job).await.0, ExecutionState::Cancelled);
    }
    assert!(!machine.executor.starts().contains(&waiting));
}

#[tokio::test(start_paused = true)]
async fn a_command_past_its_timeout_is_ended_then_and_not_before() {
    let machine = Machine::new().await;
    machine.executor.on("long", Script::runs_until_stopped().stdout("so far"));
    let _agent = machine.agent().await;
    let start = tokio::time::Instant::now();
    let job = machine.submit("long").await;
    assert_eq!(machine.outcome(job).await, (ExecutionState::TimedOut, "so far".into()));
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_told_to_end_finishes_what_runs() {
    let machine = Machine::new().await;
    let gate = Gate::closed();
    machine.executor.on("long", Script::exits(0).held_by(&gate));
    let agent = machine.agent().await;
    let job = machine.submit("long").await;
    machine.until(job, ExecutionState::Running).await;
    let (drained, ()) = tokio::join!(agent.end(), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        gate.open();
    });
    assert_eq!((drained.unanswered, drained.waiting, drained.running), (0, 0, 0));
    assert_eq!(machine.outcome(job).await.0, ExecutionState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn over_a_bus_that_loses_repeats_and_reorders_every_job_runs_once() {
    for seed in 0..6 {
        let bus =
            Arc::new(FaultyBus::new(Arc::new(EmbeddedBus::new()), seed, BusFaults::default()));
        let machine = Machine::over(Arc::clone(&bus) as _).await;
        let large = vec![b'x'; 700_000];
        machine.executor.on("large", Script::exits(0).stdout(large.clone()));
        let _agent = machine.agent().await;
        bus.set(BusFaults { lose: 0.25, repeat: 0.25, hold: 0.25, overtaken_by: 5 });
        let mut jobs = Vec::new();
        for n in 0..20 {
            jobs.push(machine.submit(if n % 5 == 0 { "large" } else { "true" }).await);
        }
        for (n, job) in jobs.iter().enumerate() {
            let mut results = machine.controller.results(&me(), *job, None).await.unwrap();
            assert_eq!(results.status, JobStatus::Completed, "seed {seed}, job {n}");
            // A report does not wait for ever for output that does not arrive; it goes on being sent.
            while results.results[0].stdout_incomplete {
                tokio::time::sleep(Duration::from_millis(100)).await;
                results = machine.controller.results(&me(), *job, None).await.unwrap();
            }
            if n % 5 == 0 {
                let stdout = results.results[0].stdout.as_deref().map(str::as_bytes);
                assert!(stdout == Some(&large[..]), "seed {seed}, job {n}");
            }
        }
        let mut starts = machine.executor.starts();
        starts.sort_unstable();
        jobs.sort_unstable();
        assert_eq!(starts, jobs, "seed {seed}");
    }
}
