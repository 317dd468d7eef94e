//! Who is let in, who is kept out, and who is found to be two.

use super::*;
use crate::message::{ClaimRequest, Refused, RegistrationRefusal};

const SOON: Duration = Duration::from_millis(100);

fn keeper() -> Permit {
    person("keeper@example.com", &[Permission::AGENT_WRITE, Permission::HEALTH_READ])
}

impl Agent {
    /// The next refusal of this very identity.
    pub(super) async fn refusal(&mut self) -> RegistrationRefusal {
        loop {
            if let ToAgent::Refused(Refused { identity, why }) = self.next().await
                && identity == self.identity
            {
                return why;
            }
        }
    }

    /// Everything that is said to the name of this agent within a time.
    async fn all_within(&mut self, time: Duration) -> Vec<ToAgent> {
        tokio::time::sleep(time).await;
        let mut all = Vec::new();
        while let Some(delivery) = self.inbox.try_next() {
            all.push(decode(&delivery.payload).unwrap());
        }
        all
    }
}

fn is_dispatch(word: &ToAgent) -> bool {
    matches!(word, ToAgent::Dispatch { .. })
}

#[tokio::test(start_paused = true)]
async fn the_key_of_a_removed_agent_counts_for_nothing_on_any_controller() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut agent = fleet.ready_agent("web-01", &first).await;
    let name = agent.identity.name.clone();
    until_state(&second, &name, AgentState::Ready).await;
    let job = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    agent.order().await;
    assert!(matches!(first.remove_agent(&admin(), &name).await, Err(Error::Denied(_))));
    first.remove_agent(&keeper(), &name).await.unwrap();
    assert_eq!(agent.refusal().await, RegistrationRefusal::Removed, "it is told at once");
    for controller in [&first, &second] {
        eventually(async || controller.agent(&admin(), &name).await.is_err()).await;
        let gone = controller.submit(&admin(), submission(&fleet, host("web-01"))).await;
        assert!(matches!(gone, Err(Error::HostNotFound(_))), "{gone:?}");
        let again = controller.remove_agent(&keeper(), &name).await;
        assert!(matches!(again, Err(Error::AgentNotFound(_))), "{again:?}");
    }
    agent.all_within(SOON).await;
    // Nothing that it says changes what is shown, or is answered as if it counted. Each word goes to both controllers in turn.
    for _ in 0..2 {
        agent.register().await;
        assert_eq!(agent.refusal().await, RegistrationRefusal::Removed);
        agent.send_report(&agent.report(job, Outcome::Exited { code: 0 }, b"")).await;
        let (v, fleet, identity) = (VERSION, agent.fleet, agent.identity.clone());
        let claim = ClaimRequest { v, fleet, identity, job, nonce: crate::id::Nonce::random() };
        agent.work(&FromAgent::Claim(Signed::sign(&claim, &agent.key).unwrap())).await;
        agent.receipt(job, ReceiptKind::Accepted).await;
        agent.hello(&[job], &[]).await;
        let answers = agent.all_within(SOON).await;
        assert!(answers.iter().all(|word| matches!(word, ToAgent::Refused(_))), "{answers:?}");
    }
    for (wait, expected) in [(NOW, ExecutionState::Pending), (None, ExecutionState::NoAnswer)] {
        for controller in [&first, &second] {
            let shown = controller.results(&admin(), job, wait).await.unwrap();
            assert_eq!(shown.results[0].status, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_name_is_free_for_another_key_and_never_again_for_the_old_one() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut old = fleet.ready_agent("web-01", &controller).await;
    let name = old.identity.name.clone();
    let job = controller.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    controller.remove_agent(&keeper(), &name).await.unwrap();
    let mut new = fleet.ready_agent("web-01", &controller).await;
    let order = old.order().await;
    assert_eq!(order.job, job);
    // What was meant for the old host is not for the new one.
    let heard = new.all_within(Duration::from_secs(20)).await;
    for word in &heard {
        if let ToAgent::Dispatch { order, membership } = word {
            let body = order.verify(&new.ring[0].key).unwrap();
            assert!(!membership.proves(new.fleet, &new.identity, &body.hosts));
        }
    }
    old.register().await;
    assert_eq!(old.refusal().await, RegistrationRefusal::Removed);
    old.identity.name = "web-02".parse().unwrap();
    old.inbox = fleet.bus.subscribe(&Pattern::To(old.identity.name.clone())).await.unwrap();
    old.register().await;
    assert_eq!(old.refusal().await, RegistrationRefusal::Removed, "under no name");
    // Also after a restart, and with both tombstones.
    controller.remove_agent(&keeper(), &name).await.unwrap();
    controller.stop().await;
    let second = fleet.controller().await;
    new.register().await;
    assert_eq!(new.refusal().await, RegistrationRefusal::Removed);
    let third = fleet.ready_agent("web-01", &second).await;
    let shown = second.agent(&admin(), &name).await.unwrap();
    assert_eq!(shown.key_id, third.key.id().to_string());
    assert!(shown.refused_key.is_some(), "who was refused is shown");
}

#[tokio::test(start_paused = true)]
async fn another_key_under_a_known_name_is_told_and_shown() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let holder = fleet.ready_agent("web-01", &first).await;
    let name = holder.identity.name.clone();
    until_state(&second, &name, AgentState::Ready).await;
    let mut impostor = fleet.agent("web-01").await;
    let taken = RegistrationRefusal::NameTaken { key_id: holder.key.id() };
    impostor.register().await;
    assert_eq!(impostor.refusal().await, taken);
    impostor.hello(&[], &[]).await;
    for _ in [&first, &second] {
        assert_eq!(impostor.refusal().await, taken);
    }
    for controller in [&first, &second] {
        let shown = controller.agent(&keeper(), &name).await.unwrap();
        assert_eq!(shown.key_id, holder.key.id().to_string());
        assert_eq!(shown.refused_key.unwrap().key_id, impostor.key.id().to_string());
        assert_eq!(shown.state, AgentState::Ready, "the impostor's hello is not the agent's");
        assert_eq!(
            controller.health(&keeper()).await.unwrap().refused,
            std::slice::from_ref(&name)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_for_another_fleet_or_out_of_bounds_is_told() {
    let fleet = Fleet::new();
    let _controller = fleet.controller().await;
    let mut agent = fleet.agent("web-01").await;
    let known = agent.fleet;
    agent.fleet = crate::id::FleetId::from_bytes([9; 16]);
    agent.register().await;
    assert_eq!(agent.refusal().await, RegistrationRefusal::OtherFleet);
    agent.fleet = known;
    agent.hostname = "x".repeat(300);
    agent.register().await;
    assert_eq!(agent.refusal().await, RegistrationRefusal::Invalid);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_registered_is_asked_to_register() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let name = agent.identity.name.clone();
    // The store lost it, and the agent never lost its connection.
    fleet.store.purge(Bucket::Agents, &Prefix::of(&[&name])).await.unwrap();
    eventually(async || controller.agent(&admin(), &name).await.is_err()).await;
    agent.hello(&[], &[]).await;
    assert_eq!(agent.refusal().await, RegistrationRefusal::Unknown);
    assert!(controller.health(&keeper()).await.unwrap().refused.is_empty(), "no harm is done");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_runs_twice_gets_nothing_more() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut agent = fleet.ready_agent("web-01", &first).await;
    let name = agent.identity.name.clone();
    let one = agent.instance;
    let job = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    agent.order().await;
    for instance in [InstanceId::random(), one] {
        tokio::time::sleep(Duration::from_secs(2)).await;
        agent.instance = instance;
        agent.hello(&[], &[]).await;
    }
    for controller in [&first, &second] {
        until_state(controller, &name, AgentState::Cloned).await;
        let health = controller.health(&keeper()).await.unwrap();
        assert_eq!(
            (health.status.as_str(), &*health.cloned),
            ("degraded", std::slice::from_ref(&name))
        );
    }
    agent.all_within(SOON).await;
    agent.hello(&[], &[]).await;
    let heard = agent.all_within(Duration::from_secs(10)).await;
    assert!(!heard.iter().any(is_dispatch), "{heard:?}");
    let any = first.submit(&admin(), submission(&fleet, Target::Any)).await;
    assert!(matches!(any, Err(Error::NoLiveHost)), "{any:?}");
    let named = first.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    let results = first.results(&admin(), named, NOW).await.unwrap();
    assert_eq!(results.results[0].status, ExecutionState::Unreachable);
    // A cancel only stops things.
    second.cancel(&admin(), job).await.unwrap();
    agent.hello(&[], &[]).await;
    let heard = agent.all_within(SOON).await;
    assert!(heard.iter().any(|word| matches!(word, ToAgent::Cancel(_))), "{heard:?}");
    first.remove_agent(&keeper(), &name).await.unwrap();
    fleet.ready_agent("web-01", &first).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_started_again_and_again_is_not_taken_for_two() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let mut former = agent.greeting(&[], &[]);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        agent.instance = InstanceId::random();
        agent.hello(&[], &[]).await;
        // The last words of the former run come late, and count for nothing.
        former.readiness = Readiness::Draining;
        let subject = Subject::Heard(agent.identity.name.clone());
        agent.say(subject, &FromAgent::Hello(former.clone())).await;
        former = agent.greeting(&[], &[]);
        until_state(&controller, &agent.identity.name, AgentState::Ready).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        until_state(&controller, &agent.identity.name, AgentState::Ready).await;
    }
    assert!(controller.health(&keeper()).await.unwrap().cloned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_journal_is_lost_is_another_and_gets_nothing_of_before() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let mut agent = fleet.ready_agent("web-01", &controller).await;
    let job = controller.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    agent.order().await;
    agent.identity.journal = JournalId::random();
    tokio::time::sleep(Duration::from_secs(1)).await;
    agent.register().await;
    agent.hello(&[], &[]).await;
    agent.all_within(SOON).await;
    let heard = agent.all_within(Duration::from_secs(25)).await;
    assert!(!heard.iter().any(is_dispatch), "nothing is sent to who is no more: {heard:?}");
    agent.hello(&[], &[]).await;
    let heard = agent.all_within(SOON).await;
    let mut proofs = heard.iter().filter_map(|word| match word {
        ToAgent::Dispatch { order, membership } => {
            let body = order.verify(&agent.ring[0].key).unwrap();
            Some(membership.proves(agent.fleet, &agent.identity, &body.hosts))
        }
        _ => None,
    });
    assert!(proofs.all(|proves| !proves));
    let settled = controller.results(&admin(), job, None).await.unwrap();
    assert_eq!(settled.results[0].status, ExecutionState::NoAnswer);
    // It is a member like any other.
    agent.hello(&[], &[]).await;
    until_state(&controller, &agent.identity.name, AgentState::Ready).await;
    let next = controller.submit(&admin(), submission(&fleet, host("web-01"))).await.unwrap();
    assert_eq!(agent.order().await.job, next);
}
