//! Makes the moves.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::super::super::{Action, Event, Finished, Output};
use super::super::world::*;
use super::host::Host;
use super::moves::{At, IsBehind, Move};
use super::orders::{HOSTS, Sent, all, key_ring, signing_key};
use super::store::Claims;
use super::{Broken, Mutation};
use crate::agent::journal::{Change, Journal, Stage};
use crate::clock::Timestamp;
use crate::executor::Handle;
use crate::id::{JobId, Nonce};
use crate::job::Outcome;
use crate::message::ToAgent;
use crate::message::order::{AnswerKind, CancelOrder, ClaimRequest};

pub(super) struct Play {
    mutation: Option<Mutation>,
    pub(super) broken: Broken,
    pub(super) hosts: Vec<Host>,
    pub(super) sent: Vec<Sent>,
    pub(super) claims: Claims,
    /// Serial of the ring that controllers have.
    serial: u64,
    pub(super) requests: Vec<(usize, ClaimRequest)>,
    answers: Vec<(usize, Event)>,
    delivered: Vec<At>,
}

impl Play {
    pub(super) fn new(mutation: Option<Mutation>) -> Self {
        let hosts: Vec<_> = (0..HOSTS).map(Host::new).collect();
        let first: Vec<_> = hosts.iter().map(|host| host.world.identity()).collect();
        let second = hosts.iter().flat_map(|host| &host.next);
        let second: Vec<_> = second.map(|journal| journal.header().identity()).collect();
        let mut draft = hosts[0].world.order();
        draft.iat = START;
        let mut play = Self {
            mutation,
            broken: Broken::new(),
            sent: all(&first, &second, &draft),
            hosts,
            claims: Claims::default(),
            serial: 1,
            requests: Vec::new(),
            answers: Vec::new(),
            delivered: Vec::new(),
        };
        for host in 0..HOSTS {
            play.connect(host);
        }
        play
    }

    /// The controllers' clock, which goes with the time since boot.
    pub(super) fn server(&self) -> Timestamp {
        START + (self.hosts[0].world.now.boottime - s(1000))
    }

    pub(super) fn number(&self, job: JobId) -> usize {
        self.sent.iter().position(|sent| sent.order.job == job).unwrap()
    }

    fn tell(&mut self, host: usize, event: Event) {
        let actions = self.hosts[host].world.tell(event);
        self.done(host, &actions);
    }

    fn done(&mut self, host: usize, actions: &[Action]) {
        for action in actions {
            self.check(host, action);
            if let Action::Commit { id, changes } = action
                && self.mutation == Some(Mutation::SpawnBeforeSync)
                && changes.iter().any(is_starting)
            {
                self.tell(host, Event::Committed(*id));
            }
        }
    }

    fn connect(&mut self, host: usize) {
        self.tell(host, Event::LinkUp);
        self.welcome(host, false);
        self.sync(host, 9);
    }

    fn welcome(&mut self, host: usize, is_behind: IsBehind) {
        let (wall, serial) = (self.server(), if is_behind { 1 } else { self.serial });
        let welcome = self.hosts[host].world.welcome_with(serial, |welcome| {
            (welcome.ring, welcome.wall, welcome.retention_s) = (key_ring(serial), wall, 5);
        });
        self.tell(host, welcome);
    }

    fn sync(&mut self, host: usize, count: usize) {
        for _ in 0..count {
            let Some((id, changes)) = self.hosts[host].world.pending.pop_front() else { return };
            let event = match self.keep(host, changes) {
                Ok(()) => Event::Committed(id),
                Err(why) => Event::CommitFailed(id, why),
            };
            self.tell(host, event);
        }
    }

    fn keep(&self, host: usize, mut changes: Vec<Change>) -> Result<(), String> {
        if self.mutation == Some(Mutation::ForgetEarly) {
            changes.iter_mut().for_each(forget_answered);
        }
        let journal = &self.hosts[host].world.journal;
        journal.commit(changes).now_or_never().unwrap().map_err(|err| err.to_string())
    }

    /// The last words before the crash were kept or not, and nobody was told.
    fn crash(&mut self, host: usize, synced: usize) {
        let pending = std::mem::take(&mut self.hosts[host].world.pending);
        for (_, changes) in pending.into_iter().take(synced) {
            drop(self.keep(host, changes));
        }
        let actions = self.hosts[host].world.crash();
        self.done(host, &actions);
    }

    fn deliver(&mut self, (host, n): At, is_other: bool) {
        let (sent, known) = (&self.sent[n], &mut self.hosts[host]);
        if sent.is_authentic(known.life, known.world.header().ring) {
            known.vouched.insert(sent.order.job);
        }
        let event = match is_other {
            true => sent.delivered_other(known.place),
            false => sent.delivered(known.place),
        };
        self.tell(host, event);
    }

