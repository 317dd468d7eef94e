//! What a controller does with jobs and agents, one promise at a time.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_job_goes_out_comes_back_and_no_time_has_to_pass() {
    let start = tokio::time::Instant::now();
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    let order = agent.order().await;
    assert_eq!((order.job, &order.operation), (job, &Operation::Exec(Exec::new("true"))));
    assert_eq!(order.not_after, order.iat + Duration::from_secs(30));
    let digest =
        agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"hello\n")).await;
    assert_eq!(agent.answer().await.kind, AnswerKind::Stored(digest));
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(results.status, JobStatus::Completed);
    let [row] = results.results.as_slice() else { panic!("one row") };
    assert_eq!(
        (row.stdout.as_deref(), row.exit_code, row.is_final),
        (Some("hello\n"), Some(0), true)
    );
    // Shorter than any timer; a look of this test takes a millisecond.
    assert!(start.elapsed() < Duration::from_millis(100), "somebody waited for a timer");
}

#[tokio::test(start_paused = true)]
async fn an_order_is_repeated_until_a_receipt() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let start = tokio::time::Instant::now();
    let job = controller.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    for expected in [0, 300, 900, 2100] {
        agent.order().await;
        assert_eq!(start.elapsed().as_millis(), expected);
    }
    agent.receipt(job, ReceiptKind::Accepted).await;
    let more = tokio::time::timeout(Duration::from_secs(20), agent.order()).await;
    assert!(more.is_err(), "nothing is sent after the receipt");
    let results = controller.results(&admin(), job, NOW).await.unwrap();
    assert_eq!(results.results[0].status, ExecutionState::Accepted);
    agent.hello(&[], &[]).await;
    assert_eq!(
        agent.order().await.job,
        job,
        "a hello that does not list the job asks what became of it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_that_names_nobody_is_an_error_and_no_job() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let submit = async |target| controller.submit(&admin(), submission(&fleet, target)).await;
    assert!(matches!(submit(Target::All).await, Err(Error::NoHosts)));
    assert!(matches!(submit(Target::Any).await, Err(Error::NoLiveHost)));
    assert!(matches!(submit(host("web-01")).await, Err(Error::HostNotFound(_))));
    assert!(controller.list(&admin(), Default::default()).await.unwrap().jobs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_is_listed_and_never_sent_anything() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut silent = fleet.ready_agent("db-01", &controller).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    let mut live = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::All)).await.unwrap();
    assert_eq!(live.order().await.hosts.count, 1);
    live.send_report(&live.report(job, Outcome::Exited { code: 0 }, b"")).await;
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(results.status, JobStatus::PartialFailure);
    let states: Vec<_> = results.results.iter().map(|row| row.status).collect();
    assert_eq!(states, [ExecutionState::Unreachable, ExecutionState::Succeeded]);
    assert!(silent.inbox.try_next().is_none());
    let alone = controller.submit(&admin(), submission(&fleet, host("db-01"))).await.unwrap();
    let results = controller.results(&admin(), alone, None).await.unwrap();
    assert_eq!(
        (results.status, results.results[0].status),
        (JobStatus::Failed, ExecutionState::Unreachable)
    );
    let forged = silent.report(alone, Outcome::Exited { code: 0 }, b"");
    let digest = silent.send_report(&forged).await;
    assert_eq!(silent.answer().await.kind, AnswerKind::Conflict(digest), "it was not addressed");
}

#[tokio::test(start_paused = true)]
async fn a_host_is_not_silent_merely_because_the_controller_just_started() {
    let fleet = Fleet::new();
    let first = fleet.controller().await;
    let _agent = fleet.ready_agent("web-01", &first).await;
    first.stop().await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    let second = fleet.controller().await;
    let job = second.submit(&admin(), submission(&fleet, Target::All)).await.unwrap();
    let results = second.results(&admin(), job, NOW).await.unwrap();
    assert_eq!(results.results[0].status, ExecutionState::Pending);
}

