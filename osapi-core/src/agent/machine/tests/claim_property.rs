//! Several agents and one store of claims, whatever is delivered, repeated, forged, answered late or twice, cancelled or lost in a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::super::{Action, Event, Finished, Output};
use super::world::*;
use crate::agent::journal::{Journal, Stage};
use crate::clock::Timestamp;
use crate::executor::Handle;
use crate::id::{Digest, JobId, Nonce};
use crate::job::{ClaimRule, Outcome};
use crate::message::order::{AnswerKind, ClaimRequest, Order};
use crate::message::{FromAgent, ToAgent};

const HOSTS: usize = 3;
const JOBS_IN_PLAY: usize = 4;

/// One of the hosts, and one of the jobs.
type At = (usize, usize);

#[derive(Debug, Clone)]
enum Step {
    Deliver(At),
    /// A cancel is recorded, and told to one host.
    Cancel(At),
    /// A request that was made at some time reaches the store, perhaps not for the first time.
    Ask(usize),
    /// An answer that was given at some time reaches its host, perhaps not for the first time.
    Answer(usize),
    /// An answer that was given to one host reaches another.
    Misdeliver(usize, usize),
    /// A `yours` that no job key signed, and one with a nonce that the host did not ask with.
    Forge(At),
    Stored(At),
    Sync(usize, usize),
    Crash(usize, usize),
    Fail(usize),
    Started(At),
    Ended(At),
    LeftoversEnded(At),
    Welcome(usize),
    LinkUp(usize),
    LinkDown(usize),
    Wait(u64),
    /// One host's wall clock is set by that many seconds.
    SetWall(usize, i64),
    /// The wall clocks of all hosts stand still while time passes.
    Stall(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let host = 0..HOSTS;
    let at = (0..HOSTS, 0..JOBS_IN_PLAY);
    let any = 0..1000_usize;
    prop_oneof![
        8 => at.clone().prop_map(Step::Deliver),
        1 => at.clone().prop_map(Step::Cancel),
        8 => any.clone().prop_map(Step::Ask),
        8 => any.clone().prop_map(Step::Answer),
        1 => (any, host.clone()).prop_map(|(n, host)| Step::Misdeliver(n, host)),
        1 => at.clone().prop_map(Step::Forge),
        2 => at.clone().prop_map(Step::Stored),
        8 => (host.clone(), 1..4_usize).prop_map(|(host, n)| Step::Sync(host, n)),
        2 => (host.clone(), 0..3_usize).prop_map(|(host, n)| Step::Crash(host, n)),
        1 => host.clone().prop_map(Step::Fail),
        2 => at.clone().prop_map(Step::Started),
        2 => at.clone().prop_map(Step::Ended),
        2 => at.prop_map(Step::LeftoversEnded),
        2 => host.clone().prop_map(Step::Welcome),
        2 => host.clone().prop_map(Step::LinkUp),
        1 => host.clone().prop_map(Step::LinkDown),
        2 => (0..15_u64).prop_map(Step::Wait),
        1 => (host, -40..40_i64).prop_map(|(host, by)| Step::SetWall(host, by)),
        1 => (0..15_u64).prop_map(Step::Stall),
    ]
}

/// What the store has of one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Of(usize, Nonce),
    Void,
}

struct Play {
    hosts: Vec<World>,
    orders: Vec<Order>,
    claims: BTreeMap<(JobId, Option<usize>), Claim>,
    cancelled: BTreeSet<JobId>,
    requests: Vec<(usize, ClaimRequest)>,
    answers: Vec<(usize, Event)>,
    /// Where a `yours` of the store's arrived.
    granted: BTreeSet<(usize, JobId)>,
    started: BTreeSet<(usize, JobId)>,
    told: BTreeMap<(usize, JobId), Digest>,
}

