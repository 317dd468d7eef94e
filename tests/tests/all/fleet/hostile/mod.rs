//! A broker that lies. Somebody with every right over the account records what is said, and throws it back: altered, repeated, at others,
//! and forged with keys that do not count. So are records of the store.

mod forgery;
mod hints;
mod log;
mod mutation;
mod panics;
mod records;
mod tally;
mod tape;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use osapi_core::auth::keys::{KeyRing, key_id};
use osapi_core::backend::faulty::Dice;
use osapi_core::backend::{Bucket, Key};
use osapi_core::controller::Controller;
use osapi_core::executor::scripted::Gate;
use osapi_core::id::JobId;
use osapi_core::job::JobStatus;
use osapi_tests::NatsServer;

use super::world::{Agent, Fleet, NOW, me, ready_at, settled, until, within};
use forgery::Forger;
use tally::{Missile, Tally};
use tape::Tape;

/// Messages that are thrown.
const THROWN: usize = 3000;
/// Messages between two looks at whether the server keeps up.
const AT_ONCE: usize = 50;
/// What those who are thrown at get to go on with their own work.
const AIR: Duration = Duration::from_millis(20);
/// Decides what is thrown, as far as that does not depend on what was said when.
const SEED: u64 = 0x05a9_1f1e;

/// Whom something may be sent to.
const HOSTS: [&str; 4] = ["a", "b", "c", "nobody"];

/// Two controllers and three agents whose words are recorded, and another fleet beside them.
struct Scene {
    _server: NatsServer,
    tape: Tape,
    fleet: Fleet,
    other: Fleet,
    controllers: [Controller; 2],
    agents: Vec<Agent>,
    gate: Gate,
}

impl Scene {
    async fn set() -> Self {
        panics::watch();
        log::watch();
        let server = NatsServer::start();
        let tape = Tape::of(&server, &["osapi", "other"]).await;
        let (fleet, other) = (Fleet::at(&server), Fleet::beside(&server, "other"));
        let (controller, agent) = (other.controller().await, other.agent("a").await);
        ready_at(&controller, std::slice::from_ref(&agent)).await;
        for _ in 0..3 {
            let job = other.submit(&controller, "true", "_all").await.unwrap();
            assert_eq!(settled(&controller, job).await.status, JobStatus::Completed);
        }
        controller.stop().await;
        let controllers = [fleet.controller().await, fleet.controller().await];
        let agents = fleet.agents(["a", "b", "c"].map(Into::into)).await;
        let gate = Gate::closed();
        let mut scene = Self { _server: server, tape, fleet, other, controllers, agents, gate };
        for agent in &scene.agents {
            work::teach(agent, &scene.gate);
        }
        scene.are_ready().await;
        work::one_of_each(&scene.fleet, &scene.controllers, 0).await;
        scene.rotate().await;
        work::one_of_each(&scene.fleet, &scene.controllers, 1).await;
        scene
    }

    async fn are_ready(&self) {
        for controller in &self.controllers {
            ready_at(controller, &self.agents).await;
        }
    }

    /// Takes a key out of the ring, and starts every agent again.
    async fn rotate(&mut self) {
        let nats = self.fleet.connect("admin", None).await;
        let ring = self.fleet.ring(2).as_str().to_owned().into();
        let store = self.fleet.store(&nats).await;
        store.create(Bucket::Keyrings, &Key::of(&[&2]), ring).await.unwrap();
        for controller in &self.controllers {
            let mut rings = controller.key_ring();
            let is_second =
                |ring: &Option<Arc<KeyRing>>| ring.as_ref().is_some_and(|ring| ring.serial == 2);
            within(rings.wait_for(is_second)).await.unwrap();
        }
        self.restart_agents().await;
    }

    async fn restart_agents(&mut self) {
        for agent in &mut self.agents {
            agent.crash().await;
            self.fleet.run(agent).await;
        }
        self.are_ready().await;
    }

    async fn restart_controllers(&mut self) {
        for controller in &self.controllers {
            within(controller.stop()).await;
        }
        self.controllers = [self.fleet.controller().await, self.fleet.controller().await];
    }

