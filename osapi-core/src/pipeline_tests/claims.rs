//! Several agents and controllers, with jobs that have to be claimed: one start each, in time, and a proof where there was none.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::api::types::AgentState;
use crate::backend::faulty::{FaultyStore, StoreFaults};
use crate::backend::{Bucket, Key, Prefix, Store};
use crate::job::{ClaimRecord, Holder, VoidReason};

/// What outlives an agent's process.
struct Host {
    name: String,
    key: Arc<SigningKey>,
    journal: Arc<MemoryJournal>,
    executor: Arc<ScriptedExecutor>,
    spool: tempfile::TempDir,
}

/// Controllers and hosts of one fleet.
struct Fleet {
    store: Arc<dyn Store>,
    bus: Arc<FaultyBus>,
    clock: Arc<dyn Clock>,
    root: SigningKey,
    job_key: String,
    hosts: Vec<Host>,
}

impl Fleet {
    fn new(hosts: usize, seed: u64) -> Self {
        let root = SigningKey::generate();
        let start = Timestamp::from_unix_millis(1_800_000_000_000);
        let host = |n| {
            let (name, key) = (format!("h{n}"), Arc::new(SigningKey::generate()));
            let journal = Arc::new(MemoryJournal::new(Binding {
                fleet: root.public().fleet(),
                name: name.parse().unwrap(),
                key: key.public(),
                machine: name.clone(),
            }));
            let (executor, spool) = (Arc::default(), tempfile::tempdir().unwrap());
            Host { name, key, journal, executor, spool }
        };
        Self {
            store: Arc::new(EmbeddedStore::in_memory()),
            bus: Arc::new(FaultyBus::new(
                Arc::new(EmbeddedBus::new()),
                seed,
                BusFaults { lose: 0.0, repeat: 0.0, hold: 0.0, overtaken_by: 0 },
            )),
            clock: Arc::new(TokioClock::starting_at(start)),
            job_key: SigningKey::generate().to_paserk().to_string(),
            hosts: (0..hosts).map(host).collect(),
            root,
        }
    }

    async fn controller(&self) -> Controller {
        self.controller_over(Arc::clone(&self.store)).await
    }

    async fn controller_over(&self, store: Arc<dyn Store>) -> Controller {
        let job_key = SigningKey::from_paserk(&self.job_key).unwrap();
        let keys = vec![RingKey { key: job_key.public(), usage: KeyUse::Job }];
        let ring = KeyRing::issue(&self.root, 1, self.clock.wall(), keys).unwrap();
        found_key_ring(&*self.store, &ring, &self.root.public()).await.unwrap();
        let parts = Parts {
            store,
            bus: Arc::clone(&self.bus) as _,
            clock: Arc::clone(&self.clock),
            root: self.root.public(),
            job_key: watch::channel(Arc::new(job_key)).1,
            denials: crate::backend::never_denied(),
            config: Config::default(),
        };
        let controller = Controller::start(parts).await.unwrap();
        controller.ready().await;
        controller
    }

    fn start(&self, n: usize) -> Running {
        let host = &self.hosts[n];
        let agent = Agent::new(AgentParts {
            bus: Arc::clone(&self.bus) as _,
            journal: Arc::clone(&host.journal) as _,
            executor: Arc::clone(&host.executor) as _,
            clock: Arc::clone(&self.clock),
            key: Arc::clone(&host.key),
            root: self.root.public(),
            hostname: host.name.clone(),
            version: "0".into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: Labels::default(),
            facts: AgentFacts::default(),
            denials: crate::backend::never_denied(),
            spool: host.spool.path().to_owned(),
            limits: Limits { slots: 2, ..Limits::default() },
        });
        let stop = CancellationToken::new();
        Running { task: spawn(agent.run(stop.clone())), stop }
    }

    async fn start_all(&self, controller: &Controller) -> Vec<Running> {
        let agents = (0..self.hosts.len()).map(|n| self.start(n)).collect();
        for host in &self.hosts {
            until_state(controller, host, AgentState::Ready).await;
        }
        agents
    }

