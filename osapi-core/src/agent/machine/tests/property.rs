//! Whatever is delivered, repeated, cancelled, lost in a crash, and whatever the clocks do: the promises hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::super::{Action, Event};
use super::world::*;
use crate::agent::journal::{Journal, Stage};
use crate::clock::Timestamp;
use crate::id::{Digest, JobId};
use crate::job::Outcome;
use crate::message::ToAgent;
use crate::message::order::{AnswerKind, Order};

/// Jobs in play: the last of them only ever comes with a forged order.
const JOBS_IN_PLAY: usize = 5;
const FORGED: usize = JOBS_IN_PLAY - 1;

#[derive(Debug, Clone)]
enum Step {
    Deliver(usize),
    /// The same job with another operation.
    DeliverOther(usize),
    Cancel(usize),
    /// So many of the commits under way are synced, and told.
    Sync(usize),
    /// So many of them are synced, then the process dies.
    Crash(usize),
    /// The next commit fails, and the process dies some time later.
    Fail,
    Started(usize),
    Ended(usize),
    LeftoversEnded(usize),
    Answer(usize),
    Welcome,
    LinkUp,
    LinkDown,
    /// Time passes on both clocks.
    Wait(u64),
    /// The agent's wall clock is set by that many seconds.
    SetWall(i64),
    /// The agent's wall clock stands still while time passes.
    Stall(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let job = 0..JOBS_IN_PLAY;
    let honest = 0..FORGED;
    prop_oneof![
        6 => job.clone().prop_map(Step::Deliver),
        1 => job.clone().prop_map(Step::DeliverOther),
        1 => honest.prop_map(Step::Cancel),
        6 => (1..4_usize).prop_map(Step::Sync),
        1 => (0..3_usize).prop_map(Step::Crash),
        1 => Just(Step::Fail),
        2 => job.clone().prop_map(Step::Started),
        2 => job.clone().prop_map(Step::Ended),
        2 => job.clone().prop_map(Step::LeftoversEnded),
        2 => job.prop_map(Step::Answer),
        2 => Just(Step::Welcome),
        2 => Just(Step::LinkUp),
        1 => Just(Step::LinkDown),
        2 => (0..25_u64).prop_map(Step::Wait),
        1 => (-40..40_i64).prop_map(Step::SetWall),
        1 => (0..25_u64).prop_map(Step::Stall),
    ]
}

struct Play {
    world: World,
    orders: Vec<Order>,
    started: BTreeSet<JobId>,
    told: BTreeMap<JobId, Digest>,
}

impl Play {
    fn new() -> Self {
        let mut world = World::with(|config| config.slots = 1);
        world.syncs_at_once = false;
        let mut orders: Vec<_> = (0..JOBS_IN_PLAY).map(|_| world.order()).collect();
        for (n, order) in orders.iter_mut().enumerate() {
            order.not_after = START + s(20 + 15 * n as u64);
        }
        let (started, told) = (BTreeSet::new(), BTreeMap::new());
        let mut play = Self { world, orders, started, told };
        play.tell(Event::LinkUp);
        play.welcome();
        play.sync(1);
        play
    }

    /// The controllers' clock, which goes with the time since boot.
    fn server(&self) -> Timestamp {
        START + (self.world.now.boottime - s(1000))
    }

    fn tell(&mut self, event: Event) {
        let actions = self.world.tell(event);
        for action in &actions {
            match action {
                Action::Start(task) => self.check_start(task.job),
                Action::SendReport(job) => self.check_report(*job),
                _ => {}
            }
        }
    }

    fn check_start(&mut self, job: JobId) {
        assert!(self.started.insert(job), "it starts twice");
        let n = self.orders.iter().position(|order| order.job == job).unwrap();
        assert_ne!(n, FORGED, "a forged order starts");
        assert!(self.world.now.wall < self.orders[n].not_after, "late by its own clock");
        assert!(self.server() < self.orders[n].not_after, "late by the server's clock");
        let entries = self.world.entries();
        let (_, record) = entries.iter().find(|(known, _)| *known == job).unwrap();
        assert_eq!(record.stage, Stage::Starting, "it starts before that is synced");
    }

    fn check_report(&mut self, job: JobId) {
        assert_ne!(job, self.orders[FORGED].job, "a forged order is reported");
        let signed = self.world.signed_report(job);
        let first = *self.told.entry(job).or_insert_with(|| signed.digest());
        assert_eq!(first, signed.digest(), "two different reports");
        let outcome = self.world.outcome(job);
        let ran = matches!(outcome, Outcome::Exited { .. });
        assert!(!ran || self.started.contains(&job), "an outcome of what never started");
        let never_ran = matches!(outcome, Outcome::Expired | Outcome::Rejected(_));
        assert!(!never_ran || !self.started.contains(&job), "it ran, and is said not to have");
    }

