//! Messages that are right in every way but one: they are signed with a key that has no business to.

use std::sync::Arc;
use std::time::Duration;

use osapi_core::auth::envelope::{Document, Signed};
use osapi_core::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use osapi_core::auth::merkle::HostTree;
use osapi_core::backend::faulty::Dice;
use osapi_core::clock::{Clock, Timestamp};
use osapi_core::id::{AgentName, FleetId, Identity, JobId, JournalId, Nonce, StoreId};
use osapi_core::job::record::VERSION;
use osapi_core::job::{Exec, Operation, Outcome, Report};
use osapi_core::message::{
    Answer, AnswerKind, CancelOrder, ClaimRequest, FromAgent, Order, Registration, ToAgent,
    Welcome, encode,
};

use super::tally::{Deed, Missile};
use super::tape::{Heard, Kind, Tape, body, one_of};
use crate::fleet::world::{Agent, Fleet};

/// Somebody who knows everything that was said, has the keys of other fleets, of other agents and of former controllers, and none that
/// counts.
pub(super) struct Forger<'a> {
    pub(super) dice: &'a Dice,
    pub(super) tape: &'a Tape,
    fleet: FleetId,
    clock: Arc<dyn Clock>,
    /// Sign what controllers sign.
    job_keys: Vec<SigningKey>,
    /// The agents, each with its key.
    agents: Vec<(Identity, Arc<SigningKey>)>,
    stranger: SigningKey,
    /// Rings that are not this fleet's present one.
    rings: Vec<Signed<KeyRing>>,
}

impl<'a> Forger<'a> {
    pub(super) fn new(
        dice: &'a Dice,
        tape: &'a Tape,
        fleet: &Fleet,
        other: &Fleet,
        agents: &[Agent],
    ) -> Self {
        let copy = |key: &SigningKey| SigningKey::from_paserk(&key.to_paserk()).unwrap();
        let stranger = SigningKey::generate();
        let keys = vec![RingKey { key: stranger.public(), usage: KeyUse::Job }];
        let own = KeyRing::issue(&SigningKey::generate(), 99, fleet.clock.wall(), keys).unwrap();
        Self {
            dice,
            tape,
            fleet: fleet.root.public().fleet(),
            clock: Arc::clone(&fleet.clock),
            job_keys: vec![
                copy(&stranger),
                copy(&fleet.other_job_key),
                other.job_key(),
                copy(&agents[0].key),
            ],
            agents: agents.iter().map(|agent| (agent.identity(), Arc::clone(&agent.key))).collect(),
            stranger,
            rings: vec![own, fleet.ring(1), other.ring(1), other.ring(7)],
        }
    }

    /// A forged message, on its way to whoever should believe it.
    pub(super) fn forged(&self) -> Option<Missile> {
        let message = match self.dice.below(8) {
            0 | 1 => self.order(),
            2 => self.cancel(),
            3 => self.answer(),
            4 => self.report(),
            5 => self.claim(),
            6 => self.registration(),
            _ => Some(self.welcome()),
        }?;
        Some(forged(message))
    }

    fn job_key(&self) -> &SigningKey {
        one_of(self.dice, &self.job_keys)
    }

    fn agent(&self) -> &Identity {
        &one_of(self.dice, &self.agents).0
    }

    /// A key that is not that of `name`.
    fn key_beside(&self, name: &AgentName) -> &SigningKey {
        let others: Vec<_> =
            self.agents.iter().filter(|(identity, _)| identity.name != *name).collect();
        if self.dice.chance(0.3) { &self.stranger } else { &one_of(self.dice, &others).1 }
    }

    /// An order that was given.
    fn given(&self) -> Option<Order> {
        match self.tape.pick_of(self.dice, Kind::Order)?.as_to_agent()? {
            ToAgent::Dispatch { order, .. } => body(&order),
            _ => None,
        }
    }

    fn order(&self) -> Option<Heard> {
        let (given, identity, now) = (self.given()?, self.agent(), self.clock.wall());
        let tree = HostTree::new(self.fleet, [identity]);
        let order = match self.dice.below(3) {
            // For another host than it was for.
            0 => Order { fleet: self.fleet, hosts: tree.set(), ..given },
            1 => Order { fleet: self.fleet, hosts: tree.set(), not_after: later(now), ..given },
            _ => Order {
                fleet: self.fleet,
                job: JobId::new(now),
                iat: now,
                not_after: later(now),
                hosts: tree.set(),
                operation: Operation::Exec(Exec::new("forged")),
                ..given
            },
        };
        let (order, membership) = (signed(&order, self.job_key()), tree.membership(0)?);
        Some(to(&identity.name, &ToAgent::Dispatch { order, membership }))
    }

