//! What agents say, and what counts of it: registrations, reports, output, silence.

use super::*;
use crate::job::report::Parts;

#[tokio::test(start_paused = true)]
async fn silence_settles_as_no_answer_and_a_late_report_replaces_it() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let start = tokio::time::Instant::now();
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    let results = controller.results(&admin(), job, None).await.unwrap();
    let row = &results.results[0];
    assert_eq!(
        (results.status, row.status, row.is_final),
        (JobStatus::Failed, ExecutionState::NoAnswer, false)
    );
    assert_eq!(start.elapsed().as_secs(), 40, "the start deadline and ten seconds");
    let digest = agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    assert_eq!(agent.answer().await.kind, AnswerKind::Stored(digest));
    eventually(async || {
        controller.results(&admin(), job, NOW).await.unwrap().status == JobStatus::Completed
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_report_counts_and_only_the_hosts_own() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let mut other = fleet.ready_agent("web-02", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    let foreign = other.send_report(&other.report(job, Outcome::Exited { code: 0 }, b"")).await;
    assert_eq!(other.answer().await.kind, AnswerKind::Conflict(foreign));
    let report = agent.report(job, Outcome::Exited { code: 1 }, b"");
    let forged = Signed::sign(&report, &other.key).unwrap();
    agent.work(&FromAgent::Report(forged)).await;
    let first = agent.send_report(&report).await;
    assert_eq!(
        agent.answer().await.kind,
        AnswerKind::Stored(first),
        "the forged one got no answer"
    );
    controller.results(&admin(), job, None).await.unwrap();
    agent.send_report(&report).await;
    assert_eq!(agent.answer().await.kind, AnswerKind::Stored(first), "a repetition is fine");
    let second = agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"x")).await;
    assert_eq!(agent.answer().await.kind, AnswerKind::Conflict(second));
    assert_eq!(controller.results(&admin(), job, NOW).await.unwrap().results[0].exit_code, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_known_name_keeps_its_key_and_a_new_journal_is_a_new_identity() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let mut impostor = fleet.agent("web-01").await;
    impostor.register().await;
    let job = controller.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    agent.order().await;
    let refused = impostor.next().await;
    assert!(matches!(refused, ToAgent::Refused(_)), "{refused:?}");
    let ToAgent::Dispatch { order, membership } = impostor.next().await else {
        panic!("no order: was it welcomed?")
    };
    let body = order.verify(&impostor.ring[0].key).unwrap();
    assert!(!membership.proves(impostor.fleet, &impostor.identity, &body.hosts));
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    controller.results(&admin(), job, None).await.unwrap();
    agent.identity.journal = JournalId::random();
    agent.register().await;
    while !matches!(agent.next().await, ToAgent::Welcome(welcome) if welcome.identity == agent.identity)
    {
    }
}

#[tokio::test(start_paused = true)]
async fn output_in_chunks_is_put_together_and_read_in_ranges() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agent.order().await;
    let bytes: Vec<u8> = (0..3 * CHUNK_MAX + 5).map(|n| b'a' + (n % 23) as u8).collect();
    for (n, part) in bytes.chunks(CHUNK_MAX).enumerate() {
        let chunk = OutputChunk {
            identity: agent.identity.clone(),
            job,
            stream: Stream::Stdout,
            offset: (n * CHUNK_MAX) as u64,
            data: STANDARD.encode(part),
            sha256: Digest::of(&bytes),
        };
        agent.work(&FromAgent::Output(chunk)).await;
        while !matches!(agent.next().await, ToAgent::OutputSettled(settled) if settled.stored) {}
    }
    let mut report = agent.report(job, Outcome::Exited { code: 0 }, &bytes);
    report.stdout.inline = None;
    let sha256 = bytes.chunks(CHUNK_MAX).map(Digest::of).collect();
    report.stdout.parts = Some(Parts { size: CHUNK_MAX as u64, sha256 });
    agent.send_report(&report).await;
    let results = controller.results(&admin(), job, None).await.unwrap();
    let row = &results.results[0];
    assert_eq!(row.stdout.as_deref().map(str::as_bytes), Some(&bytes[..]));
    assert!(!row.stdout_incomplete && row.stdout_url.is_none());
    let name: AgentName = "web-01".parse().unwrap();
    let from = CHUNK_MAX as u64 - 2;
    let part =
        controller.output(&admin(), job, &name, Stream::Stdout, from..from + 5).await.unwrap();
    assert_eq!(
        (&part.bytes[..], part.kept),
        (&bytes[CHUNK_MAX - 2..CHUNK_MAX + 3], bytes.len() as u64)
    );
    fleet
        .store
        .purge(Bucket::Output, &Prefix::of(&[&job, &"web-01", &"out", &CHUNK_MAX]))
        .await
        .unwrap();
    let row = &controller.results(&admin(), job, NOW).await.unwrap().results[0];
    assert!(row.stdout_incomplete, "what is missing is shown as missing");
    assert_eq!(row.stdout.as_deref().map(str::len), Some(CHUNK_MAX));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_text_come_as_base64() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agent.order().await;
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"\xff\0")).await;
    let results = controller.results(&admin(), job, None).await.unwrap();
    let row = &results.results[0];
    assert_eq!((row.stdout.as_deref(), row.stdout_encoding), (Some("/wA="), Encoding::Base64));
    assert_eq!((row.stderr.as_deref(), row.stderr_encoding), (Some(""), Encoding::Utf8));
}

#[tokio::test(start_paused = true)]
async fn a_job_past_its_retention_is_removed_and_its_report_is_gone() {
    let mut fleet = Fleet::new();
    fleet.config.retention = Duration::from_secs(600);
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agent.order().await;
    let report = agent.report(job, Outcome::Exited { code: 0 }, b"");
    agent.send_report(&report).await;
    controller.results(&admin(), job, None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert!(matches!(controller.results(&admin(), job, NOW).await, Err(Error::JobNotFound(_))));
    while agent.inbox.try_next().is_some() {}
    let digest = agent.send_report(&report).await;
    assert_eq!(agent.answer().await.kind, AnswerKind::Gone(digest));
}
