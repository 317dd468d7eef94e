//! Records that somebody with the rights of an API server at the broker, and without its key, has put in the place of others.

use serde_json::{Value, json};

use super::keys::keeper;
use super::*;
use crate::controller::RetrySubmission;
use crate::job::RetryHosts;
use crate::job::limits::QUEUE_FOR_MAX;

fn retry(fleet: &Fleet, job: JobId) -> RetrySubmission {
    let (hosts, arrived_at) = (RetryHosts::All, fleet.clock.wall());
    RetrySubmission { job, hosts, arrived_at, queue_for: None, idempotency: None }
}

async fn record(fleet: &Fleet, bucket: Bucket, key: &Key) -> Value {
    let entry = fleet.store.get_latest(bucket, key).await.unwrap().unwrap();
    serde_json::from_slice(&entry.value).unwrap()
}

/// Puts a record in the place of the one that is there.
async fn plant(fleet: &Fleet, bucket: Bucket, key: &Key, record: &Value) {
    fleet.store.purge(bucket, &Prefix::of(&[key])).await.unwrap();
    fleet.store.create(bucket, key, record.to_string().into()).await.unwrap();
}

/// A job on `a` that has failed, and an agent `b` that has nothing to do with it.
async fn failed(fleet: &Fleet, controller: &Controller) -> (JobId, Agent, Agent) {
    let mut a = fleet.ready_agent("a", controller).await;
    let b = fleet.ready_agent("b", controller).await;
    let job = controller.submit(&admin(), submission(fleet, host("a"))).await.unwrap();
    a.order().await;
    a.send_report(&a.report(job, Outcome::Exited { code: 1 }, b"")).await;
    controller.results(&admin(), job, None).await.unwrap();
    (job, a, b)
}

/// A list of `a`, as it is, and of `b`, as if it had been silent.
async fn longer_list(fleet: &Fleet, job: JobId, record: &Value, b: &Agent) -> Digest {
    let part: Digest = serde_json::from_value(record["hosts"][0].clone()).unwrap();
    let mut list = self::record(fleet, Bucket::Hosts, &records::hosts_key(job, part)).await;
    let mut row = serde_json::to_value(&b.identity).unwrap();
    row["unreachable"] = json!(true);
    list["hosts"].as_array_mut().unwrap().push(row);
    let digest = Digest::of(list.to_string().as_bytes());
    plant(fleet, Bucket::Hosts, &records::hosts_key(job, digest), &list).await;
    digest
}

