//! What a connection may do, and how it learns what it may not.

use osapi_core::backend::nats::{Login, Nats, Options};
use osapi_core::backend::{Bus, BusError, Link};
use osapi_core::id::AgentName;
use osapi_core::message::{Pattern, Subject};

use super::operator::OperatorServer;

fn name(text: &str) -> AgentName {
    text.parse().unwrap()
}

/// A connection with an agent's credential.
async fn agent(operator: &OperatorServer, text: &str) -> Nats {
    connect(operator, operator.agent(text), text).await
}

async fn connect(operator: &OperatorServer, login: Login, agent: &str) -> Nats {
    let options = super::options(&[operator.server.url()]);
    Nats::connect(Options { login, agent: Some(name(agent)), ..options }).await.unwrap()
}

/// A connection that may do everything but log in to the system account.
async fn controller(operator: &OperatorServer) -> Nats {
    super::connect_as(&operator.server, operator.user(&[">"], &[">"])).await
}

#[tokio::test]
async fn an_agent_needs_its_two_lines_and_nothing_else() {
    let operator = OperatorServer::start();
    let (agent, controller) = (agent(&operator, "web-01").await, controller(&operator).await);
    for n in 0..50 {
        let mut inbox = agent.bus().subscribe(&Pattern::To(name("web-01"))).await.unwrap();
        let mut pings = agent.bus().subscribe(&Pattern::Ping).await.unwrap();
        let mut heard = controller.bus().subscribe(&Pattern::Heard).await.unwrap();
        let text = n.to_string();
        // Published by another connection as soon as the subscription has returned.
        controller.bus().publish(&Subject::To(name("web-01")), text.clone().into()).await.unwrap();
        controller.bus().publish(&Subject::Ping, text.clone().into()).await.unwrap();
        agent.bus().publish(&Subject::Heard(name("web-01")), text.clone().into()).await.unwrap();
        for subscription in [&mut inbox, &mut pings, &mut heard] {
            let delivery = super::within("a message", subscription.next()).await.unwrap();
            assert_eq!(delivery.payload, text, "nothing else arrives");
        }
    }
    assert_eq!(agent.denials().borrow().count, 0);
    assert_eq!(controller.denials().borrow().count, 0);
}

#[tokio::test]
async fn an_agent_hears_what_is_sent_as_soon_as_its_link_is_up_again() {
    let mut operator = OperatorServer::start();
    let (agent, controller) = (agent(&operator, "web-01").await, controller(&operator).await);
    let mut inbox = agent.bus().subscribe(&Pattern::To(name("web-01"))).await.unwrap();
    let (mut link, mut other) = (agent.bus().link(), controller.bus().link());
    for n in 0..3 {
        operator.server.kill();
        super::down(&mut link).await;
        super::down(&mut other).await;
        operator.server.restart();
        super::up(&mut other).await;
        super::up(&mut link).await;
        let text = n.to_string();
        controller.bus().publish(&Subject::To(name("web-01")), text.clone().into()).await.unwrap();
        let delivery = super::within("a message", inbox.next()).await.unwrap();
        assert_eq!(delivery.payload, text);
    }
    assert_eq!(agent.denials().borrow().count, 0);
}

#[tokio::test]
async fn an_agent_can_subscribe_while_somebody_listens_to_everything() {
    let operator = OperatorServer::start();
    let everything = super::connect_as(&operator.server, operator.user(&[">"], &[">"])).await;
    let _heard = everything.bus().subscribe(&Pattern::Heard).await.unwrap();
    let login = operator.user(&["osapi.x"], &[">"]);
    let Login::Credentials(text) = &login else { unreachable!("it was made so") };
    let listener = async_nats::ConnectOptions::with_credentials(text).unwrap();
    let listener = listener.connect(operator.server.url()).await.unwrap();
    let _all = listener.subscribe("osapi.>").await.unwrap();
    listener.flush().await.unwrap();

    let agent = agent(&operator, "web-01").await;
    let mut inbox = agent.bus().subscribe(&Pattern::To(name("web-01"))).await.unwrap();
    everything.bus().publish(&Subject::To(name("web-01")), "hello".into()).await.unwrap();
    let delivery = super::within("a message", inbox.next()).await.unwrap();
    assert_eq!(delivery.payload, "hello");
}

#[tokio::test]
async fn a_denied_publish_is_counted() {
    let operator = OperatorServer::start();
    let agent = agent(&operator, "web-01").await;
    let mut denials = agent.denials();
    for (count, subject) in
        [Subject::Heard(name("web-02")), Subject::To(name("web-02")), Subject::Ping]
            .into_iter()
            .enumerate()
    {
        agent.bus().publish(&subject, "x".into()).await.unwrap();
        let counted = denials.wait_for(|denials| denials.count == count as u64 + 1);
        let last = super::within("it is counted", counted).await.unwrap().last.clone().unwrap();
        assert!(last.contains(&format!("Publish to \"osapi.{subject}\"")), "{last}");
    }
    assert_eq!(*agent.bus().link().borrow(), Link::Up, "it costs no more than the message");
}

#[tokio::test]
async fn a_denied_subscription_is_an_error() {
    let operator = OperatorServer::start();
    let agent = agent(&operator, "web-01").await;
    let _inbox = agent.bus().subscribe(&Pattern::To(name("web-01"))).await.unwrap();
    for pattern in [Pattern::To(name("web-02")), Pattern::Heard, Pattern::Work] {
        let denied = agent.bus().subscribe(&pattern).await;
        let Err(BusError::Unavailable(source)) = denied else { panic!("{pattern} is not its own") };
        assert!(source.to_string().contains("denied"), "{source}");
    }
    let denied = agent.bus().subscribe_in(&Pattern::Work, "g").await;
    assert!(denied.is_err(), "a group is no way round it");
    assert_eq!(agent.denials().borrow().count, 4);

    // With rights enough to send to itself it is the same.
    let login = operator.user(&["osapi.>", "_INBOX.>"], &["_INBOX.>", "osapi.from.*.h"]);
    let half = super::connect_as(&operator.server, login).await;
    half.bus().subscribe(&Pattern::Heard).await.unwrap();
    assert!(half.bus().subscribe(&Pattern::To(name("web-01"))).await.is_err());
}