#[tokio::test(start_paused = true)]
async fn an_idempotency_key_stands_for_one_request() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let agent = fleet.ready_agent("web-01", &controller).await;
    let me = person("me@example.com", &[Permission::JOB_WRITE]);
    let job = controller.submit(&me, keyed(&fleet, "k", b"a")).await.unwrap();
    assert_eq!(controller.submit(&me, keyed(&fleet, "k", b"a")).await.unwrap(), job);
    let other = controller.submit(&me, keyed(&fleet, "k", b"b")).await;
    assert!(matches!(other, Err(Error::IdempotencyConflict)));
    let theirs =
        controller.submit(&person("you@example.com", &[]), keyed(&fleet, "k", b"b")).await.unwrap();
    assert_ne!(theirs, job, "another subject's key is another key");
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    controller.results(&me, job, None).await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(
        controller.submit(&me, keyed(&fleet, "k", b"a")).await.unwrap(),
        job,
        "also long afterwards"
    );
    controller.delete(&me, job).await.unwrap();
    let after = controller.submit(&me, keyed(&fleet, "k", b"a")).await;
    assert!(matches!(after, Err(Error::IdempotencyExpired)), "it outlives the job");
}

#[tokio::test(start_paused = true)]
async fn a_reservation_without_a_job_keeps_its_id_and_times_until_they_are_over() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let first = controller.submit(&admin(), keyed(&fleet, "k", b"a")).await;
    assert!(matches!(first, Err(Error::NoHosts)), "the key is reserved, and there is no job");
    let created_at = fleet.clock.wall();
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    let job = controller.submit(&admin(), keyed(&fleet, "k", b"a")).await.unwrap();
    assert_eq!(job.created_at(), created_at);
    assert_eq!(agent.order().await.not_after, created_at + Duration::from_secs(30));
    drop(
        controller
            .submit(&admin(), Submission { target: host("x"), ..keyed(&fleet, "late", b"a") })
            .await,
    );
    tokio::time::advance(Duration::from_secs(30)).await;
    let late = controller.submit(&admin(), keyed(&fleet, "late", b"a")).await;
    assert!(matches!(late, Err(Error::IdempotencyExpired)));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_signed_repeated_and_leaves_outcomes_alone() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agent.order().await;
    agent.receipt(job, ReceiptKind::Accepted).await;
    controller.cancel(&admin(), job).await.unwrap();
    for _ in 0..3 {
        let cancel = loop {
            if let ToAgent::Cancel(cancel) = agent.next().await {
                break cancel.verify(&agent.ring[0].key).unwrap();
            }
        };
        assert_eq!((cancel.job, cancel.by.subject.as_str()), (job, "admin@example.com"));
    }
    let results = controller.results(&admin(), job, NOW).await.unwrap();
    assert!(results.results[0].cancel_requested && !results.results[0].is_final);
    agent.send_report(&agent.report(job, Outcome::Cancelled, b"")).await;
    let results = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(results.status, JobStatus::Cancelled);
    assert_eq!(
        controller.cancel(&admin(), job).await.unwrap().status,
        JobStatus::Cancelled,
        "again is fine"
    );
    let ended = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agent.send_report(&agent.report(ended, Outcome::Exited { code: 0 }, b"")).await;
    controller.results(&admin(), ended, None).await.unwrap();
    assert!(matches!(controller.cancel(&admin(), ended).await, Err(Error::JobSettled(_))));
}

