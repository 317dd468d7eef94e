//! A store that went back in time: agents prove it, and nothing goes out until a person has accepted it.

use super::*;
use crate::message::{Position, Seen};

/// Long enough for an order that is sent at all.
const A_WHILE: Duration = Duration::from_secs(12);

fn position(fleet: &Fleet, cursor: u64) -> Position {
    Position { store: fleet.store.id(), bucket: Bucket::Reports.name().into(), cursor }
}

/// What a controller would have said to `to` about the store, signed with `key`.
fn proof(fleet: &Fleet, to: &Agent, at: &Position, key: &SigningKey) -> Signed<Answer> {
    let answer = Answer {
        v: VERSION,
        fleet: fleet.root.public().fleet(),
        identity: to.identity.clone(),
        job: JobId::new(fleet.clock.wall()),
        kind: AnswerKind::Stored(Digest::of(b"a report")),
        at: Some(at.clone()),
    };
    Signed::sign(&answer, key).unwrap()
}

async fn shows(agent: &Agent, position: Position, proof: Signed<Answer>) {
    let seen = Some(Box::new(Seen { position, proof }));
    let hello = Hello { seen, ..agent.greeting(&[], &[]) };
    agent.say(Subject::Heard(agent.identity.name.clone()), &FromAgent::Hello(hello)).await;
}

async fn shows_ring(agent: &Agent, ring: u64, later_ring: Option<Signed<KeyRing>>) {
    let hello = Hello { ring, later_ring: later_ring.map(Box::new), ..agent.greeting(&[], &[]) };
    agent.say(Subject::Heard(agent.identity.name.clone()), &FromAgent::Hello(hello)).await;
}

async fn submits(fleet: &Fleet, controller: &Controller) -> Result<JobId, Error> {
    controller.submit(&admin(), submission(fleet, Target::All)).await
}