impl Play {
    fn new() -> Self {
        let mut hosts: Vec<_> = ["a", "b", "c"]
            .map(|name| World::named(name, |config| (config.slots, config.queue) = (1, 2)))
            .into();
        let identities: Vec<_> = hosts.iter().map(World::identity).collect();
        for host in &mut hosts {
            (host.hosts, host.syncs_at_once) = (identities.clone(), false);
        }
        let rules = [ClaimRule::Job, ClaimRule::Host].into_iter().cycle();
        let orders = (0..JOBS_IN_PLAY as u64).zip(rules).map(|(n, rule)| Order {
            not_after: START + s(20 + 12 * n),
            ..hosts[0].order_with(rule)
        });
        let mut play = Self {
            orders: orders.collect(),
            hosts,
            claims: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            requests: Vec::new(),
            answers: Vec::new(),
            granted: BTreeSet::new(),
            started: BTreeSet::new(),
            told: BTreeMap::new(),
        };
        for host in 0..HOSTS {
            play.connect(host);
        }
        play
    }

    /// The controllers' clock, which goes with the time since boot.
    fn server(&self) -> Timestamp {
        START + (self.hosts[0].now.boottime - s(1000))
    }

    fn order(&self, job: JobId) -> &Order {
        self.orders.iter().find(|order| order.job == job).unwrap()
    }

    /// Which claim the host needs for the job.
    fn key(&self, host: usize, job: JobId) -> (JobId, Option<usize>) {
        (job, (self.order(job).claim == ClaimRule::Host).then_some(host))
    }

    fn holds(&self, host: usize, job: JobId) -> bool {
        matches!(self.claims.get(&self.key(host, job)), Some(Claim::Of(holder, _)) if *holder == host)
    }

    fn tell(&mut self, host: usize, event: Event) {
        for action in self.hosts[host].tell(event) {
            self.check(host, &action);
        }
    }

    fn check(&mut self, host: usize, action: &Action) {
        match action {
            Action::Start(task) => self.check_start(host, task.job),
            Action::SendReport(job) => self.check_report(host, *job),
            Action::Send(FromAgent::Claim(_)) => {
                let request = claims(std::slice::from_ref(action)).remove(0);
                let entries = self.hosts[host].entries();
                let (_, record) = entries.iter().find(|(known, _)| *known == request.job).unwrap();
                assert_eq!(record.nonce, Some(request.nonce), "asked before that is synced");
                self.requests.push((host, request));
            }
            _ => {}
        }
    }

    fn check_start(&mut self, host: usize, job: JobId) {
        assert!(self.started.insert((host, job)), "it starts twice on one host");
        let elsewhere = self.started.iter().any(|(other, known)| *known == job && *other != host);
        let is_shared = self.order(job).claim == ClaimRule::Job;
        assert!(!(is_shared && elsewhere), "it starts on two hosts");
        assert!(self.holds(host, job), "it starts without the claim");
        assert!(self.granted.contains(&(host, job)), "it starts before it was told");
        let not_after = self.order(job).not_after;
        assert!(self.hosts[host].now.wall < not_after, "late by its own clock");
        assert!(self.server() < not_after, "late by the server's clock");
        let entries = self.hosts[host].entries();
        let (_, record) = entries.iter().find(|(known, _)| *known == job).unwrap();
        assert_eq!(record.stage, Stage::Starting, "it starts before that is synced");
    }

    fn check_report(&mut self, host: usize, job: JobId) {
        let world = &self.hosts[host];
        let entries = world.entries();
        let (_, record) = entries.iter().find(|(known, _)| *known == job).unwrap();
        // Of a job that was never seen, only its cancel, nobody knows that it needs a claim.
        let is_barred = record.body.is_none();
        assert!(is_barred || self.holds(host, job), "a report without the claim");
        let (signed, outcome) = (world.signed_report(job), world.outcome(job));
        let first = *self.told.entry((host, job)).or_insert_with(|| signed.digest());
        assert_eq!(first, signed.digest(), "two different reports");
        let has_started = self.started.contains(&(host, job));
        let ran = matches!(outcome, Outcome::Exited { .. });
        assert!(!ran || has_started, "an outcome of what never started");
        let never_ran = matches!(outcome, Outcome::Expired | Outcome::Rejected(_));
        assert!(!never_ran || !has_started, "it ran, and is said not to have");
    }

