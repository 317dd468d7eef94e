//! API servers that crash at every point: whoever asked one of them asks the other, and nothing is missing, done twice or lost.

use std::fs;

use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::crash::{Place, Point, Side};
use serde_json::{Value, json};

use super::crash::{Crash, program};
use super::journal::stages;
use super::liar::Liar;
use super::{AGAIN, LARGE};
use crate::processes::Chance;
use crate::processes::clients::settled;
use crate::processes::fleet::{Fleet, Host, Server};
use crate::processes::ledger::Ledger;
use crate::processes::marks::Marks;
use crate::world::{Api, Invocation, Machine, built, until};

/// Hosts that work, and three that are brought into what is rare.
const HOSTS: [&str; 6] = ["a", "b", "c", "late", "away", "removed"];
const WORKERS: &str = "a,b,c";
/// Their places: one whose labels change, one whose claims are void, one that comes back when its job is gone, and one that is no member
/// any more.
const LABELLED: usize = 2;
const LATE: usize = 3;
const AWAY: usize = 4;
const REMOVED: usize = 5;
/// What decides is walked once more, by another server and at another job.
const AGAIN_AT: [Place; 4] =
    [Place::WriteReservation, Place::WriteJob, Place::WriteClaim, Place::WriteReports];
const SEED: u64 = 20_261_127;

struct Walk<'a> {
    ledger: Ledger<'a>,
    apis: &'a [Api],
    servers: &'a mut [Server],
    hosts: &'a mut [Host],
    liar: Liar,
    marks: &'a Marks,
    machine: &'a Machine,
    chance: Chance,
    /// The server that crashes. The other one is there for whoever asks again.
    armed: usize,
    labels: usize,
    crashes: usize,
    /// What ran on the host that is away; it ends as `no_answer`.
    unanswered: String,
}

impl Walk<'_> {
    /// Lets the armed server crash at one point after the other, each at this pass.
    fn walk(&mut self, points: &[Point], pass: usize) {
        self.servers[self.armed].kill();
        for point in points {
            self.servers[self.armed].start_by(program("osapi-server", *point, pass));
            self.prepare(*point);
            self.until_crashed(*point);
            let crash = Crash::of(self.servers[self.armed].ended());
            assert_eq!(crash.point, *point);
            self.crashes += 1;
            self.clean_up(*point);
        }
        self.servers[self.armed].restart();
    }

    fn until_crashed(&mut self, point: Point) {
        let mut next = SystemClock.boottime();
        until(&format!("server {} crashes at {point}", self.armed), || {
            let server = &mut self.servers[self.armed];
            if server.has_ended() {
                return Some(());
            }
            let is_ready = server.said().contains("ready: the store was read");
            if is_ready && SystemClock.boottime() >= next {
                self.provoke(point.place);
                next = SystemClock.boottime() + AGAIN;
            }
            None
        });
    }

    /// Does what makes the armed server come to this place; what it does not answer, the other one is asked.
    fn provoke(&mut self, place: Place) {
        let marks = self.marks;
        match place {
            Place::WriteCancel | Place::Cancel => {
                let job = self.ask("a", "", &marks.long_command("20"));
                self.ledger.cancel(&job, Some(self.armed), &mut self.chance);
            }
            Place::WriteClaim | Place::Yours => {
                self.ask(WORKERS, "&queue_for=20", &marks.command());
            }
            Place::WriteOutput | Place::OutputSettled => {
                self.ask(WORKERS, "", &marks.large_command(LARGE));
            }
            // Who starts is welcomed by whoever hears of it, besides.
            Place::WriteAgent | Place::Welcome => self.change_labels(),
            Place::WriteRemoval | Place::Purge => {
                let job = self.ask("a", "", &marks.command());
                settled(&self.apis[1 - self.armed], &job);
                self.ledger.remove(&job, self.armed, &mut self.chance);
            }
            Place::WriteRing => self.rotate(),
            Place::Refused => {
                // Whoever hears of it keeps it out.
                self.hosts[REMOVED].kill();
                self.hosts[REMOVED].start();
            }
            Place::Conflict => {
                let job = self.ask("a", "", &marks.command());
                self.liar.report(&job);
            }
            // These come by themselves, once the rare host is back.
            Place::Void | Place::Gone => {}
            _ => {
                self.ask(WORKERS, "", &marks.command());
            }
        }
    }

    fn ask(&mut self, target: &str, more: &str, body: &Value) -> String {
        let path = format!("/v1/node/{target}/command/exec?wait=0{more}");
        self.ledger.ask(&path, body, Some(self.armed), &mut self.chance)
    }

    /// Brings the rare hosts back to the armed server alone.
    fn prepare(&mut self, point: Point) {
        match (point.place, point.side) {
            (Place::Void, _) => {
                self.accept_too_late();
                self.servers[1 - self.armed].kill();
                self.hosts[LATE].start();
            }
            (Place::Gone, Side::Before) => {
                self.ledger.remove(&self.unanswered, 1 - self.armed, &mut self.chance);
                self.servers[1 - self.armed].kill();
                self.hosts[AWAY].start();
            }
            _ => {}
        }
    }

    /// Starts the other server again, once it cannot answer in the place of the armed one.
    fn clean_up(&mut self, point: Point) {
        if matches!((point.place, point.side), (Place::Void, _) | (Place::Gone, Side::After)) {
            self.servers[1 - self.armed].restart();
        }
    }

    /// Has a host accept a job that is then cancelled, before the host asks for its claim.
    fn accept_too_late(&mut self) {
        if !self.hosts[LATE].is_down() {
            self.kill_host(LATE);
        }
        self.hosts[LATE].start_by(program("osapi-agent", Place::Accepted.after(), 1));
        let job = self.ask("late", "&queue_for=20", &self.marks.command());
        until("it is accepted", || self.hosts[LATE].has_ended().then_some(()));
        let crash = Crash::of(self.hosts[LATE].ended());
        assert_eq!(crash.job.as_deref(), Some(&*job));
        self.ledger.cancel(&job, None, &mut self.chance);
    }

    /// Starts a job on a host that crashes, and is away until the job is not waited for any more.
    fn go_away(&mut self) {
        let path = "/v1/node/away/command/exec?wait=0";
        let body = json!({ "command": "sleep", "args": ["60"], "timeout": 1 });
        self.unanswered = self.ledger.ask(path, &body, None, &mut self.chance);
        let (host, job) = (&mut self.hosts[AWAY], &self.unanswered);
        until("it runs", || {
            let shown = self.apis[0].get(&format!("/v1/jobs/{job}")).is(200).json();
            (shown["results"][0]["status"] == "running").then_some(())
        });
        host.kill();
        let stage = stages(&host.data_dir).remove(job);
        assert!(stage.is_some_and(|stage| stage.is_lost()), "{stage:?}");
    }

    /// Ends a host's agent as a crash does, and writes down what that makes true.
    fn kill_host(&mut self, place: usize) {
        let host = &mut self.hosts[place];
        host.kill();
        for (job, _) in stages(&host.data_dir).iter().filter(|(_, stage)| stage.is_lost()) {
            self.ledger.is_lost(job, HOSTS[place]);
        }
    }

    /// Has a host register anew, until the armed server crashes by it.
    fn change_labels(&mut self) {
        self.labels += 1;
        let file = self.machine.tmp().join("labelled.yaml");
        let text = format!("agent: {{labels: {{n: \"{}\"}}}}\n", self.labels);
        fs::write(&file, text).expect("the directory is there");
        self.kill_host(LABELLED);
        let host = &mut self.hosts[LABELLED];
        let agent = Invocation::new(built("osapi-agent"));
        host.start_by(agent.args(["-f".as_ref(), file.as_os_str()]));
        host.until_ready();
    }

    /// Rotates the job key at the armed server; what that has left undone is done at the other one.
    fn rotate(&mut self) {
        let at = |server: &Server| server.osapi(self.machine, ["key", "rotate"]).run();
        let ran = at(&self.servers[self.armed]);
        if ran.code() != 0 {
            at(&self.servers[1 - self.armed]).exits(0);
        }
    }
}

