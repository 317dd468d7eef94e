//! Which agents there are, and which of them are live: what the store says of registrations, and what hellos say.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::api::types::{AgentInfo, AgentState};
use crate::auth::keys;
use crate::clock::Timestamp;
use crate::id::{AgentName, Identity};
use crate::job::limits::SILENT_AFTER;
use crate::job::target::Described;
use crate::message::{Hello, Readiness, Registration};

/// A registration that was verified.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    pub(super) registration: Registration,
    pub(super) at: Timestamp,
}

impl Registered {
    fn described(&self) -> Described<'_> {
        let Registration { identity, hostname, labels, .. } = &self.registration;
        Described { name: &identity.name, hostname, labels }
    }
}

/// What counts of the last hello of an agent.
#[derive(Debug, Clone)]
struct Heard {
    identity: Identity,
    readiness: Readiness,
    slots: u32,
    running: usize,
    waiting: usize,
    /// By this controller's boottime clock.
    at: Duration,
    wall: Timestamp,
}

/// The agents of the fleet. `now` is always this controller's boottime clock.
#[derive(Debug, Default)]
pub(super) struct Roster {
    registered: BTreeMap<AgentName, Registered>,
    heard: HashMap<AgentName, Heard>,
    /// Since when this controller has been listening without a break.
    listening_since: Option<Duration>,
}

/// What a host looks like to whoever resolves a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) identity: Identity,
    /// Certainly silent: this controller has listened for long enough to know.
    pub(super) silent: bool,
    /// Live and ready.
    pub(super) ready: bool,
    /// Executions that it runs or that wait, by its last word.
    pub(super) busy: usize,
}

impl Roster {
    pub(super) fn set_listening(&mut self, since: Option<Duration>) {
        self.listening_since = since;
    }

    pub(super) fn register(&mut self, registered: Registered) {
        self.registered.insert(registered.registration.identity.name.clone(), registered);
    }

    pub(super) fn remove(&mut self, name: &AgentName) {
        self.registered.remove(name);
        self.heard.remove(name);
    }

    /// Drops whoever `keep` does not name.
    pub(super) fn retain(&mut self, keep: impl Fn(&AgentName) -> bool) {
        self.registered.retain(|name, _| keep(name));
        self.heard.retain(|name, _| keep(name));
    }

    /// Whether this is exactly who is registered under the name.
    pub(super) fn knows(&self, identity: &Identity) -> bool {
        self.registered
            .get(&identity.name)
            .is_some_and(|known| known.registration.identity == *identity)
    }

    /// Takes note of a hello. Only the registered identity is listened to.
    pub(super) fn hear(&mut self, hello: &Hello, now: Duration, wall: Timestamp) -> bool {
        let known = self.knows(&hello.identity);
        if known {
            let heard = Heard {
                identity: hello.identity.clone(),
                readiness: hello.readiness,
                slots: hello.slots,
                running: hello.running.len(),
                waiting: hello.accepted.len(),
                at: now,
                wall,
            };
            self.heard.insert(hello.identity.name.clone(), heard);
        }
        known
    }

    pub(super) fn candidates(&self, now: Duration) -> impl Iterator<Item = Candidate> {
        self.registered.values().map(move |known| self.candidate(known, now))
    }

    /// What targets look at of every agent, by name.
    pub(super) fn described(&self) -> impl Iterator<Item = Described<'_>> {
        self.registered.values().map(Registered::described)
    }

    /// The candidates that `is_meant` picks, by name.
    pub(super) fn matching(
        &self,
        now: Duration,
        is_meant: impl Fn(&Described<'_>) -> bool,
    ) -> impl Iterator<Item = Candidate> {
        let known = self.registered.values().filter(move |known| is_meant(&known.described()));
        known.map(move |known| self.candidate(known, now))
    }

    pub(super) fn has(&self, name: &AgentName) -> bool {
        self.registered.contains_key(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.registered.is_empty()
    }

    pub(super) fn find(&self, name: &AgentName, now: Duration) -> Option<Candidate> {
        self.registered.get(name).map(|known| self.candidate(known, now))
    }

    fn candidate(&self, known: &Registered, now: Duration) -> Candidate {
        let identity = known.registration.identity.clone();
        let heard = self.heard_lately(&identity, now);
        let listened =
            self.listening_since.is_some_and(|since| now.saturating_sub(since) >= SILENT_AFTER);
        Candidate {
            silent: heard.is_none() && listened,
            ready: heard.is_some_and(|heard| heard.readiness == Readiness::Ready),
            busy: heard.map_or(0, |heard| heard.running + heard.waiting),
            identity,
        }
    }

    /// The last hello of exactly this identity, if it is not older than what makes an agent silent.
    fn heard_lately(&self, identity: &Identity, now: Duration) -> Option<&Heard> {
        self.heard.get(&identity.name).filter(|heard| {
            heard.identity == *identity && now.saturating_sub(heard.at) < SILENT_AFTER
        })
    }

    pub(super) fn is_live(&self, identity: &Identity, now: Duration) -> bool {
        self.heard_lately(identity, now).is_some()
    }

    pub(super) fn info(&self, name: &AgentName, now: Duration) -> Option<AgentInfo> {
        self.registered.get(name).map(|known| self.describe(known, now))
    }

    pub(super) fn all(&self, now: Duration) -> Vec<AgentInfo> {
        self.registered.values().map(|known| self.describe(known, now)).collect()
    }

    /// The state of every agent.
    pub(super) fn states(&self, now: Duration) -> impl Iterator<Item = AgentState> {
        self.registered.values().map(move |known| self.state(&known.registration.identity, now))
    }

    pub(super) fn state(&self, identity: &Identity, now: Duration) -> AgentState {
        match self.heard_lately(identity, now).map(|heard| heard.readiness) {
            None => AgentState::Silent,
            Some(Readiness::Ready) => AgentState::Ready,
            Some(Readiness::NotReady) => AgentState::NotReady,
            Some(Readiness::Draining) => AgentState::Draining,
        }
    }

    fn describe(&self, known: &Registered, now: Duration) -> AgentInfo {
        let Registration { identity, hostname, version, labels, facts, .. } = &known.registration;
        let heard = self.heard.get(&identity.name).filter(|heard| heard.identity == *identity);
        let count = |jobs: usize| u32::try_from(jobs).unwrap_or(u32::MAX);
        AgentInfo {
            name: identity.name.clone(),
            state: self.state(identity, now),
            hostname: hostname.clone(),
            version: version.clone(),
            labels: labels.clone(),
            facts: facts.clone(),
            key_id: keys::key_id(&identity.key).map(|id| id.to_string()).unwrap_or_default(),
            registered_at: known.at,
            last_heard: heard.map(|heard| heard.wall),
            slots: heard.map(|heard| heard.slots),
            running: heard.map_or(0, |heard| count(heard.running)),
            waiting: heard.map_or(0, |heard| count(heard.waiting)),
        }
    }
}
