//! A client that asks for one job after the other, and repeats what was not answered.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use osapi_core::clock::{Clock as _, SystemClock};
use serde_json::Value;

use super::HOSTS;
use crate::processes::Chance;
use crate::processes::clients::Request;
use crate::world::{Answer, Api, until};

/// What is asked for, and the hosts that it names, by the places of [`HOSTS`]; none where one of all is to run it.
const TARGETS: [(&str, Option<&[usize]>); 7] = [
    ("_all", Some(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])),
    ("_any", None),
    ("_any", None),
    ("web-03", Some(&[7])),
    ("db-02", Some(&[1])),
    ("group:web", Some(&[5, 6, 7, 8, 9])),
    ("group:db.us,web-[01-02]", Some(&[2, 3, 5, 6])),
];
/// Between two requests of a client, in milliseconds.
const PAUSE_MAX_MS: usize = 700;
/// The longest time for which hosts that are down are waited for, in seconds.
const QUEUE_MAX_S: usize = 15;

/// A request, and what became of it.
pub(super) struct Asked {
    target: usize,
    /// The job; none if it was over before there was one.
    pub(super) job: Option<String>,
}

impl Asked {
    /// The hosts that it is for; none if one of all is to run it.
    pub(super) fn hosts(&self) -> Option<Vec<&'static str>> {
        TARGETS[self.target].1.map(|places| places.iter().map(|place| HOSTS[*place].0).collect())
    }
}

/// Somebody who asks whichever server is there.
pub(super) struct Client<'a> {
    number: usize,
    chance: Chance,
    apis: &'a [Api],
    command: &'a Value,
}

impl<'a> Client<'a> {
    pub(super) fn new(seed: u64, number: usize, apis: &'a [Api], command: &'a Value) -> Self {
        let chance = Chance::of(seed.wrapping_add(1 + number as u64));
        Self { number, chance, apis, command }
    }

    /// Asks until it is over, and returns what became of each request.
    pub(super) fn ask_until(mut self, is_over: &AtomicBool) -> Vec<Asked> {
        let mut asked = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            asked.push(self.ask(asked.len()));
            let pause = Duration::from_millis(self.chance.below(PAUSE_MAX_MS) as u64);
            let next = SystemClock.boottime() + pause;
            until("the next request is due", || (SystemClock.boottime() >= next).then_some(()));
        }
        asked
    }

    fn ask(&mut self, n: usize) -> Asked {
        let target = self.chance.below(TARGETS.len());
        let (name, hosts) = TARGETS[target];
        let mut request = Request::exec(name, self.command, &format!("{}-{n}", self.number));
        if hosts.is_some() && self.chance.below(3) == 0 {
            let seconds = 1 + self.chance.below(QUEUE_MAX_S);
            request.path.push_str(&format!("?queue_for={seconds}"));
        }
        let seconds = [0, 0, 1, 5][self.chance.below(4)];
        let job = self.submit(&request.waiting(seconds));
        if let Some(job) = job.as_ref().filter(|_| self.chance.below(8) == 0) {
            self.cancel(job);
        }
        Asked { target, job }
    }

    /// The job that some server has made of it.
    fn submit(&mut self, request: &Request) -> Option<String> {
        let mut told = BTreeSet::new();
        let job = until("some server takes the request", || {
            let answer = request.ask(self.any())?;
            let said = answer.json();
            let job = said["job_id"].as_str().map(ToOwned::to_owned);
            told.extend(job.clone());
            match (answer.status, said["code"].as_str()) {
                (200 | 202, _) => Some(job),
                (409, Some("idempotency_expired")) => Some(None),
                _ => {
                    assert_passing(&answer);
                    None
                }
            }
        });
        assert!(told.len() <= 1, "{told:?}");
        job
    }

    /// Cancels a job, unless it has ended already.
    fn cancel(&mut self, job: &str) {
        until("some server takes the cancel", || {
            let answer =
                self.any().try_send("POST", &format!("/v1/jobs/{job}/cancel"), &[], b"")?;
            match answer.status {
                200 | 409 => Some(()),
                _ => {
                    assert_passing(&answer);
                    None
                }
            }
        });
    }

    fn any(&mut self) -> &'a Api {
        &self.apis[self.chance.below(self.apis.len())]
    }
}

/// Asserts that a refusal is one that passes.
fn assert_passing(answer: &Answer) {
    const PASSING: [&str; 4] =
        ["backend_unavailable", "outcome_unknown", "not_ready", "no_live_host"];
    let said = answer.json();
    let code = said["code"].as_str().expect("a code");
    assert!(answer.status == 503 && PASSING.contains(&code), "{answer}");
}