#[test]
fn servers_that_crash_at_every_point_lose_no_job_and_make_none_twice() {
    let mut fleet = Fleet::start(2, &HOSTS);
    let apis = fleet.apis();
    let liar = Liar::new(HOSTS[LATE], &fleet.hosts[LATE].data_dir, &fleet.broker.url());
    let Fleet { servers, hosts, marks, machine, .. } = &mut fleet;
    let mut walk = Walk {
        ledger: Ledger::new(&apis),
        apis: &apis,
        servers,
        hosts,
        liar,
        marks,
        machine,
        chance: Chance::of(SEED),
        armed: 0,
        labels: 0,
        crashes: 0,
        unanswered: String::new(),
    };
    let begin = SystemClock.boottime();
    walk.go_away();
    apis[0].send("DELETE", &format!("/v1/agents/{}", HOSTS[REMOVED]), &[], b"").is(204);
    // What takes its time comes last.
    let (late, points): (Vec<_>, Vec<_>) =
        Point::of(&Place::SERVER).into_iter().partition(|point| point.place == Place::Gone);
    let (first, second) = points.split_at(points.len() / 2);
    walk.walk(first, 1);
    walk.armed = 1;
    walk.walk(second, 1);
    walk.walk(&Point::of(&AGAIN_AT), 2);
    settled_without_an_answer(&apis[0], &walk.unanswered);
    walk.walk(&late, 1);
    walk.hosts.iter_mut().filter(|host| host.is_down()).for_each(Host::restart);
    let walked = SystemClock.boottime().saturating_sub(begin);
    let shown = walk.ledger.check(|| marks.starts());
    eprintln!("{} crashes of servers, {} jobs, in {walked:.1?}", walk.crashes, shown.len());
}

fn settled_without_an_answer(api: &Api, job: &str) {
    until("nobody waits for it any more", || {
        let shown = api.get(&format!("/v1/jobs/{job}?wait=30")).is(200).json();
        (shown["results"][0]["status"] == "no_answer").then_some(())
    });
}
