//! The health of a server, as `health status` shows it: how things are, and then, for each thing that is wrong, one line with the way out.

use std::time::Duration;

use osapi_core::api::types::{Durability, HealthStatus};
use osapi_core::id::AgentName;

use super::table::{counts, pairs};
use super::{escape, time};

/// Most agents that are named in a line.
const NAMED: usize = 10;

/// All of it.
pub(crate) fn status(health: &HealthStatus) -> String {
    let mut text = pairs([
        ("status", health.status.clone()),
        ("version", health.version.clone()),
        ("ready", if health.ready { "yes" } else { "no" }.into()),
        ("fleet", health.fleet.clone()),
        ("store", health.store.clone()),
        ("durability", health.durability.to_string()),
        ("bus", health.bus.clone()),
        ("agents", counts(&health.agents)),
        ("jobs", counts(&health.jobs)),
        ("up", time::duration(Duration::from_secs(health.uptime_s))),
    ]);
    let wrong = wrong(health);
    if !wrong.is_empty() {
        text.push('\n');
    }
    wrong.iter().for_each(|line| text.extend([&escape::line(line), "\n"]));
    text
}

/// What is wrong, each with the way out.
fn wrong(health: &HealthStatus) -> Vec<String> {
    let HealthStatus { cloned, refused, denied, .. } = health;
    let lines = [
        links(health),
        rolled_back(health),
        durability(health.durability),
        denials(health),
        agents(
            "the broker denies something to",
            denied,
            "their logs say what: remove 'nats.credentials' from their configuration, or invite them anew",
        ),
        agents(
            "two run with one key, and neither gets anything more:",
            cloned,
            "'osapi agent remove', then invite each anew",
        ),
        agents(
            "another key was refused under the name of",
            refused,
            "'osapi agent get' shows it: if the host was installed anew, 'osapi agent remove' makes room",
        ),
    ];
    lines.into_iter().flatten().collect()
}

fn links(health: &HealthStatus) -> Option<String> {
    let down = [("store", &health.store), ("bus", &health.bus)];
    match down.into_iter().find(|(_, word)| *word != "up") {
        Some((what, why)) => Some(format!("the {what} cannot be used: {why}. It is tried again by itself")),
        None if health.ready || health.store_rolled_back.is_some() => None,
        None => Some(
            "the server takes no jobs: it is still reading the store, or its job key is none of 'osapi key list'; its log says which"
                .into(),
        ),
    }
}

fn rolled_back(health: &HealthStatus) -> Option<String> {
    let why = health.store_rolled_back.as_ref()?;
    Some(format!(
        "the store went back in time: {why}. See what is missing, then type 'osapi store accept-restore' where the root key is"
    ))
}

fn durability(durability: Durability) -> Option<String> {
    match durability {
        Durability::Synced => None,
        Durability::Unsynced => Some(
            "a server of the broker answers a write before it is synced: give it 'sync_interval: always', as 'osapi nats config' does, and restart it"
                .into(),
        ),
        Durability::Unknown => Some(
            "whether the broker syncs what it answers is not known: give the server 'nats.system_credentials', or 'nats.monitoring' with every server of the broker"
                .into(),
        ),
    }
}

fn denials(health: &HealthStatus) -> Option<String> {
    let count = Some(health.denials.count).filter(|count| *count > 0)?;
    let last = health.denials.last.as_deref().unwrap_or_default();
    Some(format!(
        "the broker has denied this server something ({count} times, the last: {last}): give it the 'server.creds' of 'osapi nats config', and restart it"
    ))
}

/// What is wrong with these agents, and the way out; nothing if there are none.
fn agents(what: &str, names: &[AgentName], way_out: &str) -> Option<String> {
    let named = names.iter().take(NAMED).map(AgentName::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        count if count > NAMED => {
            Some(format!("{what} {named} and {} more; {way_out}", count - NAMED))
        }
        _ => Some(format!("{what} {named}; {way_out}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use osapi_core::api::types::Denials;

    use super::*;

    fn fine() -> HealthStatus {
        HealthStatus {
            status: "ok".into(),
            version: "0.1.0".into(),
            fleet: "f".into(),
            store: "up".into(),
            store_id: "s".into(),
            durability: Durability::Synced,
            bus: "up".into(),
            ready: true,
            store_rolled_back: None,
            agents: BTreeMap::from([("ready".into(), 2), ("silent".into(), 0)]),
            cloned: Vec::new(),
            refused: Vec::new(),
            denials: Denials::default(),
            denied: Vec::new(),
            jobs: BTreeMap::from([("completed".into(), 3)]),
            uptime_s: 61,
        }
    }

    fn names(count: usize) -> Vec<AgentName> {
        (0..count).map(|n| format!("web-{n:02}").parse().unwrap()).collect()
    }

    #[test]
    fn a_server_with_which_nothing_is_wrong_says_how_things_are() {
        assert_eq!(
            status(&fine()),
            "\
status      ok
version     0.1.0
ready       yes
fleet       f
store       up
durability  synced
bus         up
agents      2 ready
jobs        3 completed
up          1m 1s
"
        );
    }

    #[test]
    fn each_thing_that_is_wrong_is_one_line_with_the_way_out() {
        let wrong_with = |change: &dyn Fn(&mut HealthStatus)| {
            let mut health = fine();
            change(&mut health);
            let text = status(&health);
            let (_, lines) = text.split_once("\n\n").expect("something is wrong");
            assert_eq!(lines.lines().count(), 1, "{lines}");
            lines.to_owned()
        };
        let denials = Denials { count: 3, last: Some("Violation of \"x\"\n\u{1b}[2J".into()) };
        for (line, words) in [
            (wrong_with(&|health| health.store = "it is gone".into()), "it is gone"),
            (wrong_with(&|health| health.bus = "connection lost".into()), "connection lost"),
            (wrong_with(&|health| health.ready = false), "osapi key list"),
            (
                wrong_with(&|health| health.durability = Durability::Unknown),
                "nats.system_credentials",
            ),
            (
                wrong_with(&|health| health.durability = Durability::Unsynced),
                "sync_interval: always",
            ),
            (
                wrong_with(&|health| {
                    health.ready = false;
                    health.store_rolled_back = Some("a proof".into());
                }),
                "a proof. See what is missing, then type 'osapi store accept-restore'",
            ),
            (
                wrong_with(&|health| health.denials = denials.clone()),
                "x\"\\n\\x1b[2J): give it the 'server.creds'",
            ),
            (wrong_with(&|health| health.denied = names(1)), "something to web-00; their logs"),
            (
                wrong_with(&|health| health.cloned = names(2)),
                "web-00, web-01; 'osapi agent remove'",
            ),
            (
                wrong_with(&|health| health.refused = names(12)),
                "web-09 and 2 more; 'osapi agent get'",
            ),
        ] {
            assert!(line.contains(words), "'{words}' is not in {line}");
        }
    }
}
