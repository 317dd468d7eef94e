//! What is said of the health.

use super::*;

fn watcher() -> Permit {
    person("watcher", &[Permission::HEALTH_READ, Permission::AGENT_READ])
}

/// A hello in which the agent says how often it was denied something.
async fn say_denied(agent: &Agent, denied: u64) {
    let hello = FromAgent::Hello(Hello { denied, ..agent.greeting(&[], &[]) });
    agent.say(Subject::Heard(agent.identity.name.clone()), &hello).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_denies_the_server_is_shown_and_not_as_it_should_be() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let health = controller.health(&watcher()).await.unwrap();
    assert_eq!((health.status.as_str(), health.denials), ("ok", Denials::default()));
    let denials = Denials { count: 2, last: Some("Permissions Violation".into()) };
    fleet.denials.send_replace(denials.clone());
    let health = controller.health(&watcher()).await.unwrap();
    assert_eq!((health.status.as_str(), health.denials), ("degraded", denials));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_denied_something_is_named_until_it_begins_anew_with_what_it_needs() {
    let fleet = Fleet::new();
    let controller = fleet.controller().await;
    let (mut agent, _other) = (
        fleet.ready_agent("web-01", &controller).await,
        fleet.ready_agent("web-02", &controller).await,
    );
    let name = agent.identity.name.clone();
    let shown = async || controller.agent(&watcher(), &name).await.unwrap().denied;
    say_denied(&agent, 3).await;
    eventually(async || shown().await == 3).await;
    let health = controller.health(&watcher()).await.unwrap();
    assert_eq!((health.status.as_str(), health.denied), ("degraded", vec![name.clone()]));
    agent.instance = InstanceId::random();
    agent.hello(&[], &[]).await;
    eventually(async || shown().await == 0).await;
    let health = controller.health(&watcher()).await.unwrap();
    assert_eq!((health.status.as_str(), health.denied), ("ok", Vec::new()));
}
