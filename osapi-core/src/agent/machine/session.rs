//! The link, the registration, the key ring, and what time the controllers say it is.

use std::time::Duration;

use super::check::Clocks;
use super::writes::After;
use super::{Machine, Notice, Now, Phase, Wake, pause_after};
use crate::agent::journal::Change;
use crate::auth::envelope::Signed;
use crate::auth::keys::KeyRing;
use crate::clock::Timestamp;
use crate::job::limits::RETENTION_DEFAULT;
use crate::job::record::VERSION;
use crate::message::{FromAgent, Refused, Registration, RegistrationRefusal, Welcome};

/// How often the log says that the agent is not let in.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Session {
    is_up: bool,
    ring: Option<Ring>,
    /// Whether a controller had an older ring.
    is_ring_doubted: bool,
    /// The highest serial that the journal has kept.
    synced_serial: u64,
    server: Option<ServerTime>,
    /// Whether the link came up after the last welcome.
    is_unanswered: bool,
    /// Whether it asks to be let in although it was welcomed.
    is_shut_out: bool,
    refusal: Option<Refusal>,
    tries: u32,
    retention: Duration,
}

/// A key ring, and how the root key signed it.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    ring: KeyRing,
    signed: Box<Signed<KeyRing>>,
}

/// That the agent is not let in.
#[derive(Debug)]
struct Refusal {
    why: RegistrationRefusal,
    /// When that was said to those who read the log.
    told: Duration,
}

/// A controller's wall clock, as it was when its welcome came.
#[derive(Debug, Clone, Copy)]
struct ServerTime {
    wall: Timestamp,
    at: Duration,
}

impl ServerTime {
    fn at(self, boottime: Duration) -> Timestamp {
        self.wall + boottime.saturating_sub(self.at)
    }
}

