//! A controller that has just started, or that is behind another one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::SigningKey;
use osapi_core::backend::held::{HeldStore, Point};
use osapi_core::backend::nats::NatsBus;
use osapi_core::backend::{Bucket, Bus as _};
use osapi_core::controller::{Controller, Error};
use osapi_core::id::{Identity, JobId, JournalId, SealingKey};
use osapi_core::job::record::VERSION;
use osapi_core::job::{AgentFacts, JobStatus, Labels};
use osapi_core::message::{FromAgent, Pattern, Registration, Subject, ToAgent, decode, encode};
use osapi_tests::NatsServer;

use super::world::{Fleet, NOW, me, ready_at, settled, within};

/// What a controller reads before it is ready.
const READ: [Bucket; 7] = [
    Bucket::Keyrings,
    Bucket::Removed,
    Bucket::Agents,
    Bucket::Jobs,
    Bucket::Claims,
    Bucket::Cancels,
    Bucket::Reports,
];

/// So many jobs on `target`.
async fn jobs(fleet: &Fleet, controller: &Controller, target: &str, count: usize) -> Vec<JobId> {
    let jobs = stream::iter(0..count);
    let jobs = jobs.map(async |_| fleet.submit(controller, "true", target).await.unwrap());
    jobs.buffer_unordered(50).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_is_not_ready_before_it_has_read_every_bucket() {
    let server = NatsServer::start();
    let fleet = Fleet::at(&server);
    let first = fleet.controller().await;
    let agents = fleet.agents(["a", "b"].map(Into::into)).await;
    ready_at(&first, &agents).await;
    let job = fleet.submit(&first, "true", "_all").await.unwrap();
    assert_eq!(settled(&first, job).await.status, JobStatus::Completed);
    for bucket in READ {
        let nats = fleet.connect("fresh", None).await;
        let store = Arc::new(HeldStore::new(fleet.store(&nats).await));
        store.hold(&[Point::Change(bucket)]);
        let fresh = fleet.start(Arc::clone(&store) as _, Arc::new(nats.bus())).await;
        within(store.reached(Point::Change(bucket))).await;
        let early = tokio::time::timeout(Duration::from_millis(200), fresh.ready()).await;
        assert!(early.is_err(), "it is ready without {bucket}");
        let refused = fleet.submit(&fresh, "true", "_all").await;
        assert!(matches!(refused, Err(Error::NotReady)), "{bucket}: {refused:?}");
        let refused = fresh.results(&me(), job, NOW).await;
        assert!(matches!(refused, Err(Error::NotReady)), "{bucket}: {refused:?}");
        store.release();
        within(fresh.ready()).await;
        let results = fresh.results(&me(), job, NOW).await.unwrap();
        assert_eq!((results.status, results.results.len()), (JobStatus::Completed, 2));
        fresh.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_is_ready_knows_thousands_of_records() {
    const ENDED: usize = 100;
    const PENDING: usize = 900;
    let server = NatsServer::start();
    let fleet = Fleet::at(&server);
    let first = fleet.controller().await;
    let agent = fleet.agent("live").await;
    ready_at(&first, std::slice::from_ref(&agent)).await;
    let bus = fleet.connect("agents", None).await.bus();
    is_let_in(&fleet, &bus, "mute").await;
    let ended = jobs(&fleet, &first, "live", ENDED).await;
    let pending = jobs(&fleet, &first, "mute", PENDING).await;
    for job in &ended {
        assert_eq!(settled(&first, *job).await.status, JobStatus::Completed);
    }
    let nats = fleet.connect("fresh", None).await;
    let fresh = fleet.controller_at(&nats).await;
    let refused = fleet.submit(&fresh, "true", "live").await;
    assert!(matches!(refused, Err(Error::NotReady)), "{refused:?}");
    within(fresh.ready()).await;
    let health = fresh.health(&me()).await.unwrap();
    let count = |status: JobStatus| health.jobs[status.as_str()] as usize;
    assert_eq!((count(JobStatus::Completed), count(JobStatus::Pending)), (ENDED, PENDING));
    for job in ended.iter().chain(&pending).step_by(50) {
        is_found(&fresh, *job).await;
    }
}

/// An agent that asks to be let in, and never says a word after that.
async fn is_let_in(fleet: &Fleet, bus: &NatsBus, name: &str) {
    let key = SigningKey::generate();
    let (name, journal) = (name.parse().unwrap(), JournalId::random());
    let identity = Identity { name, key: key.public(), journal };
    let mut inbox = bus.subscribe(&Pattern::To(identity.name.clone())).await.unwrap();
    let registration = Registration {
        v: VERSION,
        fleet: fleet.root.public().fleet(),
        identity: identity.clone(),
        hostname: "host.example".into(),
        version: "0".into(),
        sealing: SealingKey::from_bytes([1; 32]),
        labels: Labels::default(),
        facts: AgentFacts::default(),
        at: fleet.clock.wall(),
    };
    let word = FromAgent::Register(Signed::sign(&registration, &key).unwrap());
    let subject = Subject::Work(identity.name.clone());
    bus.publish(&subject, encode(&word).into()).await.unwrap();
    let answer = within(inbox.next()).await.unwrap();
    let welcome = decode::<ToAgent>(&answer.payload).unwrap();
    assert!(matches!(welcome, ToAgent::Welcome(_)), "{welcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_controller_has_done_the_other_knows_at_once() {
    let server = NatsServer::start();
    let fleet = Fleet::at(&server);
    let first = fleet.controller().await;
    let nats = fleet.connect("behind", None).await;
    let store = Arc::new(HeldStore::new(fleet.store(&nats).await));
    let second = fleet.start(Arc::clone(&store) as _, Arc::new(nats.bus())).await;
    within(second.ready()).await;
    let bus = fleet.connect("agents", None).await.bus();
    for n in 0..100 {
        // Every other time it is told late of what there is.
        if n % 2 == 0 {
            store.hold(&[Bucket::Agents, Bucket::Jobs].map(Point::Change));
        }
        let lag = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            store.release();
        };
        let name = format!("host-{n}");
        // One of the two lets it in; neither may say that it does not know it.
        is_let_in(&fleet, &bus, &name).await;
        let here = async {
            let job = fleet.submit(&first, "true", &name).await.unwrap();
            is_found(&second, job).await;
        };
        let there = async {
            let job = fleet.submit(&second, "true", &name).await.unwrap();
            is_found(&first, job).await;
        };
        tokio::join!(here, there, lag);
    }
}

async fn is_found(controller: &Controller, job: JobId) {
    let found = within(controller.results(&me(), job, NOW)).await;
    assert!(found.is_ok(), "{job}: {found:?}");
}