#[tokio::test(start_paused = true)]
async fn who_may_cancel_delete_and_see() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&person("me", &[]), submission(&fleet, Target::Any)).await.unwrap();
    let missing = |error: Error| error.problem().missing_permission.unwrap();
    let reader = Permit::for_tests("reader", [Permission::JOB_READ, Permission::JOB_WRITE]);
    assert_eq!(missing(controller.cancel(&reader, job).await.unwrap_err()), "command:execute");
    assert_eq!(
        missing(controller.cancel(&person("you", &[]), job).await.unwrap_err()),
        "job:write"
    );
    assert_eq!(missing(controller.delete(&person("me", &[]), job).await.unwrap_err()), "job:write");
    assert!(matches!(controller.delete(&reader, job).await, Err(Error::JobUnfinished(_))));
    let order = agent.order().await;
    agent.send_report(&agent.report(order.job, Outcome::Exited { code: 3 }, b"secret")).await;
    let own = Permit::for_tests("me", [Permission::COMMAND_EXECUTE]);
    assert_eq!(
        controller.results(&own, job, None).await.unwrap().results[0].stdout.as_deref(),
        Some("secret")
    );
    let seen = controller.details(&reader, job, Duration::ZERO).await.unwrap();
    assert!(seen.redacted && seen.operation.is_none() && seen.results[0].stdout.is_none());
    assert_eq!(
        (seen.results[0].status, seen.results[0].exit_code),
        (ExecutionState::Failed, Some(3))
    );
    let name: AgentName = "web-01".parse().unwrap();
    let denied = controller.output(&reader, job, &name, Stream::Stdout, 0..10).await.unwrap_err();
    assert_eq!(missing(denied), "command:execute");
    let stranger = Permit::for_tests("you", [Permission::COMMAND_EXECUTE]);
    assert_eq!(missing(controller.results(&stranger, job, NOW).await.unwrap_err()), "job:read");
    controller.delete(&reader, job).await.unwrap();
    assert!(matches!(controller.results(&own, job, NOW).await, Err(Error::JobNotFound(_))));
    for bucket in [Bucket::Jobs, Bucket::Hosts, Bucket::Envelopes, Bucket::Reports] {
        assert_eq!(fleet.store.purge(bucket, &Prefix::ALL).await.unwrap(), 0, "{bucket} is empty");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_nothing_and_finishes_what_was_open() {
    let fleet = Fleet::new();
    let first = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &first).await;
    let done = first.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    agent.order().await;
    agent.send_report(&agent.report(done, Outcome::Exited { code: 0 }, b"kept")).await;
    let before = first.details(&admin(), done, Duration::from_secs(1)).await.unwrap();
    // Ids order by the millisecond.
    tokio::time::advance(Duration::from_millis(1)).await;
    let open = first.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    first.stop().await;
    drop(first);
    while agent.inbox.try_next().is_some() {}
    let second = fleet.controller().await;
    assert_eq!(second.details(&admin(), done, Duration::ZERO).await.unwrap(), before);
    let listed: Vec<_> = second
        .list(&admin(), Default::default())
        .await
        .unwrap()
        .jobs
        .iter()
        .map(|job| job.job_id)
        .collect();
    assert_eq!(listed, [open, done]);
    agent.hello(&[], &[]).await;
    assert_eq!(agent.order().await.job, open, "the stored order is sent");
    agent.send_report(&agent.report(open, Outcome::Exited { code: 0 }, b"")).await;
    assert_eq!(second.results(&admin(), open, None).await.unwrap().status, JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_altered_in_the_store_is_never_sent() {
    let fleet = Fleet::new();
    let first = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &first).await;
    let job = first.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    first.stop().await;
    while agent.inbox.try_next().is_some() {}
    let entry = fleet.store.get(Bucket::Jobs, &Key::of(&[&job])).await.unwrap().unwrap();
    let record: crate::job::JobRecord = serde_json::from_slice(&entry.value).unwrap();
    let envelope = Key::of(&[&job, &record.envelope]);
    fleet.store.purge(Bucket::Envelopes, &Prefix::of(&[&job])).await.unwrap();
    fleet.store.create(Bucket::Envelopes, &envelope, "v4.public.forged".into()).await.unwrap();
    let second = fleet.controller().await;
    agent.hello(&[], &[]).await;
    let look = async || second.results(&admin(), job, NOW).await;
    eventually(async || look().await.is_err()).await;
    let error = look().await.unwrap_err();
    assert!(matches!(error, Error::JobDamaged { .. }), "{error:?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    while let Some(delivery) = agent.inbox.try_next() {
        let message: ToAgent = decode(&delivery.payload).unwrap();
        assert!(!matches!(message, ToAgent::Dispatch { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_jobs_are_kept_than_may_be() {
    let mut fleet = Fleet::new();
    fleet.config.max_jobs = 1;
    let controller = fleet.controller().await;
    let _agent = fleet.ready_agent("web-01", &controller).await;
    controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    let more = controller.submit(&admin(), submission(&fleet, Target::Any)).await;
    assert!(matches!(more, Err(Error::TooManyJobs(1))));
}

#[tokio::test(start_paused = true)]
async fn over_a_store_and_a_bus_that_fail_every_job_still_ends_once() {
    for seed in 0..8 {
        let bus_faults = BusFaults { lose: 0.2, repeat: 0.2, hold: 0.2, overtaken_by: 3 };
        let bus = FaultyBus::new(Arc::new(EmbeddedBus::new()), seed, BusFaults::default());
        let store =
            FaultyStore::new(Arc::new(EmbeddedStore::in_memory()), seed, StoreFaults::default());
        let (bus, store) = (Arc::new(bus), Arc::new(store));
        let fleet = Fleet::over(Arc::clone(&store) as _, Arc::clone(&bus) as _);
        let controller = fleet.controller().await;
        let mut agent = fleet.ready_agent("web-01", &controller).await;
        bus.set(bus_faults);
        store.set(StoreFaults {
            unknown: 0.1,
            unknown_unwritten: 0.1,
            own_exists: 0.1,
            unavailable: 0.1,
            stale: 0.2,
            repeat: 0.2,
            cut: 0.05,
        });
        let me = admin();
        for n in 0..5 {
            let request = keyed(&fleet, &format!("k{n}"), b"a");
            let job = loop {
                match controller.submit(&me, request.clone()).await {
                    Ok(job) => break job,
                    Err(Error::OutcomeUnknown { .. } | Error::Store(_)) => {
                        tokio::time::sleep(Duration::from_millis(50)).await
                    }
                    Err(err) => panic!("{err:?}"),
                }
            };
            let answer_until_stored = async {
                let mut runs = std::collections::HashSet::new();
                loop {
                    agent.hello(&[], &[]).await;
                    // Paused time goes on only while everybody waits.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let order = tokio::time::timeout(Duration::from_secs(1), agent.order()).await;
                    if let Ok(order) = order {
                        runs.insert(order.job);
                        let mut report = agent.report(order.job, Outcome::Exited { code: 0 }, b"");
                        // What was signed once is sent again as it is.
                        (report.started_at, report.ended_at) = (None, order.iat);
                        agent.send_report(&report).await;
                    }
                }
            };
            let results = tokio::select! {
                results = async { loop {
                    match controller.results(&me, job, None).await {
                        Ok(results) => break results,
                        Err(Error::Store(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                        Err(err) => panic!("{err:?}"),
                    }
                } } => results,
                () = answer_until_stored => unreachable!(),
            };
            assert_eq!(results.status, JobStatus::Completed, "seed {seed}, job {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_its_job_also_when_none_could_be_made_now() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let _agent = fleet.ready_agent("web-01", &controller).await;
    let request = Submission { target: Target::Any, ..keyed(&fleet, "k", b"a") };
    let job = controller.submit(&admin(), request.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    let fresh = submission(&fleet, Target::Any);
    assert!(matches!(controller.submit(&admin(), fresh).await, Err(Error::NoLiveHost)));
    assert_eq!(controller.submit(&admin(), request).await.unwrap(), job);
    for bucket in [Bucket::Envelopes, Bucket::Hosts] {
        assert_eq!(
            fleet.store.purge(bucket, &Prefix::ALL).await.unwrap(),
            1,
            "{bucket}: of the one job"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_beside_a_key_that_stands_for_another_job_is_dropped() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let _agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), keyed(&fleet, "k", b"a")).await.unwrap();
    assert_eq!(controller.submit(&admin(), keyed(&fleet, "k", b"a")).await.unwrap(), job);
    assert!(matches!(
        controller.submit(&admin(), keyed(&fleet, "k", b"b")).await,
        Err(Error::IdempotencyConflict)
    ));
    for bucket in [Bucket::Envelopes, Bucket::Hosts] {
        assert_eq!(
            fleet.store.purge(bucket, &Prefix::ALL).await.unwrap(),
            1,
            "{bucket}: of the one job"
        );
    }
}
