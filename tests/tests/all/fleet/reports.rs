//! Reports of many agents on one job: committed together, and none of them lost.

use std::collections::HashMap;
use std::sync::Arc;

use osapi_core::backend::held::{HeldStore, Point};
use osapi_core::backend::{Bucket, Bus as _, Change, Prefix, Store};
use osapi_core::executor::scripted::{Gate, Script};
use osapi_core::id::JobId;
use osapi_core::job::{ExecutionState, JobStatus};
use osapi_core::message::{FromAgent, Pattern, Subject, decode};
use osapi_tests::NatsServer;

use super::world::{Fleet, ready_at, settled, within};

/// How many records hold the reports of a job.
async fn records(store: &dyn Store, job: JobId) -> usize {
    let mut watch = store.watch(Bucket::Reports, &Prefix::of(&[&job]), None).await.unwrap();
    let mut count = 0;
    while let Change::Put(_) = within(watch.next()).await.unwrap().unwrap() {
        count += 1;
    }
    count
}

/// Every write of this server is synced, so a record for each report would cost fifty syncs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_come_while_others_are_written_share_a_record() {
    const AGENTS: usize = 50;
    let server = NatsServer::start();
    let fleet = Fleet::at(&server);
    let nats = fleet.connect("controller", None).await;
    let store = Arc::new(HeldStore::new(fleet.store(&nats).await));
    let controller = fleet.controller_over(Arc::clone(&store) as _, Arc::new(nats.bus())).await;
    within(controller.ready()).await;
    let agents = fleet.agents((0..AGENTS).map(|n| format!("host-{n:02}"))).await;
    ready_at(&controller, &agents).await;

    let observer = fleet.connect("observer", None).await.bus();
    let mut words = observer.subscribe(&Pattern::Work).await.unwrap();
    let gates: Vec<_> = agents.iter().map(|_| Gate::closed()).collect();
    for (agent, gate) in agents.iter().zip(&gates) {
        agent.executor.on("held", Script::exits(0).held_by(gate));
    }
    store.hold(&[Point::Creating(Bucket::Reports)]);
    let job = fleet.submit(&controller, "held", "_all").await.unwrap();
    let mut said = HashMap::<_, usize>::new();
    let mut listen = async |until: &dyn Fn(&HashMap<Subject, usize>) -> bool| {
        while !until(&said) {
            let word = within(words.next()).await.unwrap();
            if let Ok(FromAgent::Report(_)) = decode(&word.payload) {
                *said.entry(word.subject).or_default() += 1;
            }
        }
    };
    // One after the other, so that none of them comes together with another by chance.
    for (agent, gate) in agents.iter().zip(&gates) {
        gate.open();
        listen(&|said| said.contains_key(&Subject::Work(agent.name.clone()))).await;
    }
    // What is said again comes a while later, so whoever has said it twice has been heard the first time.
    listen(&|said| said.values().all(|times| *times >= 2)).await;
    within(store.reached(Point::Creating(Bucket::Reports))).await;
    assert_eq!(records(&*store, job).await, 0, "they wait for the first one to be written");
    store.release();

    let results = settled(&controller, job).await;
    assert_eq!((results.status, results.results.len()), (JobStatus::Completed, AGENTS));
    assert!(results.results.iter().all(|row| row.status == ExecutionState::Succeeded));
    // One for what came first, one for all that waited, and some for what was still being looked at.
    let records = records(&*store, job).await;
    assert!(records <= 10, "{records} records");
}
