//! Finds agents of which there are two: processes with one key that take turns. Pure.
//!
//! An agent that is started again is another run of its process, and the former one is never heard again: what it had said before it
//! ended may come late, but nothing that it says after the other has begun. Two that go on side by side are told by that. What a late
//! message could look like decides the rules here: a host that was cut off sends what had waited all at once.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Registered;
use crate::clock::Timestamp;
use crate::id::{AgentName, Identity, InstanceId, JournalId, PublicKey};
use crate::message::Hello;

/// Messages that were on their way when a run ended come within this time.
const LATE: Duration = Duration::from_secs(1);
/// Messages that had waited all come within this time, when they come at all.
const BURST: Duration = Duration::from_secs(5);
/// Former runs, and former journals, that are remembered of one agent.
const REMEMBERED: usize = 4;
/// Time between two alarms about one agent.
const ALARM_EVERY: Duration = Duration::from_secs(60);

/// What is remembered of every agent, by name.
#[derive(Debug, Default)]
pub(super) struct Clones(HashMap<AgentName, Traces>);

/// The traces of one agent. Moments are of this controller's boottime clock, unless they are timestamps.
#[derive(Debug)]
struct Traces {
    key: PublicKey,
    journal: JournalId,
    /// When the registration was made, by the agent's clock.
    registered_at: Timestamp,
    former_journals: VecDeque<JournalId>,
    present: Option<Run>,
    former: VecDeque<Former>,
    is_cloned: bool,
    alarmed_at: Option<Duration>,
}

#[derive(Debug)]
struct Run {
    instance: InstanceId,
    /// The highest count of its hellos.
    seq: u64,
    since: Duration,
    /// When it said its first hello, by the agent's clock.
    wall: Timestamp,
}

#[derive(Debug)]
struct Former {
    instance: InstanceId,
    seq: u64,
    /// When it first said something more.
    suspect_since: Option<Duration>,
}

impl Traces {
    fn of(known: &Registered) -> Self {
        let Identity { key, journal, .. } = known.registration.identity;
        Self {
            key,
            journal,
            registered_at: known.registration.at,
            former_journals: VecDeque::new(),
            present: None,
            former: VecDeque::new(),
            is_cloned: false,
            alarmed_at: None,
        }
    }

    /// Whether the hello is of the present run. One of a former run says nothing, or shows that there are two.
    fn hear(&mut self, hello: &Hello, now: Duration) -> bool {
        let Hello { instance, seq, wall, .. } = *hello;
        let Some(present) = &mut self.present else {
            self.present = Some(Run { instance, seq, since: now, wall });
            return true;
        };
        if present.instance == instance {
            present.seq = present.seq.max(seq);
            return true;
        }
        let Some(former) = self.former.iter_mut().find(|former| former.instance == instance) else {
            remember(
                &mut self.former,
                Former { instance: present.instance, seq: present.seq, suspect_since: None },
            );
            *present = Run { instance, seq, since: now, wall };
            return true;
        };
        if seq > former.seq && now >= present.since + LATE {
            former.seq = seq;
            // Said after the present run had begun, by the clock of one host; and if the two have clocks that disagree, again and again.
            let suspect_since = *former.suspect_since.get_or_insert(now);
            self.is_cloned |= wall >= present.wall + LATE || now >= suspect_since + BURST;
        }
        // Of two that take turns both are heard: neither is given work any more.
        self.is_cloned
    }
}

impl Clones {
    /// Takes note of who is registered. A journal whose place another has taken never comes back, except with a copy of the host.
    pub(super) fn note(&mut self, known: &Registered) {
        let Identity { name, key, journal } = &known.registration.identity;
        let Some(traces) = self.0.get_mut(name).filter(|traces| traces.key == *key) else {
            self.0.insert(name.clone(), Traces::of(known));
            return;
        };
        // The store tells old registrations again.
        let is_news = known.registration.at > traces.registered_at;
        if traces.journal != *journal && is_news {
            traces.is_cloned |= traces.former_journals.contains(journal);
            remember(&mut traces.former_journals, traces.journal);
            traces.journal = *journal;
            traces.present = None;
            traces.former.clear();
        }
        traces.registered_at = traces.registered_at.max(known.registration.at);
    }

    /// Whether a hello of the registered agent is of its present run.
    pub(super) fn hear(&mut self, hello: &Hello, now: Duration) -> bool {
        self.0.get_mut(&hello.identity.name).is_none_or(|traces| traces.hear(hello, now))
    }

    pub(super) fn contains(&self, name: &AgentName) -> bool {
        self.0.get(name).is_some_and(|traces| traces.is_cloned)
    }

    /// Whether it is time to say that there are two of this agent.
    pub(super) fn is_alarm_due(&mut self, name: &AgentName, now: Duration) -> bool {
        let Some(traces) = self.0.get_mut(name).filter(|traces| traces.is_cloned) else {
            return false;
        };
        let is_due = traces.alarmed_at.is_none_or(|at| now >= at + ALARM_EVERY);
        if is_due {
            traces.alarmed_at = Some(now);
        }
        is_due
    }