    fn connect(&mut self, host: usize) {
        self.tell(host, Event::LinkUp);
        self.welcome(host);
        self.sync(host, 9);
    }

    fn welcome(&mut self, host: usize) {
        let wall = self.server();
        let welcome = self.hosts[host].welcome_with(1, |welcome| welcome.wall = wall);
        self.tell(host, welcome);
    }

    fn sync(&mut self, host: usize, count: usize) {
        for _ in 0..count {
            let world = &mut self.hosts[host];
            let Some((id, changes)) = world.pending.pop_front() else { return };
            let event = match world.journal.commit(changes).now_or_never().unwrap() {
                Ok(()) => Event::Committed(id),
                Err(err) => Event::CommitFailed(id, err.to_string()),
            };
            self.tell(host, event);
        }
    }

    fn crash(&mut self, host: usize, synced: usize) {
        let world = &mut self.hosts[host];
        for (_, changes) in world.pending.drain(..).take(synced) {
            drop(world.journal.commit(changes).now_or_never());
        }
        for action in world.crash() {
            self.check(host, &action);
        }
    }

    /// The store decides once, as a controller would have it at that moment.
    fn ask(&mut self, n: usize) {
        if self.requests.is_empty() {
            return;
        }
        let (host, request) = self.requests[n % self.requests.len()].clone();
        let (job, nonce) = (request.job, request.nonce);
        let is_over = self.cancelled.contains(&job) || self.server() >= self.order(job).not_after;
        let fresh = if is_over { Claim::Void } else { Claim::Of(host, nonce) };
        let claim = *self.claims.entry(self.key(host, job)).or_insert(fresh);
        let kind = match claim == Claim::Of(host, nonce) {
            true => AnswerKind::Yours(nonce),
            false => AnswerKind::Void(nonce),
        };
        let world = &self.hosts[host];
        self.answers.push((host, world.answer_by(&JOBS, world.identity(), job, kind)));
    }

    fn answer(&mut self, n: usize) {
        if self.answers.is_empty() {
            return;
        }
        let (host, answer) = self.answers[n % self.answers.len()].clone();
        if let Event::Message(ToAgent::Answer(signed)) = &answer {
            let body = signed.verify(&JOBS.public()).unwrap();
            if matches!(body.kind, AnswerKind::Yours(_)) {
                self.granted.insert((host, body.job));
            }
        }
        self.tell(host, answer);
    }

    fn forge(&mut self, (host, n): At) {
        let (job, world) = (self.orders[n].job, &self.hosts[host]);
        let known = world.entries().into_iter().find(|(known, _)| *known == job);
        let nonce = known.and_then(|(_, record)| record.nonce).unwrap_or_else(Nonce::random);
        let me = world.identity();
        let forged = [
            world.answer_by(&STRANGER, me.clone(), job, AnswerKind::Yours(nonce)),
            world.answer_by(&JOBS, me.clone(), job, AnswerKind::Yours(Nonce::random())),
            world.answer_by(&JOBS, me, job, AnswerKind::Void(Nonce::random())),
        ];
        for answer in forged {
            self.tell(host, answer);
        }
    }

