//! What controllers signed, once and for all: a resend forwards stored bytes.

use std::sync::LazyLock;

use super::super::super::Event;
use super::super::world::*;
use super::moves::Tampering;
use crate::auth::envelope::{Document, Signed};
use crate::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use crate::auth::merkle::{HostTree, Membership};
use crate::id::{FleetId, Identity, JobId};
use crate::job::{ClaimRule, Exec, Operation, Submitter};
use crate::message::ToAgent;
use crate::message::order::Order;

pub(super) const HOSTS: usize = 3;
pub(super) const JOBS_IN_PLAY: usize = 7;

/// The key that takes over when the first is retired.
static SECOND: LazyLock<SigningKey> = LazyLock::new(SigningKey::generate);

/// Which installation of a host an order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    First,
    Second,
}

/// What is remarkable about each of the jobs.
const PLAN: [(ClaimRule, Life, SignedBy); JOBS_IN_PLAY] = [
    (ClaimRule::None, Life::First, SignedBy::First),
    (ClaimRule::Job, Life::First, SignedBy::Second),
    (ClaimRule::Host, Life::First, SignedBy::First),
    (ClaimRule::None, Life::First, SignedBy::Second),
    (ClaimRule::None, Life::Second, SignedBy::Second),
    (ClaimRule::Host, Life::Second, SignedBy::First),
    (ClaimRule::None, Life::First, SignedBy::Stranger),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignedBy {
    /// The key that may be retired.
    First,
    Second,
    /// Somebody whose key is in no ring.
    Stranger,
}

impl SignedBy {
    fn key(self) -> &'static SigningKey {
        match self {
            Self::First => &JOBS,
            Self::Second => &SECOND,
            Self::Stranger => &STRANGER,
        }
    }

    /// Whether the ring with this serial has the key. There is none with the serial 0, and so no key.
    fn is_in_ring(self, serial: u64) -> bool {
        match self {
            Self::First => serial == 1,
            Self::Second => serial > 0,
            Self::Stranger => false,
        }
    }
}

/// One job.
pub(super) struct Sent {
    pub(super) order: Order,
    pub(super) life: Life,
    pub(super) by: SignedBy,
    signed: Signed<Order>,
    memberships: Vec<Membership>,
}

impl Sent {
    /// Whether a host of that life which has that ring may take it.
    pub(super) fn is_authentic(&self, life: Life, serial: u64) -> bool {
        self.life == life && self.by.is_in_ring(serial)
    }

    pub(super) fn delivered(&self, place: usize) -> Event {
        dispatch(self.signed.clone(), self.memberships[place].clone())
    }

    /// The same job with another body.
    pub(super) fn delivered_other(&self, place: usize) -> Event {
        let order = Order { wave: 1, ..self.order.clone() };
        dispatch(signed(&order, self.by.key()), self.memberships[place].clone())
    }

    pub(super) fn tampered(&self, place: usize, how: Tampering) -> Event {
        let mut order = self.order.clone();
        order.operation = Operation::Exec(Exec::new("tampered"));
        let mut membership = self.memberships[place].clone();
        let order = match how {
            Tampering::Body => altered(&self.signed, |body| body / 2),
            Tampering::Signature => altered(&self.signed, |body| body - 10),
            Tampering::Stranger => signed(&order, &STRANGER),
            Tampering::OtherUse => signed(&order, &TOKENS),
            Tampering::OtherFleet => {
                order.fleet = FleetId::from_bytes([9; 16]);
                signed(&order, self.by.key())
            }
            Tampering::Membership => {
                membership = self.memberships[(place + 1) % HOSTS].clone();
                self.signed.clone()
            }
        };
        dispatch(order, membership)
    }
}

fn dispatch(order: Signed<Order>, membership: Membership) -> Event {
    Event::Message(ToAgent::Dispatch { order, membership })
}

/// The document with one character of its body and signature altered: at which place, given where they end.
fn altered<D: Document>(signed: &Signed<D>, place: fn(usize) -> usize) -> Signed<D> {
    let mut text = signed.as_str().as_bytes().to_vec();
    let end = text.iter().rposition(|c| *c == b'.').unwrap();
    let at = place(end);
    text[at] = if text[at] == b'A' { b'B' } else { b'A' };
    Signed::from_text(String::from_utf8(text).unwrap())
}

/// All jobs, for the first or the second identity of every host.
pub(super) fn all(first: &[Identity], second: &[Identity], draft: &Order) -> Vec<Sent> {
    let sent = |(n, (claim, life, by)): (usize, (ClaimRule, Life, SignedBy))| {
        let hosts = if life == Life::First { first } else { second };
        let tree = HostTree::new(draft.fleet, hosts);
        let order = Order {
            job: JobId::new(START),
            not_after: START + s(20 + 12 * n as u64),
            claim,
            hosts: tree.set(),
            submitter: Submitter { subject: n.to_string(), ..draft.submitter.clone() },
            ..draft.clone()
        };
        let signed = signed(&order, by.key());
        let memberships = (0..hosts.len()).map(|place| tree.membership(place).unwrap()).collect();
        Sent { order, life, by, signed, memberships }
    };
    PLAN.into_iter().enumerate().map(sent).collect()
}

/// The key with which controllers sign while that is the serial of their ring.
pub(super) fn signing_key(serial: u64) -> &'static SigningKey {
    if serial == 1 { &JOBS } else { &SECOND }
}

/// The ring with this serial: the second has lost a key.
pub(super) fn key_ring(serial: u64) -> Signed<KeyRing> {
    let of = |key: &SigningKey, usage| RingKey { key: key.public(), usage };
    let mut keys = vec![of(&SECOND, KeyUse::Job), of(&TOKENS, KeyUse::Token)];
    if serial == 1 {
        keys.push(of(&JOBS, KeyUse::Job));
    }
    signed(&KeyRing { keys, ..ring(serial) }, &ROOT)
}