    fn go_well(&mut self, at: At) {
        self.connect(at.0);
        self.deliver(at, false);
        for what in [Self::started, Self::ended, Self::stored] {
            self.sync(at.0, 9);
            what(self, at);
        }
        self.pass(s(1), s(1));
        self.sync(at.0, 9);
    }

    fn cancel(&mut self, (host, n): At) {
        let (order, known) = (&self.sent[n].order, &mut self.hosts[host]);
        self.claims.cancelled.insert(order.job);
        known.cancelled.insert(order.job);
        let cancel = CancelOrder {
            v: order.v,
            fleet: order.fleet,
            job: order.job,
            not_after: order.not_after,
            by: order.submitter.clone(),
            at: known.world.now.wall,
        };
        let signed = signed(&cancel, signing_key(self.serial));
        self.tell(host, Event::Message(ToAgent::Cancel(signed)));
    }

    fn ask(&mut self, n: usize) {
        let Some((place, request)) = pick(&self.requests, n) else { return };
        let (order, now) = (&self.sent[self.number(request.job)].order, self.server());
        let kind = self.claims.ask(*place, request, order, now);
        let (key, me) = (signing_key(self.serial), request.identity.clone());
        let answer = self.hosts[*place].world.answer_by(key, me, request.job, kind);
        self.answers.push((*place, answer));
    }

    fn answer(&mut self, n: usize, to: Option<usize>) {
        let Some((place, answer)) = pick(&self.answers, n).cloned() else { return };
        let Event::Message(ToAgent::Answer(signed)) = &answer else { return };
        let body = signed.peek().unwrap();
        for host in 0..self.hosts.len() {
            let known = &mut self.hosts[host];
            if to.map_or(known.place != place, |to| to != host) {
                continue;
            }
            let is_mine = known.world.identity() == body.identity;
            if is_mine && matches!(body.kind, AnswerKind::Yours(_)) {
                known.granted.insert(body.job);
            }
            self.tell(host, answer.clone());
        }
    }

    fn forge(&mut self, (host, n): At) {
        let (job, world) = (self.sent[n].order.job, &self.hosts[host].world);
        let known = world.entries().into_iter().find(|(known, _)| *known == job);
        let nonce = known.and_then(|(_, record)| record.nonce).unwrap_or_else(Nonce::random);
        let (me, key) = (world.identity(), signing_key(self.serial));
        let forged = [
            world.answer_by(&STRANGER, me.clone(), job, AnswerKind::Yours(nonce)),
            world.answer_by(key, me.clone(), job, AnswerKind::Yours(Nonce::random())),
            world.answer_by(key, me, job, AnswerKind::Void(Nonce::random())),
        ];
        for answer in forged {
            self.tell(host, answer);
        }
    }

    fn stored(&mut self, (host, n): At) {
        let (job, known) = (self.sent[n].order.job, &self.hosts[host]);
        if let Some(report) = known.told.get(&job) {
            let (key, me) = (signing_key(self.serial), known.world.identity());
            let answer = known.world.answer_by(key, me, job, AnswerKind::Stored(*report));
            self.tell(host, answer);
        }
    }

    /// The journal is another from here on, and with it the identity. What runs goes on, and nobody is left who would report it.
    fn wipe(&mut self, host: usize) {
        if self.hosts[host].wipe() {
            self.crash(host, 0);
        }
    }

    fn copy(&mut self, host: usize) {
        if self.hosts.len() == HOSTS {
            let copy = self.hosts[host].copied();
            self.hosts.push(copy);
            self.crash(HOSTS, 0);
        }
    }

    fn pass(&mut self, boot: Duration, wall: Duration) {
        for host in &mut self.hosts {
            host.world.now.boottime += boot;
            host.world.now.wall = host.world.now.wall + wall;
        }
        for host in 0..self.hosts.len() {
            self.tell(host, Event::Due);
        }
    }

    fn set_wall(&mut self, host: usize, by: i64) {
        let now = &mut self.hosts[host].world.now.wall;
        let set = s(by.unsigned_abs());
        *now = if by < 0 { *now - set } else { *now + set };
        self.tell(host, Event::Due);
    }