    /// Forgets an agent that is no more.
    pub(super) fn forget(&mut self, name: &AgentName) {
        self.0.remove(name);
    }
}

fn remember<T>(all: &mut VecDeque<T>, latest: T) {
    if all.len() >= REMEMBERED {
        all.pop_front();
    }
    all.push_back(latest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{FleetId, SealingKey};
    use crate::job::record::VERSION;
    use crate::job::{AgentFacts, Labels};
    use crate::message::{Readiness, Registration};

    const START: Timestamp = Timestamp::from_unix_millis(1_790_000_000_000);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn identity(journal: u8) -> Identity {
        let (name, key) = ("web-01".parse().unwrap(), PublicKey::from_bytes([1; 32]));
        Identity { name, key, journal: JournalId::from_bytes([journal; 16]) }
    }

    fn registered(journal: u8, at: u64) -> Registered {
        let registration = Registration {
            v: VERSION,
            fleet: FleetId::from_bytes([1; 16]),
            identity: identity(journal),
            hostname: "web-01.example".into(),
            version: "1".into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: Labels::default(),
            facts: AgentFacts::default(),
            at: START + s(at),
        };
        Registered { registration, at: START + s(at) }
    }

    /// Hellos of some runs, heard in this order: (run, its count, heard at, said at by the run's own clock).
    fn heard(hellos: &[(u8, u64, u64, u64)]) -> (Vec<bool>, bool) {
        let runs: Vec<_> = (0..8).map(|_| InstanceId::random()).collect();
        let mut clones = Clones::default();
        clones.note(&registered(1, 0));
        let present = hellos.iter().map(|(run, seq, at, said)| {
            let hello = Hello {
                identity: identity(1),
                instance: runs[usize::from(*run)],
                readiness: Readiness::Ready,
                slots: 1,
                running: Vec::new(),
                accepted: Vec::new(),
                ring: 1,
                version: "1".into(),
                wall: START + s(*said),
                seq: *seq,
                later_ring: None,
                seen: None,
                denied: 0,
            };
            clones.hear(&hello, s(*at))
        });
        let present = present.collect();
        (present, clones.contains(&identity(1).name))
    }

    #[test]
    fn an_agent_that_starts_again_is_one_agent() {
        let restarts =
            [(0, 1, 0, 0), (1, 1, 10, 10), (2, 1, 20, 20), (2, 2, 30, 30), (3, 1, 31, 31)];
        assert_eq!(heard(&restarts), (vec![true; 5], false));
    }

    #[test]
    fn what_a_former_run_had_said_may_come_late() {
        let on_its_way = [(0, 5, 0, 0), (1, 1, 10, 10), (0, 4, 10, 9), (0, 6, 10, 10)];
        assert_eq!(heard(&on_its_way), (vec![true, true, false, false], false));
        let repeated = [(0, 5, 0, 0), (1, 1, 10, 10), (0, 5, 60, 0), (1, 2, 61, 61)];
        assert_eq!(heard(&repeated), (vec![true, true, false, true], false));
        // Cut off for a minute, then started again: what had waited in the kernel comes after the first hello of the new run.
        let waited = [(0, 5, 0, 0), (1, 1, 60, 60), (0, 6, 63, 10), (0, 7, 63, 20), (1, 2, 70, 70)];
        assert_eq!(heard(&waited), (vec![true, true, false, false, true], false));
    }

    #[test]
    fn two_that_take_turns_are_found() {
        let turns = [(0, 1, 0, 0), (1, 1, 5, 5), (0, 2, 10, 10)];
        assert_eq!(heard(&turns), (vec![true; 3], true));
        let three = [(0, 1, 0, 0), (1, 1, 5, 5), (2, 1, 6, 6), (0, 2, 10, 10)];
        assert_eq!(heard(&three), (vec![true; 4], true));
    }

    #[test]
    fn they_are_found_also_where_their_clocks_disagree() {
        for (a, b) in [(0, 3600), (3600, 0)] {
            let turns = [
                (0, 1, 0, a),
                (1, 1, 5, b + 5),
                (0, 2, 10, a + 10),
                (1, 2, 15, b + 15),
                (0, 3, 20, a + 20),
            ];
            assert!(heard(&turns).1, "{a} {b}");
        }
    }

    #[test]
    fn a_journal_that_comes_back_is_a_copy() {
        let mut clones = Clones::default();
        let name = identity(1).name;
        for (journal, at, expected) in [
            (1, 0, false),
            (2, 10, false),
            (1, 0, false),
            (2, 10, false),
            (3, 20, false),
            (1, 30, true),
        ] {
            clones.note(&registered(journal, at));
            assert_eq!(clones.contains(&name), expected, "{journal} at {at}");
        }
        let alarms: Vec<_> =
            (0..=60).step_by(10).map(|at| clones.is_alarm_due(&name, s(at))).collect();
        assert_eq!(alarms, [true, false, false, false, false, false, true]);
        clones.forget(&name);
        assert!(!clones.contains(&name));
    }
}
