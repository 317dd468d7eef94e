//! Jobs that are claimed: whom they are offered to, who gets them, and what becomes of those that nobody took.

use super::*;
use crate::job::word::Refusal;
use crate::job::{ClaimRule, Holder, VoidReason};

const SOON: Duration = Duration::from_millis(100);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What is asked of one host that may be down.
fn queued(fleet: &Fleet, name: &str, time: Duration) -> Submission {
    Submission { queue_for: Some(time.try_into().unwrap()), ..submission(fleet, host(name)) }
}

/// A fleet of one controller and as many agents, named in this order.
async fn fleet_of<const N: usize>(names: [&str; N]) -> (Fleet, Controller, [Agent; N]) {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agents = Vec::new();
    for name in names {
        agents.push(fleet.ready_agent(name, &controller).await);
    }
    let agents = agents.try_into().unwrap_or_else(|_| unreachable!());
    (fleet, controller, agents)
}

async fn any(fleet: &Fleet, controller: &Controller) -> JobId {
    controller.submit(&admin(), submission(fleet, Target::Any)).await.unwrap()
}

async fn row(controller: &Controller, job: JobId) -> (String, ExecutionState, bool) {
    let mut results = controller.results(&admin(), job, NOW).await.unwrap();
    let row = results.results.remove(0);
    (row.hostname.to_string(), row.status, row.is_final)
}

async fn until(controller: &Controller, job: JobId, state: ExecutionState) {
    eventually(async || row(controller, job).await.1 == state).await;
}

/// The claim in the store on one host's execution, or on the whole job.
pub(super) async fn holder(fleet: &Fleet, job: JobId, host: Option<&str>) -> Option<Holder> {
    let key = match host {
        Some(host) => Key::of(&[&job, &host]),
        None => Key::of(&[&job]),
    };
    let entry = fleet.store.get_latest(Bucket::Claims, &key).await.unwrap()?;
    let claim: crate::job::ClaimRecord = serde_json::from_slice(&entry.value).unwrap();
    Some(claim.holder)
}

#[tokio::test(start_paused = true)]
async fn any_is_offered_to_one_candidate_after_the_other_until_it_is_claimed() {
    let (fleet, controller, [mut a, mut b, mut c]) = fleet_of(["a", "b", "c"]).await;
    // Who has least to do comes first, then the name decides.
    a.hello(&[JobId::new(fleet.clock.wall())], &[]).await;
    let name = &a.identity.name;
    eventually(async || controller.agent(&admin(), name).await.unwrap().running > 0).await;
    let start = tokio::time::Instant::now();
    let job = any(&fleet, &controller).await;
    let order = b.order().await;
    assert_eq!((order.job, order.claim, order.hosts.count), (job, ClaimRule::Job, 3));
    assert!(!c.order_within(Duration::from_millis(999)).await);
    assert_eq!(c.order().await.job, job);
    assert_eq!(start.elapsed().as_millis(), 1000);
    c.receipt(job, ReceiptKind::Accepted).await;
    assert_eq!(row(&controller, job).await, ("b".into(), ExecutionState::Pending, false));
    let nonce = Nonce::random();
    assert_eq!(c.claimed(job, nonce).await, AnswerKind::Yours(nonce));
    assert_eq!(row(&controller, job).await, ("c".into(), ExecutionState::Accepted, false));

    // Only the claimant is sent anything any more, whoever says hello.
    while b.inbox.try_next().is_some() {}
    for agent in [&a, &b, &c] {
        agent.hello(&[], &[]).await;
    }
    assert_eq!(c.order().await.job, job, "what became of it is asked");
    assert!(!a.order_within(seconds(3)).await && !b.order_within(SOON).await);
    let digest = c.send_report(&c.report(job, Outcome::Exited { code: 0 }, b"c")).await;
    assert_eq!(c.answer().await.kind, AnswerKind::Stored(digest));
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!((results.status, results.results.len()), (JobStatus::Completed, 1));
    assert_eq!(results.results[0].hostname.as_str(), "c");
}

