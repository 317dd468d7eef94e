//! Trying a job again.

use super::*;
use crate::controller::RetrySubmission;
use crate::job::RetryHosts;

fn retry(fleet: &Fleet, job: JobId, hosts: RetryHosts) -> RetrySubmission {
    let arrived_at = fleet.clock.wall();
    RetrySubmission { job, hosts, arrived_at, queue_for: None, idempotency: None }
}

async fn hosts_of(controller: &Controller, job: JobId) -> String {
    let results = controller.results(&admin(), job, NOW).await.unwrap().results;
    let rows = results.iter().map(|row| format!("{}:{}", row.hostname, row.status));
    rows.collect::<Vec<_>>().join(" ")
}

/// A job on `a` (succeeded), `b` (failed), `c` (lost) and `d` (unreachable).
async fn mixed(fleet: &Fleet, controller: &Controller) -> (JobId, Vec<Agent>) {
    let mut agents = Vec::new();
    for name in ["a", "b", "c"] {
        agents.push(fleet.ready_agent(name, controller).await);
    }
    let silent = fleet.agent("d").await;
    silent.register().await;
    let known = async || controller.agent(&admin(), &silent.identity.name).await.is_ok();
    eventually(known).await;
    // Long enough to know that it is silent.
    tokio::time::sleep(Duration::from_secs(31)).await;
    for agent in &agents {
        agent.hello(&[], &[]).await;
        until_state(controller, &agent.identity.name, AgentState::Ready).await;
    }
    let job = controller.submit(&admin(), submission(fleet, Target::All)).await.unwrap();
    let outcomes = [Outcome::Exited { code: 0 }, Outcome::Exited { code: 1 }, Outcome::Lost];
    for (agent, outcome) in agents.iter_mut().zip(outcomes) {
        agent.order().await;
        agent.send_report(&agent.report(job, outcome, b"")).await;
    }
    controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(hosts_of(controller, job).await, "a:succeeded b:failed c:lost d:unreachable");
    agents.push(silent);
    (job, agents)
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_a_job_of_its_own_for_the_hosts_that_are_chosen() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let (job, mut agents) = mixed(&fleet, &controller).await;
    for (hosts, expected) in [
        (RetryHosts::Unsuccessful, "b:pending d:unreachable"),
        (RetryHosts::UnsuccessfulOrUnknown, "b:pending c:pending d:unreachable"),
        (RetryHosts::All, "a:pending b:pending c:pending d:unreachable"),
    ] {
        // Ids of one millisecond have no order.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let again = controller.retry(&admin(), retry(&fleet, job, hosts)).await.unwrap();
        assert_eq!(hosts_of(&controller, again).await, expected);
        let order = agents[1].order().await;
        assert_eq!((order.job, order.retry_of), (again, Some(job)));
        let details = controller.details(&admin(), again, Duration::ZERO).await.unwrap();
        assert_eq!(details.retry_of, Some(job));
        let first = controller.details(&admin(), job, Duration::ZERO).await.unwrap();
        assert_eq!(details.operation, first.operation);
        assert_eq!(first.retries.last(), Some(&again));
    }
    let kept = controller.details(&admin(), job, Duration::ZERO).await.unwrap().retries;
    assert_eq!(kept.len(), 3);
    controller.cancel(&admin(), kept[0]).await.unwrap();
    let keeper = person("admin@example.com", &[Permission::JOB_WRITE]);
    controller.results(&admin(), kept[0], None).await.unwrap();
    controller.delete(&keeper, kept[0]).await.unwrap();
    assert_eq!(controller.details(&admin(), job, Duration::ZERO).await.unwrap().retries, kept[1..]);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_whoever_has_it_now_and_one_that_is_gone_is_told() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let (job, _agents) = mixed(&fleet, &controller).await;
    let keeper = person("admin@example.com", &[Permission::AGENT_WRITE]);
    let name = "b".parse().unwrap();
    controller.remove_agent(&keeper, &name).await.unwrap();
    let gone = controller.retry(&admin(), retry(&fleet, job, RetryHosts::default())).await;
    assert!(matches!(&gone, Err(Error::HostNotFound(names)) if *names == [name]), "{gone:?}");
    let mut successor = fleet.ready_agent("b", &controller).await;
    let again =
        controller.retry(&admin(), retry(&fleet, job, RetryHosts::default())).await.unwrap();
    assert_eq!(successor.order().await.job, again);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_tried_again_is_told_apart() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("a", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, host("a"))).await.unwrap();
    agent.order().await;
    let try_it = async |permit: &Permit, job| {
        controller.retry(permit, retry(&fleet, job, RetryHosts::UnsuccessfulOrUnknown)).await
    };
    assert!(matches!(try_it(&admin(), job).await, Err(Error::JobUnfinished(_))));
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    controller.results(&admin(), job, None).await.unwrap();
    assert!(matches!(try_it(&admin(), job).await, Err(Error::NothingToRetry(_))));
    let unknown = JobId::new(fleet.clock.wall());
    assert!(matches!(try_it(&admin(), unknown).await, Err(Error::JobNotFound(_))));
    let reader = Permit::for_tests("admin@example.com", [Permission::JOB_READ]);
    assert!(matches!(try_it(&reader, job).await, Err(Error::Denied(_))));
}