    fn pass(&mut self, boot: Duration, wall: Duration) {
        for host in 0..HOSTS {
            self.hosts[host].now.boottime += boot;
            self.hosts[host].now.wall = self.hosts[host].now.wall + wall;
        }
        for host in 0..HOSTS {
            self.tell(host, Event::Due);
        }
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Deliver((host, n)) => {
                let order = self.hosts[host].dispatch(&self.orders[n]);
                self.tell(host, order);
            }
            Step::Cancel((host, n)) => {
                self.cancelled.insert(self.orders[n].job);
                let cancel = self.hosts[host].cancel(&self.orders[n]);
                self.tell(host, cancel);
            }
            Step::Ask(n) => self.ask(n),
            Step::Answer(n) => self.answer(n),
            Step::Misdeliver(n, host) => {
                if !self.answers.is_empty() {
                    let (to, answer) = self.answers[n % self.answers.len()].clone();
                    if to != host {
                        self.tell(host, answer);
                    }
                }
            }
            Step::Forge(at) => self.forge(at),
            Step::Stored((host, n)) => self.stored(host, self.orders[n].job),
            Step::Sync(host, count) => self.sync(host, count),
            Step::Crash(host, synced) => self.crash(host, synced),
            Step::Fail(host) => self.hosts[host].journal.fail(),
            Step::Started((host, n)) => {
                let (job, detail) = (self.orders[n].job, serde_json::Value::Null);
                self.tell(host, Event::Started { job, handle: Handle { job, detail } });
            }
            Step::Ended((host, n)) => self.ended(host, self.orders[n].job),
            Step::LeftoversEnded((host, n)) => {
                let job = self.orders[n].job;
                self.tell(host, Event::LeftoversEnded { job, result: Ok(()) });
            }
            Step::Welcome(host) => self.welcome(host),
            Step::LinkUp(host) => self.tell(host, Event::LinkUp),
            Step::LinkDown(host) => self.tell(host, Event::LinkDown),
            Step::Wait(seconds) => self.pass(s(seconds), s(seconds)),
            Step::SetWall(host, by) => {
                let now = self.hosts[host].now.wall;
                let set = s(by.unsigned_abs());
                self.hosts[host].now.wall = if by < 0 { now - set } else { now + set };
                self.tell(host, Event::Due);
            }
            Step::Stall(seconds) => self.pass(s(seconds), Duration::ZERO),
        }
    }

    fn ended(&mut self, host: usize, job: JobId) {
        let (outcome, output) = (Outcome::Exited { code: 0 }, Output::empty());
        let finished = Finished { outcome, duration: s(1), output };
        self.tell(host, Event::Ended { job, finished });
    }

    fn stored(&mut self, host: usize, job: JobId) {
        if let Some(digest) = self.told.get(&(host, job)).copied() {
            let world = &self.hosts[host];
            let kind = AnswerKind::Stored(digest);
            let answer = world.answer_by(&JOBS, world.identity(), job, kind);
            self.tell(host, answer);
        }
    }

    /// Nothing more goes wrong: every claim that was granted ends in a report of its holder, and nobody goes on asking.
    fn settle(&mut self) {
        for host in 0..HOSTS {
            self.crash(host, 0);
            self.connect(host);
        }
        for _ in 0..12 {
            for n in 0..self.requests.len() {
                self.ask(n);
            }
            for n in 0..self.answers.len() {
                self.answer(n);
            }
            self.requests.clear();
            self.answers.clear();
            for at in (0..HOSTS).flat_map(|host| (0..JOBS_IN_PLAY).map(move |n| (host, n))) {
                self.sync(at.0, 99);
                self.play(&Step::LeftoversEnded(at));
                self.play(&Step::Ended(at));
                self.sync(at.0, 99);
            }
            self.pass(s(30), s(30));
        }
        assert!(self.requests.is_empty(), "still asking: {:?}", self.requests);
        for ((job, _), claim) in &self.claims {
            if let Claim::Of(host, _) = claim {
                assert!(self.told.contains_key(&(*host, *job)), "a claim without a report");
            }
        }
        for at in &self.started {
            assert!(self.told.contains_key(at), "an execution without a report");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn of_all_hosts_that_may_claim_a_job_one_starts_it_once_in_time_and_reports_it(
        steps in prop::collection::vec(step(), 1..160)
    ) {
        let mut play = Play::new();
        for step in &steps {
            play.play(step);
        }
        play.settle();
    }
}
