//! What an agent costs the broker: a connection and two subscriptions, and no object of its own.

use std::collections::BTreeMap;

use async_nats::jetstream;
use futures_util::TryStreamExt as _;
use osapi_core::controller::Controller;
use osapi_core::executor::scripted::{Gate, Script};
use osapi_core::job::JobStatus;
use osapi_tests::NatsServer;

use super::world::{Agent, Fleet, ready_at, settled, until};

/// What a broker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Objects {
    /// How many consumers each stream has.
    consumers: BTreeMap<String, usize>,
    /// The subscriptions of every connection, by the name of the connection.
    connections: BTreeMap<String, Vec<String>>,
}

impl Objects {
    async fn of(server: &NatsServer) -> Self {
        let client = async_nats::connect(server.url()).await.unwrap();
        let streams: Vec<_> = jetstream::new(client).streams().try_collect().await.unwrap();
        let consumers =
            streams.into_iter().map(|info| (info.config.name, info.state.consumer_count));
        Self { consumers: consumers.collect(), connections: connections(server) }
    }

    /// The connections of this kind, each with how many subscriptions it has.
    fn of_kind(&self, kind: &str) -> BTreeMap<&str, usize> {
        let all = self.connections.iter().filter(|(name, _)| name.starts_with(kind));
        all.map(|(name, subscriptions)| (name.as_str(), subscriptions.len())).collect()
    }
}

fn connections(server: &NatsServer) -> BTreeMap<String, Vec<String>> {
    let answer = server.monitor("/connz?subs=1&limit=1024").unwrap();
    let connections = answer["connections"].as_array().unwrap().iter();
    let named = connections.filter_map(|connection| {
        let subjects = connection["subscriptions_list"].as_array().into_iter().flatten();
        let mut subjects: Vec<_> =
            subjects.map(|subject| subject.as_str().unwrap().to_owned()).collect();
        subjects.sort_unstable();
        Some((connection["name"].as_str()?.to_owned(), subjects))
    });
    named.collect()
}

/// Runs a command on all agents, and tells what the broker holds while it runs, once `is_quiet` accepts it.
async fn while_all_run(
    fleet: &Fleet,
    controller: &Controller,
    agents: &[Agent],
    looks: impl AsyncFnMut() -> Option<Objects>,
) -> Objects {
    let gate = Gate::closed();
    for agent in agents {
        agent.executor.on("long", Script::exits(0).held_by(&gate));
    }
    let job = fleet.submit(controller, "long", "_all").await.unwrap();
    for agent in agents {
        let running = async || agent.executor.starts().contains(&job).then_some(());
        until("the command runs on every agent", running).await;
    }
    let objects = until("the broker holds what it should", looks).await;
    gate.open();
    let results = settled(controller, job).await;
    assert_eq!((results.status, results.results.len()), (JobStatus::Completed, agents.len()));
    objects
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_costs_a_connection_and_two_subscriptions_and_no_consumer() {
    const CONTROLLERS: usize = 2;
    const AGENTS: usize = 50;
    let server = NatsServer::start();
    let fleet = Fleet::at(&server);
    let (first, second) = (fleet.controller().await, fleet.controller().await);
    let mut agents = vec![fleet.agent("host-00").await];
    ready_at(&first, &agents).await;
    // A controller follows a stream or does not; what only looked once has gone then.
    let is_quiet = |objects: &Objects| {
        objects.consumers.values().all(|count| [0, CONTROLLERS].contains(count))
    };
    let look = async || Some(Objects::of(&server).await).filter(is_quiet);
    let one = while_all_run(&fleet, &first, &agents, look).await;
    assert!(one.consumers.values().any(|count| *count > 0), "{one:?}");

    agents.extend(fleet.agents((1..AGENTS).map(|n| format!("host-{n:02}"))).await);
    for controller in [&first, &second] {
        ready_at(controller, &agents).await;
    }
    let mut looks = 0;
    let look = async || {
        let objects = Objects::of(&server).await;
        looks += 1;
        assert!(looks < 200 || objects.consumers == one.consumers, "{objects:?} is not {one:?}");
        Some(objects).filter(|objects| objects.consumers == one.consumers)
    };
    let fifty = while_all_run(&fleet, &second, &agents, look).await;
    assert_eq!(fifty.connections.len(), CONTROLLERS + AGENTS);
    assert_eq!(fifty.of_kind("controller"), one.of_kind("controller"));
    for Agent { name, .. } in &agents {
        let subscriptions = &fifty.connections[&format!("agent {name}")];
        assert_eq!(*subscriptions, ["osapi.ping".to_owned(), format!("osapi.to.{name}")]);
    }
}
