//! What is not signed: it may keep work from being done, and nothing more.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osapi_core::auth::keys::{KeyRing, SigningKey};
use osapi_core::backend::faulty::Dice;
use osapi_core::clock::Timestamp;
use osapi_core::controller::Error;
use osapi_core::id::{Identity, InstanceId, JobId};
use osapi_core::job::JobStatus;
use osapi_core::message::word::{OutputChunk, OutputSettled};
use osapi_core::message::{
    FromAgent, Hello, Readiness, Receipt, ReceiptKind, Refusal, Refused, RegistrationRefusal, Seen,
    ToAgent, Welcome,
};

use super::forgery::{forged, from, to};
use super::tally::Missile;
use super::tape::{Heard, Kind, Tape, body, one_of};
use super::{SEED, Scene, attack, work};
use crate::fleet::world::{settled, within};

/// Somebody who makes up hints.
struct Liar<'a> {
    dice: &'a Dice,
    tape: &'a Tape,
    agents: Vec<Identity>,
    ring: u64,
    now: Timestamp,
}

impl Liar<'_> {
    fn hint(&self) -> Option<Missile> {
        let message = match self.dice.below(6) {
            0 | 1 => self.hello(),
            2 => self.receipt(),
            3 => self.welcome(),
            4 => Some(self.refused()),
            _ => self.output(),
        }?;
        Some(forged(message))
    }

    fn agent(&self) -> Identity {
        one_of(self.dice, &self.agents).clone()
    }

    fn word<T>(&self, find: impl Fn(FromAgent) -> Option<T>) -> Option<T> {
        self.tape.find(self.dice, |heard| find(heard.as_from_agent()?))
    }

    /// A moment near or far, in the past or in the future.
    fn moment(&self) -> Timestamp {
        let away = Duration::from_secs(1 << self.dice.below(31));
        if self.dice.chance(0.5) { self.now + away } else { self.now - away }
    }

    /// A job that was given to somebody.
    fn job(&self) -> Option<JobId> {
        self.tape.find(self.dice, |heard| match heard.as_to_agent()? {
            ToAgent::Dispatch { order, .. } => Some(body(&order)?.job),
            _ => None,
        })
    }

    fn hello(&self) -> Option<Heard> {
        let known: Hello = self.word(|word| match word {
            FromAgent::Hello(hello) => Some(hello),
            _ => None,
        })?;
        let readiness =
            *one_of(self.dice, &[Readiness::Ready, Readiness::NotReady, Readiness::Draining]);
        let instance = if self.dice.chance(0.5) { InstanceId::random() } else { known.instance };
        let seen = known.seen.clone().map(|mut seen: Box<Seen>| {
            seen.position.cursor += self.dice.below(1000);
            seen
        });
        let jobs = || (0..3).filter_map(|_| self.job()).collect();
        let hello = Hello {
            identity: self.agent(),
            instance,
            readiness,
            running: jobs(),
            accepted: jobs(),
            ring: self.dice.below(100),
            wall: self.moment(),
            seq: self.dice.roll(),
            seen,
            denied: self.dice.roll(),
            ..known
        };
        Some(from(&hello.identity.name.clone(), &FromAgent::Hello(hello)))
    }

    fn receipt(&self) -> Option<Heard> {
        let kinds = [
            ReceiptKind::Accepted,
            ReceiptKind::Started { at: self.moment() },
            ReceiptKind::Busy,
            ReceiptKind::Refused(Refusal::NotReady),
            ReceiptKind::Refused(Refusal::Late),
            ReceiptKind::Refused(Refusal::Claimed),
            ReceiptKind::Refused(Refusal::NoMemory),
        ];
        let (identity, job) = (self.agent(), self.job()?);
        let instance = self.word(|word| match word {
            FromAgent::Receipt(receipt) => Some(receipt.instance),
            _ => None,
        })?;
        let receipt = Receipt { identity, instance, job, kind: *one_of(self.dice, &kinds) };
        Some(from(&receipt.identity.name.clone(), &FromAgent::Receipt(receipt)))
    }

    fn welcome(&self) -> Option<Heard> {
        let known: Welcome = self.tape.find(self.dice, |heard| match heard.as_to_agent()? {
            ToAgent::Welcome(welcome) => Some(welcome),
            _ => None,
        })?;
        let is_present = body::<KeyRing>(&known.ring)?.serial == self.ring;
        let retention_s = *one_of(self.dice, &[0, 3600, u64::MAX]);
        let welcome = Welcome { identity: self.agent(), wall: self.moment(), retention_s, ..known };
        is_present.then(|| to(&welcome.identity.name.clone(), &ToAgent::Welcome(welcome)))
    }

    fn refused(&self) -> Heard {
        let reasons = [
            RegistrationRefusal::NameTaken { key_id: SigningKey::generate().id() },
            RegistrationRefusal::Removed,
            RegistrationRefusal::Overtaken,
            RegistrationRefusal::OtherFleet,
            RegistrationRefusal::Invalid,
            RegistrationRefusal::Unknown,
        ];
        let (identity, why) = (self.agent(), one_of(self.dice, &reasons).clone());
        to(&identity.name.clone(), &ToAgent::Refused(Refused { identity, why }))
    }

    /// A part of some output that nobody wrote, or that it need not be sent any more.
    fn output(&self) -> Option<Heard> {
        let known: OutputChunk = self.word(|word| match word {
            FromAgent::Output(chunk) => Some(chunk),
            _ => None,
        })?;
        let OutputChunk { identity, stream, offset, sha256, .. } = known;
        let (name, job) = (identity.name.clone(), self.job()?);
        if self.dice.chance(0.5) {
            let data = STANDARD.encode("what nobody wrote");
            let chunk = OutputChunk { identity, job, stream, offset, data, sha256 };
            return Some(from(&name, &FromAgent::Output(chunk)));
        }
        let stored = self.dice.chance(0.5);
        let settled = OutputSettled { identity, job, stream, offset, sha256, stored };
        Some(to(&name, &ToAgent::OutputSettled(settled)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_that_are_not_signed_start_nothing_and_end_no_job() {
    let mut scene = Scene::set().await;
    let held = scene.hold().await;
    let dice = Dice::new(SEED);
    let liar = Liar {
        dice: &dice,
        tape: &scene.tape,
        agents: scene.agents.iter().map(|agent| agent.identity()).collect(),
        ring: 2,
        now: scene.fleet.clock.wall(),
    };
    let asking = async {
        for n in 0..40 {
            let controller = &scene.controllers[n % 2];
            let target = ["_all", "_any", "a", "b,c"][n % 4];
            match scene.fleet.submit(controller, "true", target).await {
                Ok(_) | Err(Error::NoLiveHost) => {}
                Err(error) => panic!("{error:?}"),
            }
            tokio::time::sleep(super::AIR).await;
        }
    };
    let (tally, ()) = tokio::join!(attack(&dice, &scene.tape, || liar.hint()), asking);
    tally.has_forged(&[
        Kind::Hello,
        Kind::Receipt,
        Kind::Welcome,
        Kind::Refused,
        Kind::Output,
        Kind::OutputSettled,
    ]);
    scene.go_on(&held).await;
    scene.gate.open();
    // Whoever was told lies has forgotten them once it starts again.
    scene.restart_controllers().await;
    for job in held {
        assert_eq!(settled(&scene.controllers[0], job).await.status, JobStatus::Completed);
    }
    scene.restart_agents().await;
    work::one_of_each(&scene.fleet, &scene.controllers, 0).await;
    within(work::only_jobs_ran(&scene.controllers[1], &scene.agents)).await;
    scene.is_whole().await;
}