#[tokio::test(start_paused = true)]
async fn any_host_is_chosen_anew() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut first = fleet.ready_agent("a", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    first.order().await;
    first.send_report(&first.report(job, Outcome::Exited { code: 1 }, b"")).await;
    controller.results(&admin(), job, None).await.unwrap();
    let keeper = person("admin@example.com", &[Permission::AGENT_WRITE]);
    controller.remove_agent(&keeper, &first.identity.name).await.unwrap();
    let mut second = fleet.ready_agent("b", &controller).await;
    let again =
        controller.retry(&admin(), retry(&fleet, job, RetryHosts::default())).await.unwrap();
    assert_eq!(second.order().await.job, again);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_sent_again_is_the_same_job() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let (job, agents) = mixed(&fleet, &controller).await;
    let idempotency = Some(Idempotency { key: "k".into(), body: Digest::of(b"a") });
    let request = RetrySubmission { idempotency, ..retry(&fleet, job, RetryHosts::Unsuccessful) };
    let again = controller.retry(&admin(), request.clone()).await.unwrap();
    // Meanwhile the host is gone, so that none could be made now.
    let keeper = person("admin@example.com", &[Permission::AGENT_WRITE]);
    controller.remove_agent(&keeper, &agents[1].identity.name).await.unwrap();
    assert_eq!(controller.retry(&admin(), request).await.unwrap(), again);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_found_by_its_key_also_when_the_first_job_is_gone() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let (job, mut agents) = mixed(&fleet, &controller).await;
    let idempotency = Some(Idempotency { key: "k".into(), body: Digest::of(b"a") });
    let request = RetrySubmission { idempotency, ..retry(&fleet, job, RetryHosts::Unsuccessful) };
    let again = controller.retry(&admin(), request.clone()).await.unwrap();
    let keeper = person("admin@example.com", &[Permission::JOB_WRITE]);
    controller.delete(&keeper, job).await.unwrap();
    assert_eq!(controller.retry(&admin(), request.clone()).await.unwrap(), again);
    let unkeyed = RetrySubmission { idempotency: None, ..request.clone() };
    let gone = controller.retry(&admin(), unkeyed).await;
    assert!(matches!(gone, Err(Error::JobNotFound(_))), "{gone:?}");
    let theirs = controller.retry(&person("you@example.com", &[]), request.clone()).await;
    assert!(matches!(theirs, Err(Error::JobNotFound(_))), "another's key is another key");
    agents[1].order().await;
    agents[1].send_report(&agents[1].report(again, Outcome::Exited { code: 0 }, b"")).await;
    controller.results(&admin(), again, None).await.unwrap();
    controller.delete(&keeper, again).await.unwrap();
    let over = controller.retry(&admin(), request).await;
    assert!(matches!(over, Err(Error::IdempotencyExpired)), "{over:?}");
}
