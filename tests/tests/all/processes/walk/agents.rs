//! Agents that crash at every point, side by side in the same jobs, while the broker is killed too.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::crash::{Place, Point, Side};
use osapi_tests::NatsServer;
use serde_json::Value;

use super::crash::{Crash, program};
use super::journal::{is_unclaimed, stages};
use super::paths::{never_runs, once, paths, stages_at};
use super::{AGAIN, LARGE};
use crate::processes::Chance;
use crate::processes::fleet::{Fleet, Host, Server};
use crate::processes::ledger::Ledger;
use crate::processes::marks::Marks;
use crate::world::{Machine, until};

const HOSTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
/// How often every point is walked.
const ROUNDS: usize = 3;
/// Clients that ask for jobs of all hosts meanwhile.
const CLIENTS: usize = 2;
/// Between two crashes of the broker, in milliseconds.
const BROKER_MIN_MS: usize = 4_000;
const BROKER_SPREAD_MS: usize = 6_000;
const SEED: u64 = 20_261_126;

/// What all who walk share.
struct Walk<'a> {
    ledger: Ledger<'a>,
    marks: &'a Marks,
    machine: &'a Machine,
    server: &'a Server,
    /// It is not killed while somebody holds it.
    broker: Mutex<&'a mut NatsServer>,
    /// How many still walk.
    walking: AtomicUsize,
}

/// One agent on its way.
struct Walker<'a> {
    walk: &'a Walk<'a>,
    name: &'static str,
    host: &'a mut Host,
    chance: Chance,
    crashes: BTreeMap<Point, usize>,
}

impl Walker<'_> {
    /// Crashes at one point after the other.
    fn walk(&mut self, path: &[Point], pass: usize) {
        let mut job = None;
        for point in path {
            self.prepare(*point, job.as_deref());
            job = until(&format!("{} crashes at {point} with such a job", self.name), || {
                self.host.start_by(program("osapi-agent", *point, pass));
                let Crash { job, .. } = self.until_crashed(*point);
                self.leads_on(*point, job.as_deref()).then_some(job)
            });
        }
    }

    /// Whether a crash at this point with this job leads to the next one of its path: a claim that was not asked for yet can be made void.
    fn leads_on(&self, point: Point, job: Option<&str>) -> bool {
        let is_unclaimed = |job| is_unclaimed(&self.host.data_dir, job);
        point != Place::Accepted.after() || job.is_some_and(is_unclaimed)
    }

    /// Brings about, while the agent is dead, that it passes the point. `job` is the one with which it crashed before.
    fn prepare(&mut self, point: Point, job: Option<&str>) {
        match (point.place, point.side) {
            (Place::Closed, Side::Before) => {
                let job = job.expect("it was accepted before");
                self.walk.ledger.cancel(job, None, &mut self.chance);
            }
            (Place::Barred, Side::Before) => {
                let job = self.ask("", &self.walk.marks.command());
                self.walk.ledger.cancel(&job, None, &mut self.chance);
            }
            (Place::RingSeen, Side::Before) => {
                let broker = self.walk.broker.lock().expect("nobody panics with it");
                self.walk.server.osapi(self.walk.machine, ["key", "rotate"]).run().exits(0);
                drop(broker);
            }
            _ => {}
        }
    }

    fn until_crashed(&mut self, point: Point) -> Crash {
        let mut next = SystemClock.boottime();
        until(&format!("{} crashes at {point}", self.name), || {
            if SystemClock.boottime() >= next && !self.host.has_ended() {
                self.provoke(point);
                next = SystemClock.boottime() + AGAIN;
            }
            self.host.has_ended().then_some(())
        });
        let crash = Crash::of(self.host.ended());
        assert_eq!(crash.point, point);
        self.note(&crash);
        crash
    }

    /// Asks for a job by which the agent comes to this point.
    fn provoke(&mut self, point: Point) {
        let marks = self.walk.marks;
        match (point.place, point.side) {
            // It is to be over soon.
            (Place::Accepted, Side::After) => self.ask("&queue_for=2", &marks.command()),
            (Place::Accepted | Place::ClaimRequest, _) => {
                self.ask("&queue_for=20", &marks.command())
            }
            (Place::OutputChunk, _) => self.ask("", &marks.large_command(LARGE)),
            (Place::Forgotten, _) => return,
            _ => self.ask("", &marks.long_command("0.3")),
        };
    }

    fn ask(&mut self, more: &str, body: &Value) -> String {
        let path = format!("/v1/node/{}/command/exec?wait=0{more}", self.name);
        self.walk.ledger.ask(&path, body, None, &mut self.chance)
    }

    /// Writes down what the crash makes true, as the journal has it.
    fn note(&mut self, crash: &Crash) {
        let Crash { point, job } = crash;
        let (ledger, stages) = (&self.walk.ledger, stages(&self.host.data_dir));
        for (job, _) in stages.iter().filter(|(_, stage)| stage.is_lost()) {
            ledger.is_lost(job, self.name);
        }
        if let (Some(job), Some(expected)) = (job, stages_at(*point)) {
            let stage = stages.get(job).copied();
            assert!(expected.contains(&stage), "{point}: {stage:?} of {job} on {}", self.name);
        }
        if let Some(job) = job.as_ref().filter(|_| never_runs(*point)) {
            ledger.never_runs(job, self.name);
        }
        *self.crashes.entry(*point).or_default() += 1;
    }
}