    /// Jobs that go on as long as the gate is closed.
    async fn hold(&self) -> Vec<JobId> {
        let mut held = Vec::new();
        for controller in &self.controllers {
            held.push(work::ask(&self.fleet, controller, "held", "_all").await);
        }
        for agent in &self.agents {
            let starts = async || {
                let starts = agent.executor.starts();
                held.iter().all(|job| starts.contains(job)).then_some(())
            };
            until("what is held has started", starts).await;
        }
        held
    }

    /// Nothing but the end of a command ends a job.
    async fn go_on(&self, held: &[JobId]) {
        for (controller, job) in
            self.controllers.iter().flat_map(|one| held.iter().map(move |job| (one, job)))
        {
            let results = controller.results(&me(), *job, NOW).await.unwrap();
            assert!(results.results.iter().all(|row| !row.is_final), "{results:?}");
        }
    }

    /// Everybody is who they were, and nobody panicked or ended.
    async fn is_whole(&mut self) {
        panics::none_was_seen();
        self.tape.nobody_replied();
        for controller in &self.controllers {
            assert!(controller.is_ready());
            let health = controller.health(&me()).await.unwrap();
            assert_eq!(health.store_rolled_back, None);
            let known = controller.agents(&me()).await.unwrap().agents;
            let known: Vec<_> = known.into_iter().map(|agent| (agent.name, agent.key_id)).collect();
            let key = |agent: &Agent| key_id(&agent.key.public()).unwrap().to_string();
            let own: Vec<_> =
                self.agents.iter().map(|agent| (agent.name.clone(), key(agent))).collect();
            assert_eq!(known, own);
        }
        for agent in &mut self.agents {
            assert!(agent.is_alive(), "{} has ended", agent.name);
        }
    }
}

/// Every subject of the fleet, and some that nobody should listen to.
fn subjects() -> Vec<String> {
    let of =
        |host: &str| [format!("from.{host}.h"), format!("from.{host}.w"), format!("to.{host}")];
    let own = HOSTS.iter().flat_map(|host| of(host));
    let others = ["ping", "from.a.x", "from.a", "to.a.x", "x"].map(str::to_owned);
    own.chain(others).map(|rest| format!("osapi.{rest}")).collect()
}

/// Throws messages, with some air in between, until there were enough. Some of them ask to be answered.
async fn attack(dice: &Dice, tape: &Tape, mut next: impl FnMut() -> Option<Missile>) -> Tally {
    let mut tally = Tally::default();
    let mut thrown = 0;
    while thrown < THROWN {
        let Some(missile) = next() else { continue };
        tally.note(&missile);
        tape.throw(missile.message, dice.chance(0.2)).await;
        thrown += 1;
        if thrown % AT_ONCE == 0 {
            tape.landed().await;
            tokio::time::sleep(AIR).await;
        }
    }
    tape.landed().await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_authenticate_starts_nothing_and_changes_nothing() {
    let mut scene = Scene::set().await;
    let held = scene.hold().await;
    let (dice, subjects) = (Dice::new(SEED), subjects());
    let forger = Forger::new(&dice, &scene.tape, &scene.fleet, &scene.other, &scene.agents);
    let is_over = AtomicBool::new(false);
    let attack = async {
        let next = || match dice.below(20) {
            0..8 => forger.forged(),
            8 => mutation::strayed(&dice, &scene.tape, &HOSTS),
            _ => mutation::altered(&dice, &scene.tape, &subjects),
        };
        let tally = attack(&dice, &scene.tape, next).await;
        let store = scene.fleet.store(&scene.fleet.connect("hostile", None).await).await;
        records::plant(&*store, &held).await;
        is_over.store(true, Ordering::Relaxed);
        tally
    };
    let work = async {
        let mut turn = 0;
        while !is_over.load(Ordering::Relaxed) {
            work::one_of_each(&scene.fleet, &scene.controllers, turn).await;
            turn += 1;
        }
    };
    let (tally, ()) = tokio::join!(attack, work);
    scene.go_on(&held).await;
    scene.gate.open();
    for job in held {
        assert_eq!(settled(&scene.controllers[0], job).await.status, JobStatus::Completed);
    }
    work::one_of_each(&scene.fleet, &scene.controllers, 0).await;
    for controller in &scene.controllers {
        work::only_jobs_ran(controller, &scene.agents).await;
    }
    scene.is_whole().await;
    tally.is_complete();
    log::shows_refusals().await;
}
