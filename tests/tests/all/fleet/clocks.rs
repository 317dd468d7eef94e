//! Hosts whose clocks are minutes off, and step: what is not certainly in time does not start, and nothing is lost once a clock is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use osapi_core::clock::{Clock, SystemClock, Timestamp};
use osapi_core::controller::Controller;
use osapi_core::executor::scripted::Script;
use osapi_core::id::JobId;
use osapi_core::job::ExecutionState;
use osapi_tests::NatsServer;

use super::world::{Agent, Fleet, NOW, me, ready_at, settled, until, within};

/// Far more than any deadline.
const MINUTES: i64 = 5 * 60;

/// A clock that is so many seconds ahead.
#[derive(Default)]
struct Off(AtomicI64);

impl Off {
    fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Off {
    fn wall(&self) -> Timestamp {
        let seconds = self.0.load(Ordering::SeqCst);
        let (by, right) = (Duration::from_secs(seconds.unsigned_abs()), SystemClock.wall());
        if seconds < 0 { right - by } else { right + by }
    }

    fn boottime(&self) -> Duration {
        SystemClock.boottime()
    }
}

/// A fleet with one agent whose clock can be set.
struct World {
    fleet: Fleet,
    controller: Controller,
    agent: Agent,
    clock: Arc<Off>,
    _server: NatsServer,
}

impl World {
    async fn new() -> Self {
        let server = NatsServer::start();
        let mut fleet = Fleet::at(&server);
        let (right, clock) = (Arc::clone(&fleet.clock), Arc::<Off>::default());
        let controller = fleet.controller().await;
        fleet.clock = Arc::clone(&clock) as _;
        let agent = fleet.agent("a").await;
        fleet.clock = right;
        agent.executor.on("true", Script::exits(0));
        ready_at(&controller, std::slice::from_ref(&agent)).await;
        Self { fleet, controller, agent, clock, _server: server }
    }

    async fn submit(&self) -> JobId {
        self.fleet.submit(&self.controller, "true", "a").await.unwrap()
    }

    async fn ended(&self, job: JobId) -> ExecutionState {
        settled(&self.controller, job).await.results[0].status
    }

    /// Waits until the job is refused for now, with these words.
    async fn refused(&self, job: JobId, why: &str) {
        until("it is refused", async || {
            let now = within(self.controller.results(&me(), job, NOW)).await.unwrap();
            let said = serde_json::to_string(&now.results[0]).unwrap();
            said.contains(why).then_some(())
        })
        .await;
    }

    fn starts(&self) -> Vec<JobId> {
        self.agent.executor.starts()
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_starts_nothing_and_right_again_it_does() {
    let world = World::new().await;
    for _ in 0..2 {
        world.clock.set(MINUTES);
        let late = world.submit().await;
        assert_eq!(world.ended(late).await, ExecutionState::Expired);
        assert!(!world.starts().contains(&late));
        world.clock.set(0);
        let job = world.submit().await;
        assert_eq!(world.ended(job).await, ExecutionState::Succeeded);
        assert_eq!(world.starts().iter().filter(|started| **started == job).count(), 1);
    }
}

#[tokio::test]
async fn a_clock_that_stepped_back_takes_nothing_until_it_is_right() {
    let world = World::new().await;
    let first = world.submit().await;
    assert_eq!(world.ended(first).await, ExecutionState::Succeeded);
    world.clock.set(-MINUTES);
    let job = world.submit().await;
    world.refused(job, "clock_skew").await;
    assert_eq!(world.starts(), [first]);
    // Within its time it is sent again.
    world.clock.set(0);
    assert_eq!(world.ended(job).await, ExecutionState::Succeeded);
    assert_eq!(world.starts(), [first, job]);
}

#[tokio::test]
async fn orders_of_a_server_that_is_behind_are_too_late() {
    let server = NatsServer::start();
    let mut fleet = Fleet::at(&server);
    let (right, clock) = (Arc::clone(&fleet.clock), Arc::<Off>::default());
    fleet.clock = Arc::clone(&clock) as _;
    let controller = fleet.controller().await;
    fleet.clock = right;
    let agent = fleet.agent("a").await;
    agent.executor.on("true", Script::exits(0));
    ready_at(&controller, std::slice::from_ref(&agent)).await;
    // Requests arrive by the server's clock.
    fleet.clock = Arc::clone(&clock) as _;
    let world = World { fleet, controller, agent, clock, _server: server };
    world.clock.set(-MINUTES);
    let late = world.submit().await;
    assert_eq!(world.ended(late).await, ExecutionState::Expired);
    world.clock.set(0);
    let job = world.submit().await;
    assert_eq!(world.ended(job).await, ExecutionState::Succeeded);
    assert_eq!(world.starts(), [job]);
}
