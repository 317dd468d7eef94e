//! Who is killed, when, and for how long.

use std::time::Duration;

use osapi_core::clock::{Clock as _, SystemClock};
use osapi_tests::NatsServer;

use super::HOSTS;
use crate::processes::Chance;
use crate::processes::fleet::{Fleet, Host, Server};
use crate::world::until;

/// Between two crashes, in milliseconds.
const PAUSE_MAX_MS: usize = 1200;
/// The longest time until a process is started again, in milliseconds.
const AWAY_MAX_MS: usize = 3000;
/// The same for some hosts: longer than a job waits for its start.
const LONG_MAX_MS: usize = 45_000;

/// A process that can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Broker,
    Server(usize),
    Agent(usize),
}

/// Kills processes, and starts them again.
pub(super) struct Trouble<'a> {
    chance: Chance,
    broker: &'a mut NatsServer,
    servers: &'a mut [Server],
    hosts: &'a mut [Host],
    /// Who is away, until when.
    away: Vec<(Victim, Duration)>,
    /// Crashes of the broker, of servers and of agents.
    crashes: [usize; 3],
}

impl<'a> Trouble<'a> {
    pub(super) fn new(seed: u64, fleet: &'a mut Fleet) -> Self {
        let Fleet { servers, hosts, broker, .. } = fleet;
        let (away, crashes) = (Vec::new(), [0; 3]);
        Self { chance: Chance::of(seed), broker, servers, hosts, away, crashes }
    }

    /// Goes on until that moment, and returns once all are there again.
    pub(super) fn make_until(mut self, end: Duration) -> Self {
        let begin = SystemClock.boottime();
        let mut strike = begin;
        while strike < end {
            let back = self.away.iter().map(|(_, until)| *until).min();
            let next = back.map_or(strike, |back| back.min(strike));
            let now = until("something is due", || {
                Some(SystemClock.boottime()).filter(|now| *now >= next)
            });
            self.start_until(now);
            if now >= strike {
                let at = now.saturating_sub(begin);
                self.kill(now, at);
                strike = now + self.millis(PAUSE_MAX_MS);
            }
        }
        self.start_until(Duration::MAX);
        self.servers.iter_mut().for_each(Server::until_ready);
        self.hosts.iter_mut().for_each(Host::until_ready);
        self
    }

    /// Asserts that everybody's turn came, and more than once.
    pub(super) fn was_enough(&self) {
        let [broker, servers, agents] = self.crashes;
        eprintln!("{broker} crashes of the broker, {servers} of servers, {agents} of agents");
        assert!(broker >= 2 && servers >= 4 && agents >= 10);
    }

    fn millis(&mut self, max: usize) -> Duration {
        Duration::from_millis(1 + self.chance.below(max) as u64)
    }

    /// Kills one of those who are there.
    fn kill(&mut self, now: Duration, at: Duration) {
        let (victim, kind) = match self.chance.below(10) {
            0 => (Victim::Broker, 0),
            1..=3 => (Victim::Server(self.chance.below(self.servers.len())), 1),
            _ => (Victim::Agent(self.chance.below(self.hosts.len())), 2),
        };
        if self.away.iter().any(|(away, _)| *away == victim) {
            return;
        }
        let is_long = kind == 2 && self.chance.below(6) == 0;
        let time = self.millis(if is_long { LONG_MAX_MS } else { AWAY_MAX_MS });
        match victim {
            Victim::Broker => self.broker.kill(),
            Victim::Server(n) => self.servers[n].kill(),
            Victim::Agent(n) => self.hosts[n].kill(),
        }
        self.crashes[kind] += 1;
        self.away.push((victim, now + time));
        let name = match victim {
            Victim::Agent(n) => HOSTS[n].0.to_owned(),
            other => format!("{other:?}"),
        };
        eprintln!("{at:.2?}: {name} is killed, for {time:.2?}");
    }

    /// Starts whoever is due by then.
    fn start_until(&mut self, moment: Duration) {
        let (due, later) = self.away.drain(..).partition(|(_, until)| *until <= moment);
        self.away = later;
        let due: Vec<(Victim, Duration)> = due;
        for (victim, _) in due {
            match victim {
                Victim::Broker => self.broker.restart(),
                Victim::Server(n) => self.servers[n].start(),
                Victim::Agent(n) => self.hosts[n].start(),
            }
        }
    }
}