impl Session {
    pub(super) fn new(synced_serial: u64) -> Self {
        Self {
            is_up: false,
            ring: None,
            is_ring_doubted: false,
            synced_serial,
            server: None,
            is_unanswered: true,
            is_shut_out: false,
            refusal: None,
            tries: 0,
            retention: RETENTION_DEFAULT,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    /// Whether keys and time are known.
    pub(super) fn is_welcome(&self) -> bool {
        self.ring.is_some() && self.server.is_some()
    }

    /// Why the agent is not let in, if that was said after the last welcome.
    pub(super) fn refusal(&self) -> Option<&RegistrationRefusal> {
        self.refusal.as_ref().map(|refusal| &refusal.why)
    }

    pub(super) fn ring(&self) -> Option<&KeyRing> {
        self.ring.as_ref().map(|known| &known.ring)
    }

    pub(super) fn ring_serial(&self) -> u64 {
        self.ring().map_or(0, |ring| ring.serial)
    }

    /// The ring, to be shown to controllers that have an older one.
    pub(super) fn later_ring(&self) -> Option<Box<Signed<KeyRing>>> {
        self.ring.as_ref().filter(|_| self.is_ring_doubted).map(|known| known.signed.clone())
    }

    pub(super) fn retention(&self) -> Duration {
        self.retention
    }

    pub(super) fn clocks(&self, now: Now) -> Clocks {
        let server = self.server.map(|server| server.at(now.boottime));
        Clocks { own: now.wall, server }
    }

    /// Within one session of the link the server's time only goes forward: a welcome that was delayed shows a time that is past. The
    /// first welcome of a session is believed, so that a controller whose clock was ahead does no lasting harm.
    fn set_time(&mut self, wall: Timestamp, now: Now) {
        let known = self.server.map(|server| server.at(now.boottime));
        let wall = match known {
            Some(known) if !self.is_unanswered => known.max(wall),
            _ => wall,
        };
        self.server = Some(ServerTime { wall, at: now.boottime });
        self.is_unanswered = false;
    }
}

impl Machine {
    pub(super) fn link_up(&mut self) {
        if self.session.is_up {
            return;
        }
        self.session.is_up = true;
        self.session.is_unanswered = true;
        self.session.tries = 0;
        self.say_hello();
        self.register();
        let undelivered: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(&job.phase, Phase::Ended(d) if d.is_undelivered()))
            .map(|(job, _)| *job)
            .collect();
        for job in undelivered {
            self.deliver(job);
        }
        self.resume_claims();
    }

    pub(super) fn link_down(&mut self) {
        self.session.is_up = false;
        self.timers.clear(Wake::Register);
        self.hand_back_claims();
        let now = self.now.boottime;
        for (job, known) in &mut self.jobs {
            if let Phase::Ended(delivery) = &mut known.phase
                && delivery.is_undelivered()
            {
                self.timers.clear(Wake::Report(*job));
                self.timers.clear(Wake::Upload(*job));
                if let Some(upload) = &mut delivery.upload {
                    upload.link_down(now);
                }
            }
        }
    }

    /// Asks to be let in, again and again until a welcome comes.
    pub(super) fn register(&mut self) {
        let asks = self.session.is_unanswered || self.session.is_shut_out;
        if !self.session.is_up || !asks {
            return;
        }
        let registration = Registration {
            v: VERSION,
            fleet: self.header.binding.fleet,
            identity: self.identity.clone(),
            hostname: self.config.hostname.clone(),
            version: self.config.version.clone(),
            sealing: self.config.sealing,
            labels: self.config.labels.clone(),
            facts: self.config.facts.clone(),
            at: self.now.wall,
        };
        match Signed::sign(&registration, &self.config.key) {
            Ok(signed) => self.send(FromAgent::Register(signed)),
            Err(_) => self.notice(Notice::NotRegistered),
        }
        let pause = pause_after(self.session.tries);
        self.session.tries = self.session.tries.saturating_add(1);
        self.timers.set(Wake::Register, self.now.boottime + pause);
    }

    pub(super) fn welcomed(&mut self, welcome: &Welcome) {
        if welcome.identity != self.identity {
            return self.notice(Notice::WelcomeIgnored("it is for another identity"));
        }
        let Some(ring) = self.open_ring(&welcome.ring) else {
            return self.notice(Notice::WelcomeIgnored("the root key did not sign its key ring"));
        };
        if ring.ring.serial < self.header.ring {
            self.notice(Notice::WelcomeIgnored("its key ring is older than a known one"));
            return self.doubt_ring();
        }
        self.session.is_ring_doubted = false;
        self.timers.clear(Wake::Register);
        self.session.is_shut_out = false;
        self.session.refusal = None;
        self.session.set_time(welcome.wall, self.now);
        self.session.retention = Duration::from_secs(welcome.retention_s);
        self.take_ring(ring);
    }

    /// Every controller tells this once, whoever knows it already, and late ones perhaps after a later ring.
    pub(super) fn keys_changed(&mut self, signed: &Signed<KeyRing>) {
        match self.open_ring(signed) {
            None => self.notice(Notice::RingIgnored("the root key did not sign it")),
            Some(ring) if ring.ring.serial > self.header.ring => self.take_ring(ring),
            Some(_) => {}
        }
    }

    fn open_ring(&self, signed: &Signed<KeyRing>) -> Option<Ring> {
        let ring = KeyRing::open(signed, &self.config.root).ok()?;
        Some(Ring { ring, signed: Box::new(signed.clone()) })
    }

    fn take_ring(&mut self, ring: Ring) {
        if ring.ring.serial > self.session.synced_serial {
            // Before it is used it is remembered, or a crash would bring back the keys that it withdrew.
            self.change(Change::Ring(ring.ring.serial));
            self.writes.then(After::Ring(ring));
        } else {
            self.use_ring(ring);
        }
    }

    /// A controller has an older ring: the present one is shown, from the next hello on.
    fn doubt_ring(&mut self) {
        let was_doubted = std::mem::replace(&mut self.session.is_ring_doubted, true);
        if !was_doubted && self.session.ring.is_some() {
            self.say_hello();
        }
    }

    /// Somebody says that the agent is not let in: it asks again, and is not ready until it is welcomed. A hint like a welcome, so that
    /// nothing is given up for it.
    pub(super) fn kept_out(&mut self, refused: Refused) {
        let Refused { identity, why } = refused;
        if identity != self.identity {
            return;
        }
        let now = self.now.boottime;
        // Whoever has not read of it yet says so of an agent that was let in just now.
        if why != RegistrationRefusal::Unknown {
            let told = self.session.refusal.take().filter(|known| known.why == why);
            let told = told.map(|known| known.told).filter(|told| now < *told + TOLD_AGAIN);
            if told.is_none() {
                self.notice(Notice::KeptOut(why.clone()));
            }
            self.session.refusal = Some(Refusal { why, told: told.unwrap_or(now) });
        }
        if !self.session.is_unanswered && !self.session.is_shut_out {
            self.session.is_shut_out = true;
            self.session.tries = 0;
            self.register();
        }
    }

    pub(super) fn use_ring(&mut self, ring: Ring) {
        let was_welcome = self.session.is_welcome();
        self.session.synced_serial = self.session.synced_serial.max(ring.ring.serial);
        if ring.ring.serial >= self.session.ring_serial() {
            self.session.ring = Some(ring);
        }
        if !was_welcome {
            self.resume_claims();
        }
    }
}
