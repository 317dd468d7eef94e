//! What agents say, taken while the store is slow.

use super::stores::{HeldStore, Point};
use super::*;
use crate::backend::{Change, Entry};
use crate::controller::records::ReportBatch;

fn slow() -> (Arc<HeldStore>, Fleet) {
    let store = Arc::new(HeldStore::new(Arc::new(EmbeddedStore::in_memory())));
    let fleet = Fleet::over(Arc::clone(&store) as _, Arc::new(EmbeddedBus::new()));
    (store, fleet)
}

/// The records in the bucket.
async fn records_in(fleet: &Fleet, bucket: Bucket) -> Vec<Entry> {
    let mut watch = fleet.store.watch(bucket, &Prefix::ALL, None).await.unwrap();
    let mut records = Vec::new();
    while let Change::Put(entry) = watch.next().await.unwrap().unwrap() {
        records.push(entry);
    }
    records
}

async fn until_count(fleet: &Fleet, bucket: Bucket, expected: usize) {
    eventually(async || records_in(fleet, bucket).await.len() == expected).await;
}

const DONE: Outcome = Outcome::Exited { code: 0 };

#[tokio::test(start_paused = true)]
async fn reports_that_come_while_others_are_written_go_together() {
    let (store, fleet) = slow();
    let controller = fleet.controller().await;
    let mut agents = Vec::new();
    for n in 0..20 {
        agents.push(fleet.ready_agent(&format!("web-{n:02}"), &controller).await);
    }
    let job = controller.submit(&admin(), submission(&fleet, Target::All)).await.unwrap();
    store.hold(&[Point::Created(Bucket::Reports)]);
    let reports: Vec<_> = agents.iter().map(|agent| agent.report(job, DONE, b"")).collect();
    agents[0].send_report(&reports[0]).await;
    until_count(&fleet, Bucket::Reports, 1).await;
    for (agent, report) in agents.iter().zip(&reports) {
        // Sent again while it waits, a report is still written once.
        agent.send_report(report).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        agent.send_report(report).await;
    }
    assert_eq!(records_in(&fleet, Bucket::Reports).await.len(), 1);
    store.release();
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(results.status, JobStatus::Completed);
    let written: Vec<_> = records_in(&fleet, Bucket::Reports)
        .await
        .iter()
        .map(|entry| records::decode::<ReportBatch>(entry).unwrap().reports.len())
        .collect();
    assert_eq!(written, [1, 19]);
    for agent in &mut agents {
        assert!(matches!(agent.answer().await.kind, AnswerKind::Stored(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn reports_of_different_jobs_are_written_side_by_side() {
    let (store, fleet) = slow();
    let controller = fleet.controller().await;
    let agent = fleet.ready_agent("web-01", &controller).await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap());
    }
    store.hold(&[Point::Created(Bucket::Reports)]);
    for job in jobs {
        agent.send_report(&agent.report(job, DONE, b"")).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    until_count(&fleet, Bucket::Reports, 5).await;
}

/// The chunk number `n` of standard output.
fn chunk(agent: &Agent, job: JobId, n: u64) -> OutputChunk {
    OutputChunk {
        identity: agent.identity.clone(),
        job,
        stream: Stream::Stdout,
        offset: n * CHUNK_MAX as u64,
        data: STANDARD.encode("x"),
        sha256: Digest::of(b"x"),
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_chunks_are_written_at_once() {
    let (store, fleet) = slow();
    let controller = fleet.controller().await;
    let agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    store.hold(&[Point::Created(Bucket::Output)]);
    for n in 0..500 {
        agent.work(&FromAgent::Output(chunk(&agent, job, n))).await;
    }
    until_count(&fleet, Bucket::Output, 64).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(records_in(&fleet, Bucket::Output).await.len(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_slow_write_keeps_nobody_else_waiting() {
    let (store, fleet) = slow();
    let controller = fleet.controller().await;
    let agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    store.hold(&[Point::Creating(Bucket::Reports), Point::Creating(Bucket::Output)]);
    let chunk = chunk(&agent, job, 0);
    for _ in 0..2000 {
        agent.work(&FromAgent::Output(chunk.clone())).await;
        tokio::task::yield_now().await;
    }
    agent.send_report(&agent.report(job, DONE, b"")).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let limit = Duration::from_millis(100);
    tokio::time::timeout(limit, fleet.ready_agent("web-02", &controller)).await.unwrap();
}
