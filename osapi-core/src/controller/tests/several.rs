//! Several controllers over one store: they behave as one, also while one of them ends in the middle of something.

use super::stores::{HeldStore, Point};
use super::*;
use crate::api::types::JobDetails;
use crate::job::word::Refusal;
use crate::message::Ping;
use crate::message::RegistrationRefusal;

const SOON: Duration = Duration::from_millis(100);

async fn orders_within(agent: &mut Agent, time: Duration) -> usize {
    let mut orders = 0;
    let count = async {
        loop {
            agent.order().await;
            orders += 1;
        }
    };
    tokio::time::timeout(time, count).await.unwrap_err();
    orders
}

/// Waits until the controller knows the job.
async fn until_known(controller: &Controller, job: JobId) -> JobDetails {
    controller.details(&admin(), job, Duration::ZERO).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn others_join_in_when_no_receipt_came() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut agent = fleet.ready_agent("web-01", &first).await;
    until_state(&second, &agent.identity.name, AgentState::Ready).await;
    let start = tokio::time::Instant::now();
    let job = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    until_known(&second, job).await;
    assert_eq!(agent.order().await.job, job);
    first.stop().await;
    assert_eq!(agent.order().await.job, job);
    assert_eq!(start.elapsed().as_secs(), 2, "the second waits for a receipt first");
    agent.receipt(job, ReceiptKind::Accepted).await;
    assert_eq!(orders_within(&mut agent, Duration::from_secs(20)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_keeps_the_others_from_joining_in() {
    let store = Arc::new(HeldStore::new(Arc::new(EmbeddedStore::in_memory())));
    let fleet = Fleet::over(Arc::clone(&store) as _, Arc::new(EmbeddedBus::new()));
    let first = fleet.controller().await;
    let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
    let second = fleet.controller_over(Arc::clone(&held) as _).await;
    let mut agent = fleet.ready_agent("web-01", &first).await;
    until_state(&second, &agent.identity.name, AgentState::Ready).await;
    for is_early in [false, true] {
        if is_early {
            held.hold(&[Point::Change(Bucket::Jobs)]);
        }
        let job = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
        assert_eq!(agent.order().await.job, job);
        if !is_early {
            until_known(&second, job).await;
        }
        agent.receipt(job, ReceiptKind::Accepted).await;
        tokio::time::sleep(SOON).await;
        held.release();
        let shown = until_known(&second, job).await;
        assert_eq!(shown.results[0].status, ExecutionState::Accepted, "early: {is_early}");
        assert_eq!(orders_within(&mut agent, Duration::from_secs(5)).await, 0, "early: {is_early}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_does_not_list_a_job_is_sent_it_at_once() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut agent = fleet.ready_agent("web-01", &first).await;
    until_state(&second, &agent.identity.name, AgentState::Ready).await;
    let job = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    until_known(&second, job).await;
    agent.order().await;
    first.stop().await;
    let start = tokio::time::Instant::now();
    agent.hello(&[], &[]).await;
    assert_eq!(agent.order().await.job, job);
    assert!(start.elapsed() < SOON);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_sent_by_whoever_took_it_and_by_others_if_that_does_not_help() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut agent = fleet.ready_agent("web-01", &first).await;
    until_state(&second, &agent.identity.name, AgentState::Ready).await;
    let job = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    agent.order().await;
    agent.receipt(job, ReceiptKind::Accepted).await;
    until_known(&second, job).await;
    let start = tokio::time::Instant::now();
    second.cancel(&admin(), job).await.unwrap();
    while !matches!(agent.next().await, ToAgent::Cancel(_)) {}
    assert!(start.elapsed() < SOON);
    second.stop().await;
    while !matches!(agent.next().await, ToAgent::Cancel(_)) {}
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_lacks_keys_or_time_is_told() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    agent.order().await;
    for why in [Refusal::UnknownKey, Refusal::NotReady] {
        while agent.inbox.try_next().is_some() {}
        agent.receipt(job, ReceiptKind::Refused(why)).await;
        assert!(matches!(agent.next().await, ToAgent::Welcome(_)), "{why:?}");
    }
    agent.receipt(job, ReceiptKind::Refused(Refusal::NoMemory)).await;
    assert!(matches!(agent.next().await, ToAgent::Dispatch { .. }), "no welcome helps here");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_silent_because_the_controller_was_paused() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let _agent = fleet.ready_agent("web-01", &controller).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut pings = fleet.bus.subscribe(&Pattern::Ping).await.unwrap();
    tokio::time::advance(Duration::from_secs(300)).await;
    let asked = tokio::time::timeout(SOON, pings.next()).await.unwrap().unwrap();
    decode::<Ping>(&asked.payload).unwrap();
    let state = async |controller: &Controller| {
        let job = controller.submit(&admin(), submission(&fleet, Target::All)).await.unwrap();
        controller.results(&admin(), job, NOW).await.unwrap().results[0].status
    };
    assert_eq!(state(&controller).await, ExecutionState::Pending);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(state(&controller).await, ExecutionState::Pending);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(state(&controller).await, ExecutionState::Unreachable);
    assert!(pings.try_next().is_none(), "nothing was paused since");
}

#[tokio::test(start_paused = true)]
async fn any_waits_for_the_answers_to_the_first_ping() {
    let fleet = Fleet::new();
    let first = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &first).await;
    first.stop().await;
    let mut pings = fleet.bus.subscribe(&Pattern::Ping).await.unwrap();
    let second = fleet.controller().await;
    let answers = async {
        pings.next().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        agent.hello(&[], &[]).await;
        agent.order().await
    };
    let me = admin();
    let submit = second.submit(&me, submission(&fleet, Target::Any));
    let (job, order) = tokio::join!(submit, answers);
    assert_eq!(job.unwrap(), order.job);
    second.stop().await;
    let third = fleet.controller().await;
    let start = tokio::time::Instant::now();
    let nobody = third.submit(&me, submission(&fleet, Target::Any)).await;
    assert!(matches!(nobody, Err(Error::NoLiveHost)), "{nobody:?}");
    assert_eq!(start.elapsed().as_secs(), 3);
    let nobody = third.submit(&me, submission(&fleet, Target::Any)).await;
    assert!(matches!(nobody, Err(Error::NoLiveHost)), "{nobody:?}");
    assert_eq!(start.elapsed().as_secs(), 3, "and then it says so at once");
}

/// The moments at which a controller may end while it makes a job.
const MOMENTS: [Point; 6] = [
    Point::Creating(Bucket::Reservations),
    Point::Created(Bucket::Reservations),
    Point::Created(Bucket::Hosts),
    Point::Created(Bucket::Envelopes),
    Point::Creating(Bucket::Jobs),
    Point::Created(Bucket::Jobs),
];

#[tokio::test(start_paused = true)]
async fn a_controller_that_ends_while_it_makes_a_job_costs_nothing() {
    for moment in MOMENTS {
        let fleet = Fleet::new();
        let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
        let first = fleet.controller_over(Arc::clone(&held) as _).await;
        let second = fleet.controller().await;
        let mut agent = fleet.ready_agent("web-01", &first).await;
        until_state(&second, &agent.identity.name, AgentState::Ready).await;
        held.hold(&[moment]);
        let request = keyed(&fleet, "k", b"a");
        let me = admin();
        let cut = tokio::time::timeout(SOON, first.submit(&me, request.clone())).await;
        assert!(cut.is_err(), "{moment:?}: {cut:?}");
        first.stop().await;
        let job = second.submit(&me, request.clone()).await.unwrap();
        let order = agent.order().await;
        assert_eq!(
            (order.job, order.not_after),
            (job, request.arrived_at + Duration::from_secs(30))
        );
        agent.receipt(job, ReceiptKind::Accepted).await;
        assert_eq!(orders_within(&mut agent, Duration::from_secs(9)).await, 0, "{moment:?}");
        agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
        let results = second.results(&me, job, None).await.unwrap();
        assert_eq!(results.status, JobStatus::Completed, "{moment:?}");
        assert_eq!(second.submit(&me, request).await.unwrap(), job, "{moment:?}");
        assert_eq!(second.list(&me, Default::default()).await.unwrap().jobs.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_controller_ended_before_it_sent_it_is_found_and_sent() {
    let fleet = Fleet::new();
    let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
    let first = fleet.controller_over(Arc::clone(&held) as _).await;
    let second = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &first).await;
    until_state(&second, &agent.identity.name, AgentState::Ready).await;
    held.hold(&[Point::Created(Bucket::Jobs), Point::Change(Bucket::Jobs)]);
    let me = admin();
    tokio::time::timeout(SOON, first.submit(&me, submission(&fleet, Target::Any)))
        .await
        .unwrap_err();
    first.stop().await;
    let job = second.list(&me, Default::default()).await.unwrap().jobs[0].job_id;
    assert_eq!(agent.order().await.job, job);
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    assert_eq!(second.results(&me, job, None).await.unwrap().status, JobStatus::Completed);
}

/// An agent that another controller has let in.
async fn let_in_elsewhere(fleet: &Fleet, name: &str) -> Agent {
    let agent = fleet.agent(name).await;
    let record = records::AgentRecord {
        v: VERSION,
        registration: Some(agent.registration()),
        registered_at: fleet.clock.wall(),
        removed: Vec::new(),
    };
    let record = records::encode(&record);
    fleet.store.create(Bucket::Agents, &Key::of(&[&name]), record).await.unwrap();
    agent
}

#[tokio::test(start_paused = true)]
async fn a_hello_counts_that_came_before_its_registration_was_read() {
    let fleet = Fleet::new();
    let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
    let controller = fleet.controller_over(Arc::clone(&held) as _).await;
    held.hold(&[Point::Change(Bucket::Agents)]);
    let mut agent = let_in_elsewhere(&fleet, "web-01").await;
    agent.hello(&[], &[]).await;
    assert_eq!(agent.refusal().await, RegistrationRefusal::Unknown);
    held.release();
    let start = tokio::time::Instant::now();
    until_state(&controller, &agent.identity.name, AgentState::Ready).await;
    assert!(start.elapsed() < SOON);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_lags_behind_does_not_deny_what_there_is() {
    let fleet = Fleet::new();
    let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
    let first = fleet.controller().await;
    let second = fleet.controller_over(Arc::clone(&held) as _).await;
    let points =
        [Bucket::Agents, Bucket::Jobs, Bucket::Cancels, Bucket::Removed].map(Point::Change);
    let lag = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        held.release();
    };
    let me = person("me@example.com", &[Permission::JOB_WRITE]);
    let start = tokio::time::Instant::now();
    held.hold(&points);
    let agent = let_in_elsewhere(&fleet, "web-01").await;
    let (job, ()) = tokio::join!(second.submit(&me, submission(&fleet, host("web-01"))), lag);
    job.unwrap();
    assert_eq!(start.elapsed().as_secs(), 1);
    // A job that another controller has made.
    agent.hello(&[], &[]).await;
    until_state(&first, &agent.identity.name, AgentState::Ready).await;
    for n in 0..4 {
        held.hold(&points);
        let job = first.submit(&me, keyed(&fleet, &format!("{n}"), b"a")).await.unwrap();
        let lag = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            held.release();
        };
        match n {
            0 => {
                let (found, ()) = tokio::join!(second.results(&me, job, NOW), lag);
                assert_eq!(found.unwrap().results[0].status, ExecutionState::Pending);
            }
            1 => {
                let (found, ()) = tokio::join!(second.submit(&me, keyed(&fleet, "1", b"a")), lag);
                assert_eq!(found.unwrap(), job);
            }
            2 => {
                first.cancel(&me, job).await.unwrap();
                let (cancelled, ()) = tokio::join!(second.cancel(&me, job), lag);
                cancelled.unwrap();
                assert!(second.results(&me, job, NOW).await.unwrap().results[0].cancel_requested);
            }
            _ => {
                agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
                first.results(&me, job, None).await.unwrap();
                first.delete(&me, job).await.unwrap();
                let (found, ()) = tokio::join!(second.results(&me, job, NOW), lag);
                assert!(matches!(found, Err(Error::JobNotFound(_))), "{found:?}");
            }
        }
    }
}
