//! Keys change while jobs run.

use super::*;
use crate::auth::envelope::Signed;
use crate::eventually::eventually;

fn keeper() -> Permit {
    let permissions = [
        Permission::COMMAND_EXECUTE,
        Permission::JOB_READ,
        Permission::HEALTH_READ,
        Permission::KEY_WRITE,
    ];
    Permit::for_tests("me", permissions)
}

impl Machine {
    fn ring(&self, serial: u64, job_keys: &[&SigningKey]) -> Signed<KeyRing> {
        let job_keys = job_keys.iter().map(|key| (key.public(), KeyUse::Job));
        let token = (SigningKey::generate().public(), KeyUse::Token);
        let keys = job_keys.chain([token]).map(|(key, usage)| RingKey { key, usage });
        KeyRing::issue(&self.root, serial, self.clock.wall(), keys.collect()).unwrap()
    }

    /// Signs with another key from now on, and hands it back.
    fn rotate(&self) -> Arc<SigningKey> {
        let key = Arc::new(SigningKey::generate());
        self.signing.send_replace(Arc::clone(&key));
        key
    }

    fn submission(&self, program: &str) -> Submission {
        let operation = Operation::Exec(Exec::new(program));
        let (target, arrived_at) = (Target::Host("local".parse().unwrap()), self.clock.wall());
        Submission { operation, target, arrived_at, idempotency: None, queue_for: None }
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_go_on_over_a_rotation_and_a_retirement() {
    let machine = Machine::new().await;
    let second = machine.second().await;
    let _agent = machine.agent().await;
    let ready = crate::api::types::AgentState::Ready;
    let name = "local".parse().unwrap();
    // Who heard of the agent before it read of its registration knows it by its next hello.
    eventually(async || second.agent(&me(), &name).await.is_ok_and(|agent| agent.state == ready))
        .await;
    let old = Arc::clone(&machine.signing.borrow());
    let new = SigningKey::generate();
    let mut jobs = Vec::new();
    for n in 0..300 {
        match n {
            100 => {
                let both = machine.ring(2, &[&old, &new]);
                second.publish_ring(&keeper(), both).await.unwrap();
            }
            // The one controller has read of the ring, the other perhaps not yet; the agent has not been told at all.
            101 => {
                let new = SigningKey::from_paserk(&new.to_paserk()).unwrap();
                machine.signing.send_replace(Arc::new(new));
            }
            200 => {
                let alone = machine.ring(3, &[&new]);
                machine.controller.publish_ring(&keeper(), alone).await.unwrap();
            }
            _ => {}
        }
        let controller = if n % 2 == 0 { &machine.controller } else { &second };
        controller.ready().await;
        jobs.push(controller.submit(&me(), machine.submission("true")).await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for job in &jobs {
        assert_eq!(machine.outcome(*job).await.0, ExecutionState::Succeeded);
    }
    let mut starts = machine.executor.starts();
    starts.sort_unstable();
    jobs.sort_unstable();
    assert_eq!(starts, jobs, "each once");
}

#[tokio::test(start_paused = true)]
async fn what_was_ordered_under_a_retired_key_ends_and_what_has_not_started_never_does() {
    let machine = Machine::new().await;
    let agent = machine.agent().await;
    machine.executor.on("long", Script::runs_until_stopped());
    let old = Arc::clone(&machine.signing.borrow());
    let running = machine.submit("long").await;
    machine.until(running, ExecutionState::Running).await;
    let ended = machine.submit("true").await;
    assert_eq!(machine.outcome(ended).await.0, ExecutionState::Succeeded);
    agent.crash().await;
    let waiting = machine.submit("true").await;
    let new = SigningKey::generate();
    let both = machine.ring(2, &[&old, &new]);
    let new = Arc::new(new);
    machine.controller.publish_ring(&keeper(), both).await.unwrap();
    machine.signing.send_replace(Arc::clone(&new));
    machine.controller.ready().await;
    let listed = machine.controller.publish_ring(&keeper(), machine.ring(3, &[&new])).await;
    assert_eq!(listed.unwrap().keys[0].open_jobs, Some(0));
    let _agent = machine.agent().await;
    assert_eq!(machine.outcome(waiting).await.0, ExecutionState::Cancelled);
    // What had started before the agent crashed is lost, whatever becomes of keys.
    assert_eq!(machine.outcome(running).await.0, ExecutionState::Lost);
    assert_eq!(machine.outcome(ended).await.0, ExecutionState::Succeeded);
    assert_eq!(machine.executor.starts(), [running, ended]);
    let next = machine.submit("true").await;
    assert_eq!(machine.outcome(next).await.0, ExecutionState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn what_runs_under_a_key_is_stopped_when_the_key_is_retired() {
    let machine = Machine::new().await;
    let _agent = machine.agent().await;
    machine.executor.on("long", Script::runs_until_stopped());
    let running = machine.submit("long").await;
    machine.until(running, ExecutionState::Running).await;
    let old = Arc::clone(&machine.signing.borrow());
    let new = machine.rotate();
    let both = machine.ring(2, &[&old, &new]);
    machine.controller.publish_ring(&keeper(), both).await.unwrap();
    machine.controller.publish_ring(&keeper(), machine.ring(3, &[&new])).await.unwrap();
    assert_eq!(machine.outcome(running).await.0, ExecutionState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_with_a_new_key_is_understood_as_soon_as_the_ring_is_there() {
    let machine = Machine::new().await;
    let gate = Gate::closed();
    machine.executor.on("long", Script::exits(0).held_by(&gate));
    let agent = machine.agent().await;
    let running = machine.submit("long").await;
    machine.until(running, ExecutionState::Running).await;
    let old = Arc::clone(&machine.signing.borrow());
    let new = machine.rotate();
    machine.controller.publish_ring(&keeper(), machine.ring(2, &[&old, &new])).await.unwrap();
    let start = tokio::time::Instant::now();
    gate.open();
    assert_eq!(machine.outcome(running).await.0, ExecutionState::Succeeded);
    assert_eq!(agent.end().await.unanswered, 0);
    assert!(start.elapsed() < Duration::from_secs(1), "it did not know the key of the answer");
}