    fn welcome(&mut self) {
        let wall = self.server();
        let welcome = self.world.welcome_with(1, |welcome| {
            welcome.wall = wall;
            welcome.retention_s = 5;
        });
        self.tell(welcome);
    }

    fn sync(&mut self, count: usize) {
        for _ in 0..count {
            let Some((id, changes)) = self.world.pending.pop_front() else { return };
            match self.world.journal.commit(changes).now_or_never().unwrap() {
                Ok(()) => self.tell(Event::Committed(id)),
                Err(err) => self.tell(Event::CommitFailed(id, err.to_string())),
            }
        }
    }

    fn crash(&mut self, synced: usize) {
        for (_, changes) in self.world.pending.drain(..).take(synced) {
            // The last words before the crash were kept or not, and nobody was told.
            drop(self.world.journal.commit(changes).now_or_never());
        }
        for action in self.world.crash() {
            assert!(!matches!(action, Action::Start(_)), "without a welcome");
        }
    }

    fn deliver(&mut self, n: usize, is_other: bool) {
        let mut order = self.orders[n].clone();
        if is_other {
            order.wave = 1;
        }
        let key = if n == FORGED { &STRANGER } else { &JOBS };
        let event = self.world.dispatch_signed(signed(&order, key));
        self.tell(event);
    }

    fn answer(&mut self, n: usize) {
        let job = self.orders[n].job;
        if let Some(digest) = self.told.get(&job).copied() {
            let me = self.world.identity();
            let answer = self.world.answer_by(&JOBS, me, job, AnswerKind::Stored(digest));
            assert!(matches!(answer, Event::Message(ToAgent::Answer(_))));
            self.tell(answer);
        }
    }

    fn pass(&mut self, boot: Duration, wall: i64) {
        self.world.now.boottime += boot;
        let by = s(wall.unsigned_abs());
        let now = self.world.now.wall;
        self.world.now.wall = if wall < 0 { now - by } else { now + by };
        self.tell(Event::Due);
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Deliver(n) => self.deliver(n, false),
            Step::DeliverOther(n) => self.deliver(n, true),
            Step::Cancel(n) => {
                let cancel = self.world.cancel(&self.orders[n]);
                self.tell(cancel);
            }
            Step::Sync(count) => self.sync(count),
            Step::Crash(synced) => self.crash(synced),
            Step::Fail => self.world.journal.fail(),
            Step::Started(n) => {
                let job = self.orders[n].job;
                let detail = serde_json::Value::Null;
                let handle = crate::executor::Handle { job, detail };
                self.tell(Event::Started { job, handle });
            }
            Step::Ended(n) => {
                let (job, outcome) = (self.orders[n].job, Outcome::Exited { code: 0 });
                let output = super::super::Output::empty();
                let finished = super::super::Finished { outcome, duration: s(1), output };
                self.tell(Event::Ended { job, finished });
            }
            Step::LeftoversEnded(n) => {
                let job = self.orders[n].job;
                self.tell(Event::LeftoversEnded { job, result: Ok(()) });
            }
            Step::Answer(n) => self.answer(n),
            Step::Welcome => self.welcome(),
            Step::LinkUp => self.tell(Event::LinkUp),
            Step::LinkDown => self.tell(Event::LinkDown),
            Step::Wait(seconds) => self.pass(s(seconds), seconds.cast_signed()),
            Step::SetWall(seconds) => self.pass(Duration::ZERO, seconds),
            Step::Stall(seconds) => self.pass(s(seconds), 0),
        }
    }

    /// Nothing more goes wrong: everything that was started is reported in the end, and nothing is left to do.
    fn settle(&mut self) {
        self.crash(0);
        self.tell(Event::LinkUp);
        self.welcome();
        for _ in 0..4 {
            for n in 0..JOBS_IN_PLAY {
                self.play(&Step::LeftoversEnded(n));
                self.play(&Step::Ended(n));
                self.sync(9);
            }
            self.pass(s(30), 30);
            self.sync(9);
        }
        for job in self.started.clone() {
            let is_forgotten = !self.world.entries().iter().any(|(known, _)| *known == job);
            assert!(self.told.contains_key(&job), "an execution without a report");
            assert!(
                is_forgotten
                    || matches!(self.world.outcome(job), Outcome::Exited { .. } | Outcome::Lost)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_job_starts_once_in_time_and_after_its_sync_and_its_report_never_changes(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let mut play = Play::new();
        for step in &steps {
            play.play(step);
        }
        play.settle();
    }
}