#[tokio::test(start_paused = true)]
async fn who_is_busy_or_refuses_makes_room_for_the_next_at_once() {
    let (fleet, controller, [mut a, mut b, mut c]) = fleet_of(["a", "b", "c"]).await;
    let start = tokio::time::Instant::now();
    let job = any(&fleet, &controller).await;
    a.order().await;
    a.receipt(job, ReceiptKind::Busy).await;
    b.order().await;
    b.receipt(job, ReceiptKind::Refused(Refusal::Policy)).await;
    c.order().await;
    assert!(start.elapsed() < SOON);
    c.receipt(job, ReceiptKind::Busy).await;
    // Everybody is asked again, with growing pauses, until the deadline.
    for agent in [&mut a, &mut b, &mut c] {
        assert_eq!(agent.order().await.job, job);
    }
    let nonce = Nonce::random();
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Yours(nonce));
}

#[tokio::test(start_paused = true)]
async fn one_live_host_needs_no_claim() {
    let (fleet, controller, [mut a]) = fleet_of(["a"]).await;
    any(&fleet, &controller).await;
    assert_eq!(a.order().await.claim, ClaimRule::None);
}

#[tokio::test(start_paused = true)]
async fn at_most_eight_are_candidates() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let (fleet, controller, mut agents) = fleet_of(names).await;
    any(&fleet, &controller).await;
    assert_eq!(agents[0].order().await.hosts.count, 8);
    assert!(!agents[8].order_within(seconds(20)).await);
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_given_once_and_never_moved() {
    let (fleet, controller, [mut a, mut b]) = fleet_of(["a", "b"]).await;
    let job = any(&fleet, &controller).await;
    let (mine, other) = (Nonce::random(), Nonce::random());
    assert_eq!(b.claimed(job, mine).await, AnswerKind::Yours(mine));
    assert_eq!(b.claimed(job, mine).await, AnswerKind::Yours(mine), "the same request again");
    assert_eq!(b.claimed(job, other).await, AnswerKind::Void(other), "a copy of the agent");
    assert_eq!(a.claimed(job, other).await, AnswerKind::Void(other));
    let expected = Holder::Agent { identity: b.identity.clone(), nonce: mine };
    assert_eq!(holder(&fleet, job, None).await, Some(expected));
    // Also for a controller that has just started.
    controller.stop().await;
    let _second = fleet.controller().await;
    assert_eq!(a.claimed(job, other).await, AnswerKind::Void(other));
    assert_eq!(b.claimed(job, mine).await, AnswerKind::Yours(mine));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_genuine_claims_nothing() {
    let (fleet, controller, [mut a, mut b, mut stranger]) = fleet_of(["a", "b", "z"]).await;
    let nonce = Nonce::random();
    let job = controller.submit(&admin(), queued(&fleet, "a", seconds(60))).await.unwrap();
    a.claim_signed(job, nonce, &b.key).await;
    assert_eq!(a.answer_within(SOON).await, None);
    // In the name of another, for a host that is not addressed, for a former self.
    b.identity = a.identity.clone();
    b.claim(job, nonce).await;
    stranger.claim(job, nonce).await;
    let identity = a.identity.clone();
    a.identity.journal = JournalId::random();
    a.claim(job, nonce).await;
    // For a job that needs no claim, and for one that nobody knows.
    let plain = controller.submit(&admin(), submission(&fleet, host("a"))).await.unwrap();
    a.identity = identity;
    a.claim(plain, nonce).await;
    a.claim(JobId::new(fleet.clock.wall()), nonce).await;
    assert_eq!(a.answer_within(SOON).await, None);
    assert_eq!(stranger.answer_within(SOON).await, None);
    assert_eq!(fleet.store.purge(Bucket::Claims, &Prefix::ALL).await.unwrap(), 0);
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Yours(nonce));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_back_in_time_is_sent_what_waits_for_it() {
    let (fleet, controller, [mut a]) = fleet_of(["a"]).await;
    tokio::time::sleep(seconds(60)).await;
    let job = controller.submit(&admin(), queued(&fleet, "a", seconds(7200))).await.unwrap();
    let details = controller.details(&admin(), job, Duration::ZERO).await.unwrap();
    assert_eq!(details.summary.not_after, details.summary.created_at + seconds(7200));
    assert_eq!(row(&controller, job).await, ("a".into(), ExecutionState::Pending, false));
    assert!(!a.order_within(seconds(7000)).await);
    a.hello(&[], &[]).await;
    let order = a.order().await;
    assert_eq!((order.job, order.claim), (job, ClaimRule::Host));
    a.receipt(job, ReceiptKind::Accepted).await;
    let nonce = Nonce::random();
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Yours(nonce));
    a.send_report(&a.report(job, Outcome::Exited { code: 0 }, b"")).await;
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(results.status, JobStatus::Completed);
    assert_eq!(results.results[0].status, ExecutionState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_too_late_gets_nothing_and_the_store_proves_it() {
    let (fleet, controller, [mut a, mut b]) = fleet_of(["a", "b"]).await;
    let start = tokio::time::Instant::now();
    let both = Submission {
        queue_for: Some(seconds(90).try_into().unwrap()),
        ..submission(&fleet, Target::All)
    };
    let job = controller.submit(&admin(), both).await.unwrap();
    b.order().await;
    let nonce = Nonce::random();
    assert_eq!(b.claimed(job, nonce).await, AnswerKind::Yours(nonce));
    b.send_report(&b.report(job, Outcome::Exited { code: 0 }, b"")).await;
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 90, "at the deadline, not later");
    assert_eq!(results.status, JobStatus::PartialFailure);
    let states: Vec<_> = results.results.iter().map(|row| (row.status, row.is_final)).collect();
    assert_eq!(states, [(ExecutionState::Expired, true), (ExecutionState::Succeeded, true)]);
    let void = Holder::Void(VoidReason::Expired);
    assert_eq!(holder(&fleet, job, Some("a")).await, Some(void));
    while a.inbox.try_next().is_some() {}
    a.hello(&[], &[]).await;
    assert!(!a.order_within(seconds(20)).await);
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Void(nonce));
    let digest = a.send_report(&a.report(job, Outcome::Exited { code: 0 }, b"")).await;
    assert_eq!(a.answer().await.kind, AnswerKind::Conflict(digest), "nobody could have started");
}