    fn cancel(&self) -> Option<Heard> {
        let (given, now) = (self.given()?, self.clock.wall());
        let Order { job, not_after, submitter: by, .. } = given;
        let cancel = CancelOrder { v: VERSION, fleet: self.fleet, job, not_after, by, at: now };
        let cancel = signed(&cancel, self.job_key());
        Some(to(&self.agent().name, &ToAgent::Cancel(cancel)))
    }

    fn answer(&self) -> Option<Heard> {
        let (identity, job, kind) =
            self.tape.find(self.dice, |heard| match heard.as_from_agent()? {
                FromAgent::Report(report) => {
                    let Report { identity, job, .. } = body(&report)?;
                    let digest = report.digest();
                    let kinds = [
                        AnswerKind::Stored(digest),
                        AnswerKind::Conflict(digest),
                        AnswerKind::Gone(digest),
                    ];
                    Some((identity, job, one_of(self.dice, &kinds).clone()))
                }
                FromAgent::Claim(request) => {
                    let ClaimRequest { identity, job, nonce, .. } = body(&request)?;
                    let kinds = [AnswerKind::Yours(nonce), AnswerKind::Void(nonce)];
                    Some((identity, job, one_of(self.dice, &kinds).clone()))
                }
                _ => None,
            })?;
        let name = identity.name.clone();
        let answer = Answer { v: VERSION, fleet: self.fleet, identity, job, kind, at: None };
        Some(to(&name, &ToAgent::Answer(signed(&answer, self.job_key()))))
    }

    /// A report of an execution that may still be open, in the name of somebody else.
    fn report(&self) -> Option<Heard> {
        let given = self.given()?;
        let FromAgent::Report(report) =
            self.tape.pick_of(self.dice, Kind::Report)?.as_from_agent()?
        else {
            return None;
        };
        let report: Report = body(&report)?;
        let identity = self.agent().clone();
        let outcomes = [Outcome::Exited { code: 77 }, Outcome::Cancelled, Outcome::Lost];
        let outcome = one_of(self.dice, &outcomes).clone();
        let name = identity.name.clone();
        let report = Report { fleet: self.fleet, job: given.job, identity, outcome, ..report };
        let report = signed(&report, self.key_beside(&name));
        Some(from(&name, &FromAgent::Report(report)))
    }

    fn claim(&self) -> Option<Heard> {
        let (given, identity) = (self.given()?, self.agent().clone());
        let (name, nonce) = (identity.name.clone(), Nonce::random());
        let request =
            ClaimRequest { v: VERSION, fleet: self.fleet, identity, job: given.job, nonce };
        let request = signed(&request, self.key_beside(&name));
        Some(from(&name, &FromAgent::Claim(request)))
    }

    /// Somebody else under a name that is known, with a key of their own or without the key of the name.
    fn registration(&self) -> Option<Heard> {
        let FromAgent::Register(known) =
            self.tape.pick_of(self.dice, Kind::Registration)?.as_from_agent()?
        else {
            return None;
        };
        let known: Registration = body(&known)?;
        let name = self.agent().name.clone();
        let key = self.key_beside(&name);
        let claimed = if self.dice.chance(0.5) { key.public() } else { known.identity.key };
        let journal = JournalId::random();
        let identity = Identity { name: name.clone(), key: claimed, journal };
        let at = self.clock.wall();
        let registration = Registration { fleet: self.fleet, identity, at, ..known };
        Some(from(&name, &FromAgent::Register(signed(&registration, key))))
    }

    fn welcome(&self) -> Heard {
        let (identity, ring) = (self.agent().clone(), one_of(self.dice, &self.rings).clone());
        let name = identity.name.clone();
        let (wall, store) = (self.clock.wall(), StoreId::random());
        let welcome = Welcome { identity, ring, wall, store, retention_s: 3600 };
        to(&name, &ToAgent::Welcome(welcome))
    }
}

pub(super) fn forged(message: Heard) -> Missile {
    Missile { kind: message.kind(), message, deed: Deed::Forged }
}

fn signed<D: Document>(document: &D, key: &SigningKey) -> Signed<D> {
    Signed::sign(document, key).unwrap()
}

fn later(now: Timestamp) -> Timestamp {
    now + Duration::from_secs(600)
}

pub(super) fn to(name: &AgentName, message: &ToAgent) -> Heard {
    Heard { subject: format!("osapi.to.{name}"), payload: encode(message).into() }
}

/// On the subject on which an agent says such things.
pub(super) fn from(name: &AgentName, message: &FromAgent) -> Heard {
    let token = match message {
        FromAgent::Hello(_) | FromAgent::Receipt(_) => "h",
        _ => "w",
    };
    Heard { subject: format!("osapi.from.{name}.{token}"), payload: encode(message).into() }
}
