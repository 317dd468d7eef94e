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
        let ring = KeyRing::issue(&fleet.root, 2, fleet.clock.wall(), keys).unwrap();
        let bytes = ring.as_str().as_bytes().to_vec().into();
        fleet.store.create(Bucket::Keyrings, &Key::of(&[&2]), bytes).await.unwrap();
        while submits(&fleet, &first).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shows(&agent, at.clone(), proof(&fleet, &agent, &at, &fleet.job_key())).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        submits(&fleet, &first).await.expect("a proof under a key of before proves nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_keeps_a_key_of_before_accepts_nothing() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let agent = fleet.ready_agent("web-01", &controller).await;
    let at = position(&fleet, 1_000);
    shows(&agent, at.clone(), proof(&fleet, &agent, &at, &fleet.job_key())).await;
    until_rolled_back(&fleet, &controller).await;
    let keys = [SigningKey::generate().public(), fleet.job_key().public()];
    let keys = keys.map(|key| RingKey { key, usage: KeyUse::Job }).to_vec();
    let ring = KeyRing::issue(&fleet.root, 2, fleet.clock.wall(), keys).unwrap();
    let bytes = ring.as_str().as_bytes().to_vec().into();
    fleet.store.create(Bucket::Keyrings, &Key::of(&[&2]), bytes).await.unwrap();
    let mut ring = controller.key_ring();
    ring.wait_for(|ring| ring.as_ref().is_some_and(|ring| ring.serial == 2)).await.unwrap();
    let refused = submits(&fleet, &controller).await;
    assert!(matches!(refused, Err(Error::StoreRolledBack(_))), "{refused:?}");
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