#[tokio::test(start_paused = true)]
async fn what_a_record_says_beside_what_was_signed_is_neither_shown_nor_tried_again() {
    let other = json!({"exec": {"command": "false"}});
    for changed in ["operation", "target", "hosts", "submitter", "not_after", "claim", "key"] {
        let fleet = Fleet::new();
        let first = fleet.controller().await;
        let (job, mut a, mut b) = failed(&fleet, &first).await;
        let key = Key::of(&[&job]);
        let genuine = record(&fleet, Bucket::Jobs, &key).await;
        let mut planted = genuine.clone();
        planted[changed] = match changed {
            "operation" => other.clone(),
            "target" => json!("_any"),
            "hosts" => json!([longer_list(&fleet, job, &genuine, &b).await]),
            "submitter" => json!({"subject": "me", "token_id": "t", "roles": []}),
            "not_after" => json!(fleet.clock.wall() + Duration::from_secs(3600)),
            "claim" => json!("host"),
            _ => json!(SigningKey::generate().id()),
        };
        assert_ne!(planted, genuine, "{changed}");
        plant(&fleet, Bucket::Jobs, &key, &planted).await;
        // Those that read it before, and those that read it now.
        let second = fleet.controller().await;
        for controller in [&first, &second] {
            let shown = controller.details(&admin(), job, Duration::ZERO).await;
            assert!(matches!(shown, Err(Error::JobDamaged { .. })), "{changed}: {shown:?}");
            let again = controller.retry(&admin(), retry(&fleet, job)).await;
            assert!(matches!(again, Err(Error::JobDamaged { .. })), "{changed}: {again:?}");
        }
        assert!(!a.order_within(Duration::from_secs(5)).await, "{changed}");
        assert!(!b.order_within(Duration::from_secs(5)).await, "{changed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_remembered_as_long_as_the_order_can_start_something() {
    for planted in ["nothing", "an earlier deadline", "no order"] {
        let fleet = Fleet::new();
        let first = fleet.controller().await;
        let mut agent = fleet.ready_agent("a", &first).await;
        let job = first.submit(&admin(), submission(&fleet, host("a"))).await.unwrap();
        let signed = agent.order().await.not_after;
        let key = Key::of(&[&job]);
        let mut changed = record(&fleet, Bucket::Jobs, &key).await;
        match planted {
            "an earlier deadline" => {
                changed["not_after"] = json!(signed - Duration::from_secs(20));
                plant(&fleet, Bucket::Jobs, &key, &changed).await;
            }
            "no order" => {
                let envelope = serde_json::from_value(changed["envelope"].clone()).unwrap();
                let key = records::envelope_key(job, envelope);
                fleet.store.purge(Bucket::Envelopes, &Prefix::of(&[&key])).await.unwrap();
            }
            _ => {}
        }
        // One that has not read it before.
        fleet.controller().await.cancel(&admin(), job).await.unwrap();
        let cancel = loop {
            if let ToAgent::Cancel(cancel) = agent.next().await {
                break cancel.verify(&agent.ring[0].key).unwrap();
            }
        };
        // As late as any order may be, where nothing else is certain.
        let until = match planted {
            "nothing" => signed,
            _ => job.created_at() + QUEUE_FOR_MAX,
        };
        assert_eq!(cancel.not_after, until, "{planted}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_for_which_nobody_was_there_is_signed_like_every_other() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let _silent = fleet.ready_agent("a", &controller).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    let job = controller.submit(&admin(), submission(&fleet, host("a"))).await.unwrap();
    let results = controller.results(&admin(), job, None).await.unwrap().results;
    assert_eq!(results[0].status, ExecutionState::Unreachable);
    let key = Key::of(&[&job]);
    let genuine = record(&fleet, Bucket::Jobs, &key).await;
    controller.retry(&admin(), retry(&fleet, job)).await.unwrap();
    for unsigned in [false, true] {
        let mut planted = genuine.clone();
        planted["operation"] = json!({"exec": {"command": "false"}});
        if unsigned {
            (planted["envelope"], planted["key"]) = (Value::Null, Value::Null);
        }
        plant(&fleet, Bucket::Jobs, &key, &planted).await;
        let again = controller.retry(&admin(), retry(&fleet, job)).await;
        assert!(again.is_err(), "{again:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_ordered_under_a_key_that_was_retired_is_shown_and_not_tried_again() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let (job, _a, _b) = failed(&fleet, &controller).await;
    let new = SigningKey::generate();
    controller.publish_ring(&keeper(), fleet.ring(2, &[&fleet.job_key(), &new])).await.unwrap();
    fleet.sign_with(&new);
    controller.ready().await;
    controller.publish_ring(&keeper(), fleet.ring(3, &[&new])).await.unwrap();
    controller.ready().await;
    let again = controller.retry(&admin(), retry(&fleet, job)).await.unwrap_err();
    assert_eq!(again.problem().code.to_string(), "job_key_not_valid", "{again:?}");
    let shown = controller.details(&admin(), job, Duration::ZERO).await.unwrap();
    assert_eq!(shown.operation, Some(Operation::Exec(Exec::new("true"))));
}

#[tokio::test(start_paused = true)]
async fn times_of_a_reservation_that_no_request_has_are_never_signed() {
    let second = Duration::from_secs(1);
    let planted = |fleet: &Fleet, name| {
        let now = fleet.clock.wall();
        let (created_at, within) = match name {
            "later" => (now + 31 * second, 30 * second),
            "longer" => (now, 3600 * second),
            "shorter" => (now, second),
            _ => (now, 30 * second),
        };
        let job = match name {
            "of another time" => JobId::new(now + 3600 * second),
            _ => JobId::new(created_at),
        };
        let (v, nonce, body) = (VERSION, Nonce::random(), Digest::of(b"a"));
        let not_after = created_at + within;
        records::Reservation { v, job, nonce, body, created_at, not_after }
    };
    for name in ["genuine", "later", "longer", "shorter", "of another time"] {
        let fleet = Fleet::new();
        let controller = fleet.controller().await;
        let mut agent = fleet.ready_agent("a", &controller).await;
        let key = records::reservation_key("admin@example.com", "k");
        let reservation = serde_json::to_value(planted(&fleet, name)).unwrap();
        plant(&fleet, Bucket::Reservations, &key, &reservation).await;
        let made = controller.submit(&admin(), keyed(&fleet, "k", b"a")).await;
        if name == "genuine" {
            assert_eq!(agent.order().await.job, made.unwrap());
            continue;
        }
        let problem = made.unwrap_err().problem();
        assert_eq!(problem.code.to_string(), "idempotency_damaged", "{name}: {problem:?}");
        assert!(!agent.order_within(Duration::from_secs(5)).await, "{name}");
    }
}