    pub(super) fn play(&mut self, step: &Move) {
        let among = self.hosts.len();
        let there = |host: usize| host % among;
        let at = |(host, n): At| (host % among, n);
        match *step {
            Move::Deliver(to) => {
                self.delivered.push(at(to));
                self.deliver(at(to), false);
            }
            Move::GoWell(to) => {
                self.delivered.push(at(to));
                self.go_well(at(to));
            }
            Move::Resend(n) => {
                if let Some(to) = pick(&self.delivered, n) {
                    self.deliver(*to, false);
                }
            }
            Move::DeliverOther(to) => self.deliver(at(to), true),
            Move::Tamper(to, how) => {
                let (host, n) = at(to);
                let event = self.sent[n].tampered(self.hosts[host].place, how);
                self.tell(host, event);
            }
            Move::Cancel(to) => self.cancel(at(to)),
            Move::Ask(n) => self.ask(n),
            Move::Answer(n) => self.answer(n, None),
            Move::Misdeliver(n, host) => self.answer(n, Some(there(host))),
            Move::Forge(to) => self.forge(at(to)),
            Move::Stored((host, n)) => {
                let told: Vec<_> = self.hosts[there(host)].told.keys().copied().collect();
                if let Some(job) = pick(&told, n) {
                    self.stored((there(host), self.number(*job)));
                }
            }
            Move::RetireKey => self.serial = 2,
            Move::Welcome(host, is_behind) => self.welcome(there(host), is_behind),
            Move::TellRing(host) => {
                self.tell(there(host), Event::KeysChanged(key_ring(self.serial)));
            }
            Move::ChangePolicy(to) => {
                let (host, n) = at(to);
                self.hosts[host].change_policy(n);
            }
            Move::Sync(host, count) => self.sync(there(host), count),
            Move::Crash(host, synced) => self.crash(there(host), synced),
            Move::Fail(host, true) => self.hosts[there(host)].world.journal.fail_and_keep(),
            Move::Fail(host, false) => self.hosts[there(host)].world.journal.fail(),
            Move::Repair(host) => self.hosts[there(host)].world.journal.repair(),
            Move::Wipe(host) => self.wipe(there(host)),
            Move::Copy(host) => self.copy(there(host)),
            Move::Started((host, n)) => self.with_execution(there(host), n, Self::started),
            Move::Ended((host, n)) => self.with_execution(there(host), n, Self::ended),
            Move::LeftoversEnded((host, n)) => {
                self.with_execution(there(host), n, Self::leftovers_ended);
            }
            Move::LinkUp(host) => self.tell(there(host), Event::LinkUp),
            Move::LinkDown(host) => self.tell(there(host), Event::LinkDown),
            Move::Wait(seconds) => self.pass(s(seconds), s(seconds)),
            Move::SetWall(host, by) => self.set_wall(there(host), by),
            Move::Stall(seconds) => self.pass(s(seconds), Duration::ZERO),
        }
    }

    fn with_execution(&mut self, host: usize, n: usize, what: fn(&mut Self, At)) {
        let executions: Vec<_> = self.hosts[host].owed.iter().copied().collect();
        if let Some(job) = pick(&executions, n) {
            what(self, (host, self.number(*job)));
        }
    }

    fn started(&mut self, (host, n): At) {
        let (job, detail) = (self.sent[n].order.job, serde_json::Value::Null);
        self.tell(host, Event::Started { job, handle: Handle { job, detail } });
    }

    fn ended(&mut self, (host, n): At) {
        let (job, outcome) = (self.sent[n].order.job, Outcome::Exited { code: 0 });
        let finished = Finished { outcome, duration: s(1), output: Output::empty() };
        self.tell(host, Event::Ended { job, finished: Box::new(finished) });
    }

    fn leftovers_ended(&mut self, (host, n): At) {
        let job = self.sent[n].order.job;
        self.tell(host, Event::LeftoversEnded { job, result: Ok(()), output: Output::unknown() });
    }

    fn everywhere(&self) -> Vec<At> {
        let jobs = 0..self.sent.len();
        (0..self.hosts.len()).flat_map(|host| jobs.clone().map(move |n| (host, n))).collect()
    }

    fn resend_all(&mut self) {
        for at in BTreeSet::from_iter(self.delivered.clone()) {
            self.deliver(at, false);
        }
    }

    /// Nothing more goes wrong, for long enough, and whatever was sent is sent again.
    pub(super) fn settle(&mut self) {
        for host in 0..self.hosts.len() {
            match host % 2 {
                0 => self.crash(host, 0),
                _ => self.hosts[host].world.journal.repair(),
            }
            self.tell(host, Event::LinkUp);
            self.welcome(host, true);
        }
        self.resend_all();
        for host in 0..self.hosts.len() {
            self.connect(host);
        }
        for round in 0..12 {
            if round % 4 == 3 {
                self.resend_all();
            }
            for n in 0..self.requests.len() {
                self.ask(n);
            }
            for n in 0..self.answers.len() {
                self.answer(n, None);
            }
            self.requests.clear();
            self.answers.clear();
            for at in self.everywhere() {
                self.sync(at.0, 99);
                self.leftovers_ended(at);
                self.ended(at);
                self.sync(at.0, 99);
            }
            self.pass(s(30), s(30));
        }
        self.check_settled();
    }
}

/// One of `all`, if there is any.
fn pick<T>(all: &[T], n: usize) -> Option<&T> {
    all.get(n % all.len().max(1))
}

fn is_starting(change: &Change) -> bool {
    matches!(change, Change::Put(_, record) if record.stage == Stage::Starting)
}

fn forget_answered(change: &mut Change) {
    if let Change::Put(job, record) = change
        && let Stage::Ended(ended) = &record.stage
        && ended.keep_until.is_some()
    {
        *change = Change::Forget(*job);
    }
}
