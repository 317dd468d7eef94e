//! Keys that come and go.

use super::stores::{HeldStore, Point};
use super::*;
use crate::backend::StoreError;
use crate::message::{CancelOrder, Ping};

const SOON: Duration = Duration::from_millis(100);

pub(super) fn keeper() -> Permit {
    person("keeper@example.com", &[Permission::KEY_WRITE, Permission::HEALTH_READ])
}

impl Fleet {
    /// A ring of these job keys and a token key.
    pub(super) fn ring(&self, serial: u64, job_keys: &[&SigningKey]) -> Signed<KeyRing> {
        let job_keys = job_keys.iter().map(|key| (key.public(), KeyUse::Job));
        let token = (SigningKey::generate().public(), KeyUse::Token);
        let keys = job_keys.chain([token]).map(|(key, usage)| RingKey { key, usage });
        KeyRing::issue(&self.root, serial, self.clock.wall(), keys.collect()).unwrap()
    }

    pub(super) fn sign_with(&self, key: &SigningKey) {
        let key = SigningKey::from_paserk(&key.to_paserk()).unwrap();
        self.signing.send_replace(Arc::new(key));
    }
}

async fn until_serial(controller: &Controller, serial: u64) {
    let mut ring = controller.key_ring();
    ring.wait_for(|ring| ring.as_ref().is_some_and(|ring| ring.serial >= serial)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ring_is_published_once_and_for_every_controller() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let (old, new) = (fleet.job_key(), SigningKey::generate());
    let two = fleet.ring(2, &[&old, &new]);
    let listed = first.publish_ring(&keeper(), two.clone()).await.unwrap();
    assert_eq!((listed.serial, listed.keys.len(), listed.ring.as_str()), (2, 3, two.as_str()));
    let signing: Vec<_> = listed
        .keys
        .iter()
        .map(|key| (key.key_id == old.id().to_string(), key.is_signing))
        .collect();
    assert_eq!(signing, [(true, true), (false, false), (false, false)]);
    until_serial(&second, 2).await;
    assert_eq!(second.keys(&keeper()).await.unwrap().serial, 2);
    let again = second.publish_ring(&keeper(), two).await.unwrap();
    assert_eq!(again.serial, 2, "a repetition changes nothing");
    for ring in [fleet.ring(2, &[&old]), fleet.ring(1, &[&old])] {
        let refused = second.publish_ring(&keeper(), ring).await;
        assert!(matches!(refused, Err(Error::RingConflict { next: 3 })), "{refused:?}");
    }
    second.publish_ring(&keeper(), fleet.ring(3, &[&old])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_agent_is_told_of_a_new_ring_by_one_message_and_of_old_ones_by_none() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut told = fleet.bus.subscribe(&Pattern::Ping).await.unwrap();
    let two = fleet.ring(2, &[&fleet.job_key()]);
    first.publish_ring(&keeper(), two.clone()).await.unwrap();
    until_serial(&second, 2).await;
    let _third = fleet.controller().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let rings = std::iter::from_fn(|| told.try_next());
    let rings = rings.filter_map(|ping| decode::<Ping>(&ping.payload).unwrap().ring);
    assert_eq!(rings.collect::<Vec<_>>(), [two.clone(), two], "one by each that was there");
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_nobody_could_work_with_is_refused() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let refused =
        async |permit: &Permit, ring| controller.publish_ring(permit, ring).await.unwrap_err();
    let good = fleet.ring(2, &[&fleet.job_key()]);
    assert!(matches!(refused(&admin(), good).await, Error::Denied(_)));
    let other = Fleet::new();
    let foreign = other.ring(2, &[&fleet.job_key()]);
    assert!(matches!(refused(&keeper(), foreign).await, Error::RingRefused(_)));
    assert!(matches!(refused(&keeper(), fleet.ring(2, &[])).await, Error::RingRefused(_)));
    let job = vec![RingKey { key: fleet.job_key().public(), usage: KeyUse::Job }];
    let no_token = KeyRing::issue(&fleet.root, 2, fleet.clock.wall(), job).unwrap();
    assert!(matches!(refused(&keeper(), no_token).await, Error::RingRefused(_)));
    assert_eq!(controller.keys(&keeper()).await.unwrap().serial, 1);
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_is_not_the_next_has_to_be_above_what_agents_know() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let agent = fleet.ready_agent("web-01", &controller).await;
    let say = async |ring| {
        let hello = Hello { ring, ..agent.greeting(&[], &[]) };
        agent.say(Subject::Heard(agent.identity.name.clone()), &FromAgent::Hello(hello)).await;
        tokio::time::sleep(SOON).await;
        controller.keys(&keeper()).await.unwrap().highest_serial
    };
    assert_eq!(say(5).await, 5);
    assert_eq!(say(u64::MAX).await, 5, "an agent that makes numbers up stops nobody");
    let key = fleet.job_key();
    let refused = controller.publish_ring(&keeper(), fleet.ring(5, &[&key])).await;
    assert!(matches!(refused, Err(Error::RingConflict { next: 2 })), "{refused:?}");
    controller.publish_ring(&keeper(), fleet.ring(2, &[&key])).await.unwrap();
    controller.publish_ring(&keeper(), fleet.ring(6, &[&key])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_controller_whose_key_is_not_valid_takes_no_jobs_and_says_so() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let _agent = fleet.ready_agent("web-01", &controller).await;
    let new = SigningKey::generate();
    controller.publish_ring(&keeper(), fleet.ring(2, &[&new])).await.unwrap();
    let submit = async || controller.submit(&admin(), submission(&fleet, host("web-01"))).await;
    eventually(async || !controller.is_ready()).await;
    let refused = submit().await.unwrap_err();
    assert!(matches!(&refused, Error::KeyNotValid(key) if *key == fleet.job_key().id()));
    fleet.sign_with(&new);
    controller.ready().await;
    submit().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_lags_behind_takes_no_new_key_for_a_retired_one() {
    let fleet = Fleet::new();
    let first = fleet.controller().await;
    let held = Arc::new(HeldStore::new(Arc::clone(&fleet.store)));
    let second = fleet.controller_over(Arc::clone(&held) as _).await;
    let mut agent = fleet.ready_agent("web-01", &first).await;
    until_state(&second, &agent.identity.name, AgentState::Ready).await;
    held.hold(&[Point::Change(Bucket::Keyrings)]);
    let (old, new) = (fleet.job_key(), SigningKey::generate());
    first.publish_ring(&keeper(), fleet.ring(2, &[&old, &new])).await.unwrap();
    fleet.sign_with(&new);
    agent.ring.push(RingKey { key: new.public(), usage: KeyUse::Job });
    let job = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    assert_eq!(agent.order().await.job, job);
    let cancelled = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    first.cancel(&admin(), cancelled).await.unwrap();
    first.stop().await;
    for job in [job, cancelled] {
        let shown = second.details(&admin(), job, Duration::ZERO).await;
        assert!(matches!(shown, Ok(_) | Err(Error::NotReady | Error::KeyNotValid(_))), "{shown:?}");
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    held.release();
    second.ready().await;
    while agent.inbox.try_next().is_some() {}
    let (mut ordered, mut stopped) = (false, false);
    while !(ordered && stopped) {
        match agent.next().await {
            ToAgent::Dispatch { order, membership } => {
                assert_eq!(agent.open(&order, &membership).job, job);
                ordered = true;
            }
            ToAgent::Cancel(cancel) => {
                let cancel: CancelOrder = cancel.verify(&new.public()).unwrap();
                assert_eq!(cancel.job, cancelled, "the job was not retired");
                stopped = true;
            }
            _ => {}
        }
    }
    let shown = second.results(&admin(), job, NOW).await.unwrap();
    assert!(!shown.results[0].cancel_requested);
}

#[tokio::test(start_paused = true)]
async fn open_jobs_of_a_retired_key_are_counted_and_end() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut agent = fleet.ready_agent("web-01", &first).await;
    until_state(&second, &agent.identity.name, AgentState::Ready).await;
    let (old, new) = (fleet.job_key(), SigningKey::generate());
    let jobs = [
        first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap(),
        first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap(),
    ];
    let done = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    agent.send_report(&agent.report(done, Outcome::Exited { code: 0 }, b"")).await;
    first.results(&admin(), done, None).await.unwrap();
    agent.receipt(jobs[0], ReceiptKind::Accepted).await;
    first.publish_ring(&keeper(), fleet.ring(2, &[&old, &new])).await.unwrap();
    fleet.sign_with(&new);
    let counted = async |controller: &Controller, key: &SigningKey| {
        let listed = controller.keys(&keeper()).await.unwrap();
        let found = listed.keys.into_iter().find(|known| known.key_id == key.id().to_string());
        found.unwrap().open_jobs
    };
    until_serial(&second, 2).await;
    for controller in [&first, &second] {
        controller.results(&admin(), jobs[1], NOW).await.unwrap();
        eventually(async || counted(controller, &old).await == Some(2)).await;
        assert_eq!(counted(controller, &new).await, Some(0));
    }
    while agent.inbox.try_next().is_some() {}
    first.publish_ring(&keeper(), fleet.ring(3, &[&new])).await.unwrap();
    until_serial(&second, 3).await;
    let mut cancelled = std::collections::BTreeSet::new();
    while cancelled.len() < 2 {
        match agent.next().await {
            ToAgent::Cancel(cancel) => {
                let cancel: CancelOrder = cancel.verify(&new.public()).unwrap();
                cancelled.insert(cancel.job);
            }
            ToAgent::Dispatch { .. } => panic!("nobody would take it any more"),
            _ => {}
        }
    }
    assert_eq!(cancelled, jobs.into());
    for job in jobs {
        agent.send_report(&agent.report(job, Outcome::Cancelled, b"")).await;
        for controller in [&first, &second] {
            let results = controller.results(&admin(), job, None).await.unwrap();
            assert_eq!(results.status, JobStatus::Cancelled);
        }
    }
    let kept = first.results(&admin(), done, NOW).await.unwrap();
    assert_eq!(kept.status, JobStatus::Completed, "what has ended stays");
    let key = Key::of(&[&done]);
    assert!(matches!(
        fleet.store.get_latest(Bucket::Cancels, &key).await,
        Ok::<_, StoreError>(None)
    ));
}
