//! Which agents there are, and which of them are live: what the store says of registrations, and what hellos say.

mod clones;
mod strangers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::api::types::{AgentInfo, AgentState};
use crate::auth::keys;
use crate::clock::Timestamp;
use crate::id::{AgentName, Identity, PublicKey};
use crate::job::limits::SILENT_AFTER;
use crate::job::target::Described;
use crate::message::{Hello, Readiness, Registration, RegistrationRefusal};
use clones::Clones;
use strangers::Strangers;

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
    denied: u64,
    /// By this controller's boottime clock.
    at: Duration,
    wall: Timestamp,
}

/// The agents of the fleet. `now` is always this controller's boottime clock.
#[derive(Debug, Default)]
pub(super) struct Roster {
    registered: BTreeMap<AgentName, Registered>,
    heard: HashMap<AgentName, Heard>,
    /// Keys that are never let in again.
    removed: HashSet<PublicKey>,
    clones: Clones,
    strangers: Strangers,
    /// Since when this controller has been listening without a break.
    listening_since: Option<Duration>,
}

/// Whose word a hello is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The registered agent.
    Agent,
    /// A run of the registered agent that is over.
    FormerRun,
    /// Somebody who is not let in.
    Stranger(RegistrationRefusal),
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

    /// Takes note of a registration, unless its key was removed.
    pub(super) fn register(&mut self, registered: Registered) {
        let Identity { name, key, .. } = &registered.registration.identity;
        if !self.removed.contains(key) {
            self.clones.note(&registered);
            self.strangers.let_in(name, key);
            // What another journal's agent said is not this one's word.
            let is_former = |heard: &Heard| heard.identity != registered.registration.identity;
            if self.heard.get(name).is_some_and(is_former) {
                self.heard.remove(name);
            }
            self.registered.insert(name.clone(), registered);
        }
    }

    pub(super) fn remove(&mut self, name: &AgentName) {
        self.registered.remove(name);
        self.heard.remove(name);
        self.clones.forget(name);
    }

    /// From now on nothing counts that is signed with this key.
    pub(super) fn remove_key(&mut self, name: &AgentName, key: PublicKey) {
        self.removed.insert(key);
        if self.registered.get(name).is_some_and(|known| known.registration.identity.key == key) {
            self.remove(name);
        }
    }

    pub(super) fn is_removed(&self, key: &PublicKey) -> bool {
        self.removed.contains(key)
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
    pub(super) fn hear(&mut self, hello: &Hello, now: Duration, wall: Timestamp) -> Speaker {
        if let Some(why) = self.refusal(&hello.identity) {
            return Speaker::Stranger(why);
        }
        if !self.clones.hear(hello, now) {
            return Speaker::FormerRun;
        }
        let heard = Heard {
            identity: hello.identity.clone(),
            readiness: hello.readiness,
            slots: hello.slots,
            running: hello.running.len(),
            waiting: hello.accepted.len(),
            denied: hello.denied,
            at: now,
            wall,
        };
        self.heard.insert(hello.identity.name.clone(), heard);
        Speaker::Agent
    }

    /// Why this identity is not listened to.
    fn refusal(&self, identity: &Identity) -> Option<RegistrationRefusal> {
        if self.removed.contains(&identity.key) {
            return Some(RegistrationRefusal::Removed);
        }
        let known = self.registered.get(&identity.name).map(|known| &known.registration.identity);
        match known {
            Some(known) if known == identity => None,
            Some(known) if known.key != identity.key => Some(name_taken(&known.key)),
            // With another journal it is the same agent, and has to say so.
            Some(_) | None => Some(RegistrationRefusal::Unknown),
        }
    }

    /// Takes note of a key that is not let in. Whether it is time to say so.
    pub(super) fn note_stranger(
        &mut self,
        identity: &Identity,
        now: Duration,
        wall: Timestamp,
    ) -> bool {
        self.strangers.note(&identity.name, identity.key, now, wall)
    }

    /// Whether two run with the key of this agent, and it is time to say so.
    pub(super) fn is_alarm_due(&mut self, name: &AgentName, now: Duration) -> bool {
        self.clones.is_alarm_due(name, now)
    }

    /// What the broker has denied this agent, as it said last.
    pub(super) fn denials_of(&self, name: &AgentName) -> u64 {
        self.heard.get(name).map_or(0, |heard| heard.denied)
    }

    /// The agents to which the broker has denied something, by name, and how often.
    pub(super) fn denied(&self) -> impl Iterator<Item = (&AgentName, u64)> {
        let counted = self.registered.keys().map(|name| (name, self.denials_of(name)));
        counted.filter(|(_, count)| *count > 0)
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
        let is_cloned = self.clones.contains(&identity.name);
        Candidate {
            // What has two copies is not given anything that either could start.
            silent: is_cloned || (heard.is_none() && listened),
            ready: !is_cloned && heard.is_some_and(|heard| heard.readiness == Readiness::Ready),
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

    /// Whether it is live, and nothing speaks against giving it work.
    pub(super) fn takes_orders(&self, identity: &Identity, now: Duration) -> bool {
        self.is_live(identity, now) && !self.clones.contains(&identity.name)
    }

    pub(super) fn info(
        &self,
        name: &AgentName,
        now: Duration,
        wall: Timestamp,
    ) -> Option<AgentInfo> {
        self.registered.get(name).map(|known| self.describe(known, now, wall))
    }

    pub(super) fn all(&self, now: Duration, wall: Timestamp) -> Vec<AgentInfo> {
        self.registered.values().map(|known| self.describe(known, now, wall)).collect()
    }

    /// Agents of which there are two, by name.
    pub(super) fn cloned(&self) -> impl Iterator<Item = &AgentName> {
        self.registered.keys().filter(|name| self.clones.contains(name))
    }

    /// The names under which a key was refused lately.
    pub(super) fn refused(&self, wall: Timestamp) -> impl Iterator<Item = &AgentName> {
        self.strangers.names(wall)
    }

    /// The state of every agent.
    pub(super) fn states(&self, now: Duration) -> impl Iterator<Item = AgentState> {
        self.registered.values().map(move |known| self.state(&known.registration.identity, now))
    }

    pub(super) fn state(&self, identity: &Identity, now: Duration) -> AgentState {
        match self.heard_lately(identity, now).map(|heard| heard.readiness) {
            _ if self.clones.contains(&identity.name) => AgentState::Cloned,
            None => AgentState::Silent,
            Some(Readiness::Ready) => AgentState::Ready,
            Some(Readiness::NotReady) => AgentState::NotReady,
            Some(Readiness::Draining) => AgentState::Draining,
        }
    }

    fn describe(&self, known: &Registered, now: Duration, wall: Timestamp) -> AgentInfo {
        let Registration { identity, hostname, version, sealing, labels, facts, .. } =
            &known.registration;
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
            key: identity.key,
            sealing_key: *sealing,
            registered_at: known.at,
            last_heard: heard.map(|heard| heard.wall),
            slots: heard.map(|heard| heard.slots),
            running: heard.map_or(0, |heard| count(heard.running)),
            waiting: heard.map_or(0, |heard| count(heard.waiting)),
            refused_key: self.strangers.of(&identity.name, wall),
            denied: heard.map_or(0, |heard| heard.denied),
        }
    }
}

/// That a name belongs to the agent with this key.
pub(super) fn name_taken(key: &PublicKey) -> RegistrationRefusal {
    match keys::key_id(key) {
        Some(key_id) => RegistrationRefusal::NameTaken { key_id },
        // Nobody is registered with what is no key.
        None => RegistrationRefusal::Unknown,
    }
}