#[tokio::test(start_paused = true)]
async fn any_that_nobody_took_expires() {
    let (fleet, controller, [a, b]) = fleet_of(["a", "b"]).await;
    let start = tokio::time::Instant::now();
    let job = any(&fleet, &controller).await;
    for agent in [&a, &b] {
        agent.receipt(job, ReceiptKind::Busy).await;
    }
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!((start.elapsed().as_secs(), results.status), (30, JobStatus::Failed));
    assert_eq!(row(&controller, job).await, ("a".into(), ExecutionState::Expired, true));
    assert_eq!(holder(&fleet, job, None).await, Some(Holder::Void(VoidReason::Expired)));
}

#[tokio::test(start_paused = true)]
async fn a_request_after_the_deadline_makes_it_void() {
    let (fleet, controller, [mut a]) = fleet_of(["a"]).await;
    let job = controller.submit(&admin(), queued(&fleet, "a", seconds(5))).await.unwrap();
    // Nobody else makes it void meanwhile.
    controller.stop().await;
    tokio::time::advance(seconds(5)).await;
    let second = fleet.controller().await;
    let nonce = Nonce::random();
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Void(nonce));
    until(&second, job, ExecutionState::Expired).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_makes_void_what_is_not_claimed_and_is_told_to_whoever_has() {
    let (fleet, controller, [mut a, mut b, mut c]) = fleet_of(["a", "b", "c"]).await;
    let all = Submission {
        queue_for: Some(seconds(3600).try_into().unwrap()),
        ..submission(&fleet, Target::All)
    };
    let job = controller.submit(&admin(), all).await.unwrap();
    for agent in [&mut a, &mut b, &mut c] {
        agent.order().await;
        agent.receipt(job, ReceiptKind::Accepted).await;
    }
    let nonce = Nonce::random();
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Yours(nonce));
    let start = tokio::time::Instant::now();
    controller.cancel(&admin(), job).await.unwrap();
    // Once that is said, nobody can claim it any more.
    assert_eq!(b.claimed(job, nonce).await, AnswerKind::Void(nonce));
    eventually(async || holder(&fleet, job, Some("c")).await.is_some()).await;
    assert!(start.elapsed() < SOON);
    for host in ["b", "c"] {
        let void = Some(Holder::Void(VoidReason::Cancelled));
        assert_eq!(holder(&fleet, job, Some(host)).await, void);
    }
    while !matches!(a.next().await, ToAgent::Cancel(_)) {}
    for other in [&mut b, &mut c] {
        other.hello(&[], &[]).await;
        let cancelled = async { while !matches!(other.next().await, ToAgent::Cancel(_)) {} };
        assert!(tokio::time::timeout(seconds(5), cancelled).await.is_err(), "it would bar the job");
    }
    a.send_report(&a.report(job, Outcome::Cancelled, b"")).await;
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(results.status, JobStatus::Cancelled);
    assert!(results.results.iter().all(|row| row.status == ExecutionState::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_report_counts_only_under_its_own_claim() {
    let (fleet, controller, [mut a, mut b]) = fleet_of(["a", "b"]).await;
    let job = any(&fleet, &controller).await;
    let report = a.report(job, Outcome::Exited { code: 0 }, b"");
    let digest = a.send_report(&report).await;
    assert_eq!(a.answer_within(SOON).await, None, "it may be claimed later");
    assert_eq!(row(&controller, job).await.1, ExecutionState::Pending);
    let nonce = Nonce::random();
    a.claimed(job, nonce).await;
    a.send_report(&report).await;
    assert_eq!(a.answer().await.kind, AnswerKind::Stored(digest));
    let foreign = b.send_report(&b.report(job, Outcome::Exited { code: 1 }, b"")).await;
    assert_eq!(b.answer().await.kind, AnswerKind::Conflict(foreign));
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(results.results[0].exit_code, Some(0));
}

#[tokio::test(start_paused = true)]
async fn who_refuses_under_its_claim_is_rejected() {
    let (fleet, controller, [mut a]) = fleet_of(["a"]).await;
    let job = controller.submit(&admin(), queued(&fleet, "a", seconds(60))).await.unwrap();
    a.order().await;
    let nonce = Nonce::random();
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Yours(nonce));
    let failure = crate::job::Failure::new("policy", "not here");
    let mut report = a.report(job, Outcome::Rejected(failure), b"");
    report.started_at = None;
    a.send_report(&report).await;
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(results.results[0].status, ExecutionState::Rejected);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_claimed_it_and_falls_silent_is_waited_for_as_long_as_it_may_run() {
    let (fleet, controller, [mut a]) = fleet_of(["a"]).await;
    let start = tokio::time::Instant::now();
    let job = controller.submit(&admin(), queued(&fleet, "a", seconds(60))).await.unwrap();
    let nonce = Nonce::random();
    a.claimed(job, nonce).await;
    controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(row(&controller, job).await, ("a".into(), ExecutionState::NoAnswer, false));
    assert_eq!(start.elapsed().as_secs(), 60 + 30 + 5 + 10);
    // It asks again, is told again, and what it reports then replaces that.
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Yours(nonce));
    a.send_report(&a.report(job, Outcome::Expired, b"")).await;
    until(&controller, job, ExecutionState::Expired).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_job_that_is_no_more_is_void() {
    let (mut fleet, _, _) = fleet_of([]).await;
    fleet.config.retention = seconds(600);
    let controller = fleet.controller().await;
    let mut a = fleet.ready_agent("a", &controller).await;
    let job = controller.submit(&admin(), queued(&fleet, "a", seconds(60))).await.unwrap();
    tokio::time::sleep(seconds(700)).await;
    assert!(matches!(controller.results(&admin(), job, NOW).await, Err(Error::JobNotFound(_))));
    let nonce = Nonce::random();
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Void(nonce));
}

#[tokio::test(start_paused = true)]
async fn any_waits_for_nobody() {
    let (fleet, controller, [_a, _b]) = fleet_of(["a", "b"]).await;
    let queue_for = Some(seconds(60).try_into().unwrap());
    let submission = Submission { queue_for, ..submission(&fleet, Target::Any) };
    let error = controller.submit(&admin(), submission).await.unwrap_err();
    let text = "queue_for must be used with a target that says which hosts, not _any";
    assert_eq!(error.to_string(), text);
    assert!(controller.list(&admin(), Default::default()).await.unwrap().jobs.is_empty());
}