/// Waits until jobs are refused for that.
async fn until_rolled_back(fleet: &Fleet, controller: &Controller) -> String {
    loop {
        match submits(fleet, controller).await {
            Err(Error::StoreRolledBack(why)) => return why,
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_proof_of_a_later_or_another_store_stops_everything_until_the_keys_are_new() {
    for is_other in [false, true] {
        let fleet = Fleet::new();
        let (first, second) = (fleet.controller().await, fleet.controller().await);
        let mut agent = fleet.ready_agent("web-01", &first).await;
        until_state(&second, &agent.identity.name, AgentState::Ready).await;
        let job = submits(&fleet, &first).await.unwrap();
        assert_eq!(agent.order().await.job, job);

        let mut at = position(&fleet, 1_000);
        if is_other {
            at.store = crate::id::StoreId::from_bytes([9; 16]);
        }
        shows(&agent, at.clone(), proof(&fleet, &agent, &at, &fleet.job_key())).await;
        for controller in [&first, &second] {
            let why = until_rolled_back(&fleet, controller).await;
            assert!(why.contains("web-01"), "{why}");
            let health = controller.health(&person("a", &[Permission::HEALTH_READ])).await.unwrap();
            assert_eq!(health.status, "degraded");
            assert_eq!(health.store_rolled_back, Some(why));
        }
        while agent.inbox.try_next().is_some() {}
        agent.hello(&[], &[]).await;
        assert!(!agent.order_within(A_WHILE).await, "nothing is sent");

        let new_key = SigningKey::generate();
        let keys = vec![RingKey { key: new_key.public(), usage: KeyUse::Job }];
        fleet.signing.send_replace(Arc::new(new_key));
        let ring = KeyRing::issue_after_restore(&fleet.root, 2, fleet.clock.wall(), keys);
        write_ring(&fleet, 2, &ring.unwrap()).await;
        while submits(&fleet, &first).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shows(&agent, at.clone(), proof(&fleet, &agent, &at, &fleet.job_key())).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        submits(&fleet, &first).await.expect("a proof under a key of before proves nothing");
    }
}

/// What accepts the store as it is, and from then on the only job key.
async fn accepts(fleet: &Fleet, controller: &Controller) -> SigningKey {
    let new_key = SigningKey::generate();
    let job = RingKey { key: new_key.public(), usage: KeyUse::Job };
    let token = RingKey { key: SigningKey::generate().public(), usage: KeyUse::Token };
    let (at, keys) = (fleet.clock.wall(), vec![job, token]);
    let ring = KeyRing::issue_after_restore(&fleet.root, 2, at, keys).unwrap();
    controller.publish_ring(&person("keeper", &[Permission::KEY_WRITE]), ring).await.unwrap();
    let copy = SigningKey::from_paserk(&new_key.to_paserk()).unwrap();
    fleet.signing.send_replace(Arc::new(new_key));
    controller.ready().await;
    copy
}

async fn write_ring(fleet: &Fleet, serial: u64, ring: &Signed<KeyRing>) {
    let bytes = ring.as_str().as_bytes().to_vec().into();
    fleet.store.create(Bucket::Keyrings, &Key::of(&[&serial]), bytes).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_a_ring_that_says_so_accepts_it_and_that_one_keeps_no_key_of_before() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let agent = fleet.ready_agent("web-01", &controller).await;
    let at = position(&fleet, 1_000);
    shows(&agent, at.clone(), proof(&fleet, &agent, &at, &fleet.job_key())).await;
    until_rolled_back(&fleet, &controller).await;
    let new = SigningKey::generate();
    let job = |key: &SigningKey| RingKey { key: key.public(), usage: KeyUse::Job };
    let token = || RingKey { key: SigningKey::generate().public(), usage: KeyUse::Token };
    let keeper = person("keeper", &[Permission::KEY_WRITE]);
    let keys = vec![job(&new), job(&fleet.job_key()), token()];
    let keeps = KeyRing::issue_after_restore(&fleet.root, 2, fleet.clock.wall(), keys).unwrap();
    let refused = controller.publish_ring(&keeper, keeps).await;
    assert!(matches!(refused, Err(Error::RingRefused(_))), "{refused:?}");
    // As a rotation and a retirement make it.
    let keys = vec![job(&new), token()];
    let ring = KeyRing::issue(&fleet.root, 2, fleet.clock.wall(), keys).unwrap();
    controller.publish_ring(&keeper, ring).await.unwrap();
    fleet.signing.send_replace(Arc::new(new));
    controller.ready().await;
    let refused = submits(&fleet, &controller).await;
    assert!(matches!(refused, Err(Error::StoreRolledBack(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_ring_that_the_store_has_lost_is_shown_and_stops_everything() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let ring = |serial, root: &SigningKey| {
        let keys = vec![RingKey { key: fleet.job_key().public(), usage: KeyUse::Job }];
        KeyRing::issue(root, serial, fleet.clock.wall(), keys).unwrap()
    };
    while agent.inbox.try_next().is_some() {}
    // Whoever says that there is a later one is told what is known, and so asked to show it.
    shows_ring(&agent, 7, None).await;
    let welcome = tokio::time::timeout(Duration::from_secs(1), agent.inbox.next()).await;
    let welcome: ToAgent = decode(&welcome.unwrap().unwrap().payload).unwrap();
    assert!(matches!(welcome, ToAgent::Welcome(_)), "{welcome:?}");
    // One that nobody signed, and one that is in the store.
    write_ring(&fleet, 3, &ring(3, &fleet.root)).await;
    for shown in [ring(7, &SigningKey::generate()), ring(3, &fleet.root)] {
        shows_ring(&agent, 7, Some(shown)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        submits(&fleet, &controller).await.unwrap();
    }
    shows_ring(&agent, 7, Some(ring(7, &fleet.root))).await;
    let why = until_rolled_back(&fleet, &controller).await;
    assert!(why.contains("web-01") && why.contains("key ring 7"), "{why}");
}

/// A job for whoever comes in time, and the nonce under which `agent` holds its claim.
async fn claimed(fleet: &Fleet, agent: &mut Agent, controller: &Controller) -> (JobId, Nonce) {
    let queue_for = Some(Duration::from_secs(60).try_into().unwrap());
    let target = host(agent.identity.name.as_str());
    let submission = Submission { queue_for, ..submission(fleet, target) };
    let job = controller.submit(&admin(), submission).await.unwrap();
    while agent.order().await.job != job {}
    let nonce = Nonce::random();
    assert_eq!(agent.claimed(job, nonce).await, AnswerKind::Yours(nonce));
    (job, nonce)
}

/// The store loses all claims, an agent shows that it did, and a person accepts it.
async fn loses_claims(fleet: &Fleet, agents: &mut [&mut Agent], controller: &Controller) {
    fleet.store.purge(Bucket::Claims, &Prefix::ALL).await.unwrap();
    let at = position(fleet, 1_000);
    shows(agents[0], at.clone(), proof(fleet, agents[0], &at, &fleet.job_key())).await;
    until_rolled_back(fleet, controller).await;
    let key = accepts(fleet, controller).await;
    for agent in agents {
        agent.ring = vec![RingKey { key: key.public(), usage: KeyUse::Job }];
        while agent.inbox.try_next().is_some() {}
        agent.hello(&[], &[]).await;
    }
}

async fn row(controller: &Controller, job: JobId) -> (ExecutionState, bool) {
    let row = controller.results(&admin(), job, NOW).await.unwrap().results.remove(0);
    (row.status, row.is_final)
}

#[tokio::test(start_paused = true)]
async fn what_ran_under_a_claim_that_was_lost_is_not_said_to_have_never_run() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut agent = fleet.ready_agent("web-01", &first).await;
    until_state(&second, &agent.identity.name, AgentState::Ready).await;
    let (job, _) = claimed(&fleet, &mut agent, &first).await;
    loses_claims(&fleet, &mut [&mut agent], &first).await;
    second.ready().await;
    // The host is asked what became of it.
    let key = agent.ring[0].key;
    let asks = |message: ToAgent| match message {
        ToAgent::Cancel(cancel) => cancel.verify(&key).unwrap().job == job,
        _ => false,
    };
    while !asks(agent.next().await) {}
    tokio::time::sleep(Duration::from_secs(30)).await;
    for controller in [&first, &second] {
        assert_eq!(row(controller, job).await, (ExecutionState::Pending, false));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let third = fleet.controller().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    for controller in [&first, &second, &third] {
        assert_eq!(row(controller, job).await, (ExecutionState::NoAnswer, false));
    }
    // It ran, and says so.
    let digest = agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    assert_eq!(agent.answer().await.kind, AnswerKind::Stored(digest));
    for controller in [&first, &second, &third, &fleet.controller().await] {
        eventually(async || row(controller, job).await == (ExecutionState::Succeeded, true)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn claims_of_before_are_given_to_nobody_any_more() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut a = fleet.ready_agent("a", &controller).await;
    let mut b = fleet.ready_agent("b", &controller).await;
    let (waits, _) = claimed(&fleet, &mut b, &controller).await;
    let any = controller.submit(&admin(), submission(&fleet, Target::Any)).await.unwrap();
    let nonce = Nonce::random();
    assert_eq!(a.claimed(any, nonce).await, AnswerKind::Yours(nonce));
    loses_claims(&fleet, &mut [&mut a, &mut b], &controller).await;
    // Whoever asks has not started it: of its own job that is certain, of one that another may have run it is not.
    for (job, host) in [(waits, Some("b")), (any, None)] {
        let nonce = Nonce::random();
        assert_eq!(b.claimed(job, nonce).await, AnswerKind::Void(nonce));
        let holder = super::claims::holder(&fleet, job, host).await;
        assert_eq!(holder.is_some(), host.is_some(), "{holder:?}");
    }
    assert_eq!(row(&controller, waits).await, (ExecutionState::Cancelled, true));
    assert!(!row(&controller, any).await.1);
    a.send_report(&a.report(any, Outcome::Exited { code: 0 }, b"")).await;
    eventually(async || row(&controller, any).await == (ExecutionState::Succeeded, true)).await;
    let results = controller.results(&admin(), any, NOW).await.unwrap();
    assert_eq!(results.results[0].hostname.as_str(), "a");
    // What another candidate says of it counts for nothing any more.
    let digest = b.send_report(&b.report(any, Outcome::Exited { code: 1 }, b"")).await;
    assert_eq!(b.answer().await.kind, AnswerKind::Conflict(digest));
}

#[tokio::test(start_paused = true)]
async fn a_report_without_a_claim_counts_only_where_the_claim_may_have_been_lost() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let (before, _) = claimed(&fleet, &mut agent, &controller).await;
    loses_claims(&fleet, &mut [&mut agent], &controller).await;
    // Not under another's signature.
    let report = agent.report(before, Outcome::Exited { code: 0 }, b"");
    let forged = Signed::sign(&report, &SigningKey::generate()).unwrap();
    agent.work(&FromAgent::Report(forged)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(super::claims::holder(&fleet, before, Some("web-01")).await.is_none());
    // Not for what was made since.
    let queue_for = Some(Duration::from_secs(60).try_into().unwrap());
    let since = Submission { queue_for, ..submission(&fleet, host("web-01")) };
    let since = controller.submit(&admin(), since).await.unwrap();
    while agent.order().await.job != since {}
    agent.send_report(&agent.report(since, Outcome::Exited { code: 0 }, b"")).await;
    assert_eq!(agent.answer_within(Duration::from_secs(1)).await, None);
    assert!(super::claims::holder(&fleet, since, Some("web-01")).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_word_without_a_proof_changes_nothing() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let other = fleet.ready_agent("web-02", &controller).await;
    let (at, later) = (position(&fleet, 1_000), position(&fleet, 2_000));
    let elsewhere = Position { bucket: Bucket::Claims.name().into(), ..at.clone() };
    let authentic = fleet.job_key();
    for (position, proof) in [
        (at.clone(), proof(&fleet, &agent, &at, &agent.key)),
        (at.clone(), proof(&fleet, &agent, &at, &SigningKey::generate())),
        (at.clone(), proof(&fleet, &other, &at, &authentic)),
        (later, proof(&fleet, &agent, &at, &authentic)),
        (elsewhere.clone(), proof(&fleet, &agent, &elsewhere, &authentic)),
        (at.clone(), Signed::from_text("v4.public.nothing".into())),
    ] {
        shows(&agent, position, proof).await;
        let job = submits(&fleet, &controller).await.unwrap();
        // Earlier ones, which the hello does not list, are sent again.
        while agent.order().await.job != job {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_itself_has_proves_nothing_against_it() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = submits(&fleet, &controller).await.unwrap();
    agent.order().await;
    agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
    let position = loop {
        let ToAgent::Answer(signed) = agent.next().await else { continue };
        let answer = signed.verify(&agent.ring[0].key).unwrap();
        let position = answer.at.expect("a stored report is told where it is");
        shows(&agent, position.clone(), signed).await;
        break position;
    };
    assert_eq!(position.store, fleet.store.id());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let next = submits(&fleet, &controller).await.unwrap();
    while agent.order().await.job != next {}
}