    fn submission(&self, target: Target, program: &str) -> Submission {
        let operation = Operation::Exec(Exec::new(program));
        let arrived_at = self.clock.wall();
        Submission { operation, target, arrived_at, idempotency: None, queue_for: None }
    }

    fn queued(&self, n: usize, program: &str, seconds: u64) -> Submission {
        let target = Target::Host(self.hosts[n].name.parse().unwrap());
        let queue_for = Some(Duration::from_secs(seconds).try_into().unwrap());
        Submission { queue_for, ..self.submission(target, program) }
    }

    /// How often each job was started, over all hosts.
    fn starts(&self) -> BTreeMap<JobId, usize> {
        let mut starts = BTreeMap::new();
        for job in self.hosts.iter().flat_map(|host| host.executor.starts()) {
            *starts.entry(job).or_default() += 1;
        }
        starts
    }

    async fn holder(&self, job: JobId, host: Option<&str>) -> Option<Holder> {
        let key = host.map_or(Key::of(&[&job]), |host| Key::of(&[&job, &host]));
        let entry = self.store.get_latest(Bucket::Claims, &key).await.unwrap()?;
        let claim: ClaimRecord = serde_json::from_slice(&entry.value).unwrap();
        Some(claim.holder)
    }
}

async fn until_state(controller: &Controller, host: &Host, state: AgentState) {
    let name = host.name.parse().unwrap();
    while !controller.agent(&me(), &name).await.is_ok_and(|agent| agent.state == state) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until nothing can change any more.
async fn until_final(controller: &Controller, job: JobId) -> ExecutionState {
    loop {
        let results = controller.results(&me(), job, Some(Duration::ZERO)).await;
        if let Some(row) = results.ok().and_then(|mut results| results.results.pop())
            && row.is_final
        {
            return row.status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Numbers that look random and are the same for a seed (splitmix64).
struct Dice(u64);

impl Dice {
    /// One of 0 to `sides` - 1.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    async fn pause(&mut self, at_most: u64) {
        tokio::time::sleep(Duration::from_millis(self.roll(at_most))).await;
    }
}

/// As many starts as the state says that there were.
#[track_caller]
fn check_starts(fleet: &Fleet, job: JobId, state: ExecutionState, context: &str) {
    let starts = fleet.starts().get(&job).copied().unwrap_or(0);
    let fits = match state {
        ExecutionState::Succeeded => starts == 1,
        // It may have crashed just before the start.
        ExecutionState::Lost | ExecutionState::Cancelled => starts <= 1,
        ExecutionState::Expired | ExecutionState::Rejected => starts == 0,
        _ => false,
    };
    assert!(fits, "{context}, {job}: {state} with {starts} starts");
}

#[tokio::test(start_paused = true)]
async fn of_five_agents_that_crash_over_a_bus_that_loses_one_runs_each_job_once() {
    for seed in 0..3 {
        let fleet = Fleet::new(5, seed);
        let controller = fleet.controller().await;
        let mut agents: Vec<_> = fleet.start_all(&controller).await.into_iter().map(Some).collect();
        let mut dice = Dice(seed);
        // Some commands go on for a while, so that slots are taken, and crashes interrupt something.
        let gates: Vec<_> = (0..6).map(|_| Gate::closed()).collect();
        for (n, gate) in gates.iter().enumerate() {
            for host in &fleet.hosts {
                host.executor.on(format!("p{n}"), Script::exits(0).held_by(gate));
            }
        }
        fleet.bus.set(BusFaults { lose: 0.15, repeat: 0.15, hold: 0.15, overtaken_by: 4 });
        let mut jobs = Vec::new();
        for round in 0..80 {
            let program = match dice.roll(3) {
                0 => format!("p{}", dice.roll(6)),
                _ => "true".to_owned(),
            };
            let submission = fleet.submission(Target::Any, &program);
            jobs.extend(controller.submit(&me(), submission).await);
            if round % 8 == 7 {
                let n = usize::try_from(dice.roll(5)).unwrap();
                agents[n].take().unwrap().crash().await;
                dice.pause(1500).await;
                agents[n] = Some(fleet.start(n));
            }
            if round % 12 == 11 {
                gates[round / 12 % gates.len()].open();
            }
            dice.pause(300).await;
        }
        gates.iter().for_each(Gate::open);
        let mut succeeded = 0;
        for job in &jobs {
            let state = until_final(&controller, *job).await;
            check_starts(&fleet, *job, state, &format!("seed {seed}"));
            succeeded += usize::from(state == ExecutionState::Succeeded);
        }
        assert!(jobs.len() > 60 && succeeded > 50, "seed {seed}: {succeeded} of {}", jobs.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_back_in_time_runs_what_waited_for_it_once() {
    let fleet = Fleet::new(1, 0);
    let controller = fleet.controller().await;
    fleet.start_all(&controller).await.remove(0).crash().await;
    until_state(&controller, &fleet.hosts[0], AgentState::Silent).await;
    let job = controller.submit(&me(), fleet.queued(0, "true", 7200)).await.unwrap();
    let plain = fleet.submission(Target::Host("h0".parse().unwrap()), "true");
    let plain = controller.submit(&me(), plain).await.unwrap();
    assert_eq!(until_final(&controller, plain).await, ExecutionState::Unreachable);
    tokio::time::sleep(Duration::from_secs(7000)).await;
    let _agent = fleet.start(0);
    assert_eq!(until_final(&controller, job).await, ExecutionState::Succeeded);
    assert_eq!(fleet.hosts[0].executor.starts(), [job]);
    assert!(matches!(fleet.holder(job, Some("h0")).await, Some(Holder::Agent { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_back_too_late_starts_nothing_and_the_store_proves_it() {
    let fleet = Fleet::new(1, 0);
    let controller = fleet.controller().await;
    let agent = fleet.start_all(&controller).await.remove(0);
    // It has accepted the second and the third when it goes down, and heard nothing of the first.
    let gate = Gate::closed();
    fleet.hosts[0].executor.on("long", Script::exits(0).held_by(&gate));
    for _ in 0..2 {
        let long = fleet.submission(Target::Host("h0".parse().unwrap()), "long");
        controller.submit(&me(), long).await.unwrap();
    }
    fleet.hosts[0].executor.wait_for_starts(2).await;
    let mut jobs = vec![controller.submit(&me(), fleet.queued(0, "true", 60)).await.unwrap()];
    while controller.agent(&me(), &"h0".parse().unwrap()).await.unwrap().waiting == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    agent.crash().await;
    jobs.push(controller.submit(&me(), fleet.queued(0, "true", 60)).await.unwrap());
    for job in &jobs {
        assert_eq!(until_final(&controller, *job).await, ExecutionState::Expired);
        let void = Some(Holder::Void(VoidReason::Expired));
        assert_eq!(fleet.holder(*job, Some("h0")).await, void);
    }
    let _agent = fleet.start(0);
    until_state(&controller, &fleet.hosts[0], AgentState::Ready).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let started: HashSet<_> = fleet.hosts[0].executor.starts().into_iter().collect();
    assert!(jobs.iter().all(|job| !started.contains(job)));
    let agent = controller.agent(&me(), &"h0".parse().unwrap()).await.unwrap();
    assert_eq!(agent.waiting, 0, "it has closed what it had accepted");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_takes_the_claim_and_says_why() {
    let fleet = Fleet::new(2, 0);
    for host in &fleet.hosts {
        host.executor.does_not_support("true");
    }
    let controller = fleet.controller().await;
    let _agents = fleet.start_all(&controller).await;
    let job = controller.submit(&me(), fleet.queued(0, "true", 60)).await.unwrap();
    let results = controller.results(&me(), job, None).await.unwrap();
    assert_eq!(results.results[0].status, ExecutionState::Rejected);
    assert!(matches!(fleet.holder(job, Some("h0")).await, Some(Holder::Agent { .. })));
    // A candidate only says so: nobody takes it, and it expires.
    let submission = fleet.submission(Target::Any, "true");
    let any = controller.submit(&me(), submission).await.unwrap();
    assert_eq!(until_final(&controller, any).await, ExecutionState::Expired);
    assert_eq!(fleet.holder(any, None).await, Some(Holder::Void(VoidReason::Expired)));
}

/// Two controllers over stores that fail, one of which ends in the middle; cancels, deadlines and claims at about the same time.
#[tokio::test(start_paused = true)]
async fn whatever_races_a_job_starts_at_most_once_and_both_controllers_say_the_same() {
    for seed in 0..4 {
        let fleet = Fleet::new(3, seed);
        let faulty = |n| {
            let inner = Arc::clone(&fleet.store);
            Arc::new(FaultyStore::new(inner, seed * 2 + n, StoreFaults::default()))
        };
        let stores = [faulty(0), faulty(1)];
        let mut controllers = Vec::new();
        for store in &stores {
            controllers.push(fleet.controller_over(Arc::clone(store) as _).await);
        }
        let mut agents: Vec<_> =
            fleet.start_all(&controllers[0]).await.into_iter().map(Some).collect();
        for host in &fleet.hosts {
            until_state(&controllers[1], host, AgentState::Ready).await;
            host.executor.on("long", Script::runs_until_stopped());
        }
        stores.iter().for_each(|store| {
            store.set(StoreFaults {
                unknown: 0.1,
                unknown_unwritten: 0.1,
                own_exists: 0.1,
                unavailable: 0.05,
                stale: 0.2,
                repeat: 0.1,
                cut: 0.01,
            });
        });
        fleet.bus.set(BusFaults { lose: 0.1, repeat: 0.1, hold: 0.1, overtaken_by: 3 });
        let mut dice = Dice(seed);
        let mut jobs = Vec::new();
        for round in 0..100_u64 {
            let controller = &controllers[usize::try_from(dice.roll(2)).unwrap()];
            let host = usize::try_from(dice.roll(3)).unwrap();
            let submission = match dice.roll(4) {
                0 => fleet.queued(host, "long", 1 + dice.roll(4)),
                1 => fleet.queued(host, "true", 1 + dice.roll(3)),
                2 => fleet.submission(Target::Any, "long"),
                _ => fleet.submission(Target::Any, "true"),
            };
            let Ok(job) = controller.submit(&me(), submission).await else { continue };
            jobs.push(job);
            dice.pause(200).await;
            if dice.roll(2) == 0 {
                let other = &controllers[usize::try_from(dice.roll(2)).unwrap()];
                drop(other.cancel(&me(), job).await);
            }
            if round % 10 == 4 {
                agents[host].take().unwrap().crash().await;
                dice.pause(1000).await;
                agents[host] = Some(fleet.start(host));
            }
            if round == 35 {
                controllers[0].stop().await;
                controllers[0] = fleet.controller_over(Arc::clone(&stores[0]) as _).await;
            }
        }
        // What goes on until it is stopped ends by its timeout at the latest.
        for job in &jobs {
            let state = until_final(&controllers[0], *job).await;
            assert_eq!(until_final(&controllers[1], *job).await, state, "seed {seed}, {job}");
            let context = format!("seed {seed}");
            match state {
                ExecutionState::TimedOut => assert_eq!(fleet.starts().get(job), Some(&1)),
                state => check_starts(&fleet, *job, state, &context),
            }
        }
        assert!(jobs.len() > 20, "seed {seed}: {}", jobs.len());
        let claims = fleet.store.purge(Bucket::Claims, &Prefix::ALL).await.unwrap();
        assert!(claims > 20, "seed {seed}: {claims}");
    }
}
