//! Claims where several controllers decide, and where the store answers late, or not, or with what was.

use super::claims::holder;
use super::stores::{HeldStore, Point};
use super::*;
use crate::job::{ClaimRecord, Holder, VoidReason};

const SOON: Duration = Duration::from_millis(100);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn queued(fleet: &Fleet, time: Duration) -> Submission {
    Submission { queue_for: Some(time.try_into().unwrap()), ..submission(fleet, Target::All) }
}

async fn until_state_of(controller: &Controller, job: JobId, state: ExecutionState) {
    loop {
        match controller.results(&admin(), job, NOW).await {
            Ok(results) if results.results.iter().all(|row| row.status == state) => return,
            Ok(_) | Err(Error::Store(_) | Error::JobNotFound(_)) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(err) => panic!("{err:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_controller_goes_on_offering_where_one_ends() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut agents = Vec::new();
    for name in ["a", "b", "c"] {
        let agent = fleet.ready_agent(name, &first).await;
        until_state(&second, &agent.identity.name, AgentState::Ready).await;
        agents.push(agent);
    }
    let start = tokio::time::Instant::now();
    let job = first.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agents[0].order().await;
    agents[0].receipt(job, ReceiptKind::Busy).await;
    agents[1].order().await;
    first.stop().await;
    // It follows what the first was at, and goes on two seconds after the last word.
    assert_eq!(agents[1].order().await.job, job);
    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(agents[2].order().await.job, job);
    assert_eq!(start.elapsed().as_secs(), 3);
    let nonce = Nonce::random();
    assert_eq!(agents[2].claimed(job, nonce).await, AnswerKind::Yours(nonce));
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_first_at_whichever_controller_has_it() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut a = fleet.ready_agent("a", &first).await;
    let mut b = fleet.ready_agent("b", &first).await;
    for agent in [&a, &b] {
        until_state(&second, &agent.identity.name, AgentState::Ready).await;
    }
    for _ in 0..20 {
        let job = first.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
        let (mine, theirs) = (Nonce::random(), Nonce::random());
        let (one, other) = tokio::join!(a.claimed(job, mine), b.claimed(job, theirs));
        let given = [one == AnswerKind::Yours(mine), other == AnswerKind::Yours(theirs)];
        assert_eq!(given.iter().filter(|given| **given).count(), 1, "{one:?} {other:?}");
    }
}

/// Another controller gives the claim to this agent.
async fn given_elsewhere(fleet: &Fleet, job: JobId, host: Option<&str>, to: &Agent, nonce: Nonce) {
    let claim = ClaimRecord {
        v: VERSION,
        job,
        host: host.map(|host| host.parse().unwrap()),
        at: fleet.clock.wall(),
        holder: Holder::Agent { identity: to.identity.clone(), nonce },
    };
    let key = crate::controller::records::claim_key(job, claim.host.as_ref());
    let bytes = serde_json::to_vec(&claim).unwrap().into();
    fleet.store.create(Bucket::Claims, &key, bytes).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_report_is_stored_also_where_its_claim_was_not_read_yet() {
    let fleet = Fleet::new();
    let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
    let controller = fleet.controller_over(Arc::clone(&held) as _).await;
    let mut a = fleet.ready_agent("a", &controller).await;
    let mut b = fleet.ready_agent("b", &controller).await;
    held.hold(&[Point::Change(Bucket::Claims)]);
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    given_elsewhere(&fleet, job, None, &b, Nonce::random()).await;
    let foreign = a.send_report(&a.report(job, Outcome::Exited { code: 1 }, b"")).await;
    assert_eq!(a.answer_within(SOON).await, Some(AnswerKind::Conflict(foreign)));
    let digest = b.send_report(&b.report(job, Outcome::Exited { code: 0 }, b"")).await;
    assert_eq!(b.answer_within(SOON).await, Some(AnswerKind::Stored(digest)));
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(results.status, JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_was_not_read_yet_counts() {
    let fleet = Fleet::new();
    let first = fleet.controller().await;
    let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
    let second = fleet.controller_over(Arc::clone(&held) as _).await;
    let mut a = fleet.ready_agent("a", &first).await;
    until_state(&second, &a.identity.name, AgentState::Ready).await;
    let job = first.submit(&admin(), queued(&fleet, seconds(60))).await.unwrap();
    second.details(&admin(), job, Duration::ZERO).await.unwrap();
    held.hold(&[Point::Change(Bucket::Cancels), Point::Change(Bucket::Claims)]);
    first.cancel(&admin(), job).await.unwrap();
    first.stop().await;
    // As if the first had ended before it made anything void: only the cancel itself is in the store.
    fleet.store.purge(Bucket::Claims, &Prefix::ALL).await.unwrap();
    let nonce = Nonce::random();
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Void(nonce));
    let void = Some(Holder::Void(VoidReason::Cancelled));
    assert_eq!(holder(&fleet, job, Some("a")).await, void);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_a_paused_controller_creates_late_is_refused_by_the_store() {
    let fleet = Fleet::new();
    let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
    let first = fleet.controller_over(Arc::clone(&held) as _).await;
    let mut a = fleet.ready_agent("a", &first).await;
    let job = first.submit(&admin(), queued(&fleet, seconds(5))).await.unwrap();
    held.hold(&[Point::Creating(Bucket::Claims)]);
    let nonce = Nonce::random();
    a.claim(job, nonce).await;
    assert_eq!(a.answer_within(seconds(1)).await, None);
    let second = fleet.controller().await;
    tokio::time::sleep(seconds(7)).await;
    until_state_of(&second, job, ExecutionState::Expired).await;
    held.release();
    assert_eq!(a.answer_within(SOON).await, Some(AnswerKind::Void(nonce)));
    until_state_of(&first, job, ExecutionState::Expired).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_before_a_removal_is_not_claimed_again_after_it() {
    let fleet = Fleet::new();
    let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
    let behind = fleet.controller_over(Arc::clone(&held) as _).await;
    let mut a = fleet.ready_agent("a", &behind).await;
    let mut b = fleet.ready_agent("b", &behind).await;
    let job = behind.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    held.hold(&[Point::Change(Bucket::Claims), Point::Change(Bucket::Removed)]);
    held.hold(&[Point::Change(Bucket::Jobs), Point::Change(Bucket::Reports)]);
    let nonce = Nonce::random();
    // Another controller gives it to the first, stores its report, and removes the job; this one hears nothing of it.
    given_elsewhere(&fleet, job, None, &a, nonce).await;
    let key = Key::of(&[&job]);
    fleet.store.create(Bucket::Removed, &key, "{}".into()).await.unwrap();
    for bucket in [Bucket::Claims, Bucket::Envelopes, Bucket::Hosts, Bucket::Jobs] {
        fleet.store.purge(bucket, &Prefix::of(&[&job])).await.unwrap();
    }
    let other = Nonce::random();
    assert_eq!(b.claimed(job, other).await, AnswerKind::Void(other), "it would run twice");
    assert_eq!(a.claimed(job, nonce).await, AnswerKind::Void(nonce));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_void_now_is_tried_again() {
    let faulty =
        Arc::new(FaultyStore::new(Arc::new(EmbeddedStore::in_memory()), 7, StoreFaults::default()));
    let fleet = Fleet::over(Arc::clone(&faulty) as _, Arc::new(EmbeddedBus::new()));
    let controller = fleet.controller().await;
    for name in ["a", "b", "c"] {
        fleet.ready_agent(name, &controller).await;
    }
    let job = controller.submit(&admin(), queued(&fleet, seconds(10))).await.unwrap();
    faulty.set(StoreFaults { unavailable: 1.0, ..StoreFaults::default() });
    tokio::time::sleep(seconds(15)).await;
    let shown = controller.results(&admin(), job, NOW).await.unwrap();
    assert!(shown.results.iter().all(|row| !row.is_final));
    faulty.set(StoreFaults { unknown: 0.5, unknown_unwritten: 0.3, ..StoreFaults::default() });
    until_state_of(&controller, job, ExecutionState::Expired).await;
}

#[tokio::test(start_paused = true)]
async fn everybody_is_made_void_at_the_deadline_however_many_there_are() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let count = 700;
    for n in 0..count {
        let agent = fleet.agent(&format!("h{n:03}")).await;
        agent.register().await;
    }
    while first.agents(&admin()).await.unwrap().agents.len() < count
        || second.agents(&admin()).await.unwrap().agents.len() < count
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let start = tokio::time::Instant::now();
    let job = first.submit(&admin(), queued(&fleet, seconds(60))).await.unwrap();
    let results = first.results(&admin(), job, None).await.unwrap();
    assert_eq!((results.results.len(), start.elapsed().as_secs()), (count, 60));
    assert!(results.results.iter().all(|row| row.status == ExecutionState::Expired));
    until_state_of(&second, job, ExecutionState::Expired).await;
}

/// Two controllers, a deadline, a cancel and two agents that ask, all at about the same time, over a store and a bus that fail: whatever
/// was answered agrees with the one record, and both controllers show the same.
#[tokio::test(start_paused = true)]
async fn claims_voids_and_cancels_race_and_one_record_decides() {
    for seed in 0..24 {
        let inner: Arc<dyn Store> = Arc::new(EmbeddedStore::in_memory());
        let faults = StoreFaults {
            unknown: 0.2,
            unknown_unwritten: 0.1,
            own_exists: 0.2,
            unavailable: 0.1,
            stale: 0.3,
            repeat: 0.2,
            cut: 0.0,
        };
        let stores = [0, 100].map(|n| {
            Arc::new(FaultyStore::new(Arc::clone(&inner), seed + n, StoreFaults::default()))
        });
        let bus = FaultyBus::new(Arc::new(EmbeddedBus::new()), seed, BusFaults::default());
        let bus = Arc::new(bus);
        let fleet = Fleet::over(inner, Arc::clone(&bus) as _);
        let first = fleet.controller_over(Arc::clone(&stores[0]) as _).await;
        let second = fleet.controller_over(Arc::clone(&stores[1]) as _).await;
        let mut a = fleet.ready_agent("a", &first).await;
        let mut b = fleet.ready_agent("b", &first).await;
        let job = first.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
        second.details(&admin(), job, Duration::ZERO).await.unwrap();
        stores.iter().for_each(|store| store.set(faults));
        bus.set(BusFaults { lose: 0.2, repeat: 0.2, hold: 0.2, overtaken_by: 3 });
        let is_cancelled = seed % 3 == 0;
        let race_at = if is_cancelled { seconds(5) } else { seconds(30) };
        let jitter = |n: u64| Duration::from_millis((seed * 7 + n * 13) % 40);
        let (mine, theirs) = (Nonce::random(), Nonce::random());
        let (one, other, ()) = tokio::join!(
            async {
                tokio::time::sleep(race_at - Duration::from_millis(20) + jitter(1)).await;
                a.claimed(job, mine).await
            },
            async {
                tokio::time::sleep(race_at - Duration::from_millis(20) + jitter(2)).await;
                b.claimed(job, theirs).await
            },
            async {
                tokio::time::sleep(race_at - Duration::from_millis(20) + jitter(3)).await;
                while is_cancelled && second.cancel(&admin(), job).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        );
        let decided = holder(&fleet, job, None).await;
        let expected = [
            matches!(&decided, Some(Holder::Agent { nonce, .. }) if *nonce == mine),
            matches!(&decided, Some(Holder::Agent { nonce, .. }) if *nonce == theirs),
        ];
        let told = [one == AnswerKind::Yours(mine), other == AnswerKind::Yours(theirs)];
        assert_eq!(told, expected, "seed {seed}: {decided:?}");
        let state = match decided {
            Some(Holder::Void(reason)) => reason.state(),
            Some(Holder::Agent { .. }) => {
                let claimant = if expected[0] { &a } else { &b };
                let mut report = claimant.report(job, Outcome::Exited { code: 0 }, b"");
                (report.started_at, report.ended_at) = (None, fleet.clock.wall());
                loop {
                    claimant.send_report(&report).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let known = first.results(&admin(), job, NOW).await;
                    if known.is_ok_and(|known| known.results[0].is_final) {
                        break;
                    }
                }
                ExecutionState::Succeeded
            }
            None => panic!("both were answered, and nothing decided"),
        };
        for controller in [&first, &second] {
            until_state_of(controller, job, state).await;
        }
    }
}