/// Counts down when a walker is done, also if it fails.
struct Walking<'a>(&'a AtomicUsize);

impl Drop for Walking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Walk<'_> {
    /// Asks for jobs of all hosts as long as somebody walks, and cancels some.
    fn ask_for_jobs(&self, client: usize, is_over: &AtomicBool) {
        let mut chance = Chance::of(SEED + client as u64);
        while !is_over.load(Ordering::Relaxed) {
            let (target, more) =
                [("_all", ""), ("_any", ""), ("_any", ""), ("_all", "&queue_for=20")]
                    [chance.below(4)];
            let path = format!("/v1/node/{target}/command/exec?wait=0{more}");
            let command = self.marks.long_command("0.2");
            let job = self.ledger.ask(&path, &command, None, &mut chance);
            pause(200 + chance.below(600));
            if chance.below(4) == 0 {
                self.ledger.cancel(&job, None, &mut chance);
            }
        }
    }

    /// Kills the broker now and then, as long as somebody walks.
    fn kill_the_broker(&self) -> usize {
        let (mut chance, mut crashes) = (Chance::of(SEED), 0);
        loop {
            let next = pause_until(BROKER_MIN_MS + chance.below(BROKER_SPREAD_MS));
            let is_due = until("it is time, or over", || match self.walking() {
                0 => Some(false),
                _ => (SystemClock.boottime() >= next).then_some(true),
            });
            if !is_due {
                return crashes;
            }
            self.broker.lock().expect("nobody panics with it").restart();
            crashes += 1;
        }
    }

    fn walking(&self) -> usize {
        self.walking.load(Ordering::Relaxed)
    }
}

fn pause(millis: usize) {
    let next = pause_until(millis);
    until("the next request is due", || (SystemClock.boottime() >= next).then_some(()));
}

fn pause_until(millis: usize) -> Duration {
    SystemClock.boottime() + Duration::from_millis(millis as u64)
}

/// What each host walks, with the pass of the point at which it crashes: every path, in every round, on some host.
fn ways(chance: &mut Chance) -> Vec<Vec<(Vec<Point>, usize)>> {
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        for path in paths() {
            // Who is let in at once asks only once.
            let is_repeated = path.len() == 1 && path[0].place != Place::Registration;
            let pass = if is_repeated && round > 0 { 1 + chance.below(3) } else { 1 };
            all.insert(chance.below(all.len() + 1), (path, pass));
        }
    }
    let mut ways: Vec<Vec<_>> = HOSTS.iter().map(|_| Vec::new()).collect();
    all.into_iter().enumerate().for_each(|(n, path)| ways[n % HOSTS.len()].push(path));
    for path in once() {
        ways[0].push((path, 1));
    }
    ways
}

#[test]
fn agents_that_crash_at_every_point_start_nothing_twice_or_late_and_lose_only_what_was_started() {
    let mut fleet = Fleet::start(2, &HOSTS);
    let apis = fleet.apis();
    let mut chance = Chance::of(SEED);
    let ways = ways(&mut chance);
    let Fleet { servers, hosts, marks, broker, machine } = &mut fleet;
    let walk = Walk {
        ledger: Ledger::new(&apis),
        marks,
        machine,
        server: &servers[0],
        broker: Mutex::new(broker),
        walking: AtomicUsize::new(HOSTS.len()),
    };
    let mut walkers: Vec<_> = hosts
        .iter_mut()
        .zip(HOSTS)
        .map(|(host, name)| {
            host.kill();
            let chance = Chance::of(chance.below(usize::MAX) as u64);
            Walker { walk: &walk, name, host, chance, crashes: BTreeMap::new() }
        })
        .collect();
    // What is to be forgotten in this test has to be closed before all else.
    walkers[0].walk(&[Place::Accepted.after(), Place::Closed.before(), Place::Closed.after()], 1);
    let (is_over, begin) = (AtomicBool::new(false), SystemClock.boottime());
    let (crashes, broker_crashes) = thread::scope(|scope| {
        let walking: Vec<_> = walkers
            .into_iter()
            .zip(ways)
            .map(|(mut walker, way)| {
                let walking = Walking(&walk.walking);
                scope.spawn(move || {
                    way.into_iter().for_each(|(path, pass)| walker.walk(&path, pass));
                    drop(walking);
                    walker.host.start();
                    walker.host.until_ready();
                    walker.crashes
                })
            })
            .collect();
        for client in 0..CLIENTS {
            let (walk, is_over) = (&walk, &is_over);
            scope.spawn(move || walk.ask_for_jobs(client, is_over));
        }
        let broker_crashes = walk.kill_the_broker();
        is_over.store(true, Ordering::Relaxed);
        let crashes = walking.into_iter().flat_map(|walker| walker.join().expect("it walked"));
        (crashes.collect::<Vec<_>>(), broker_crashes)
    });
    let walked = SystemClock.boottime().saturating_sub(begin);
    let shown = walk.ledger.check(|| marks.starts());
    eprintln!(
        "{} crashes of agents, {broker_crashes} of the broker, {} jobs, in {walked:.1?}",
        crashes.iter().map(|(_, times)| times).sum::<usize>(),
        shown.len()
    );
    let missed: Vec<_> = Point::of(&Place::AGENT)
        .into_iter()
        .filter(|point| !crashes.iter().any(|(walked, _)| walked == point))
        .collect();
    assert_eq!(missed, [], "points that nobody passed");
    assert!(broker_crashes >= 2, "the broker was killed {broker_crashes} times");
}
