//! Every job that was asked for, what must be true of it, and whether it is.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use osapi_core::clock::Timestamp;
use serde_json::Value;

use super::Chance;
use super::clients::{Request, rows, settled};
use super::marks::Mark;
use crate::world::{Answer, Api, until};

/// An agent looks at the deadline before it has the process made, which may take a while on a busy machine.
const MAKING: Duration = Duration::from_secs(1);

/// A job and a host.
type Execution = (String, String);

pub(super) struct Ledger<'a> {
    apis: &'a [Api],
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    asked: usize,
    jobs: BTreeSet<String>,
    removed: BTreeSet<String>,
    /// What a journal said that it was started, and not how it ended, when its agent crashed.
    lost: BTreeSet<Execution>,
    /// What was never started and never will be.
    unstarted: BTreeSet<Execution>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(apis: &'a [Api]) -> Self {
        Self { apis, facts: Mutex::default() }
    }

    /// Asks for a job, `first` one server, where there is one, then any, until there is one; and returns it. Where a request is answered too
    /// late for a job, another one is made.
    pub(super) fn ask(
        &self,
        path: &str,
        body: &Value,
        mut first: Option<usize>,
        chance: &mut Chance,
    ) -> String {
        let job = std::iter::repeat_with(|| {
            let request = Request { path: path.to_owned(), body: body.clone(), key: self.key() };
            self.submit(&request, first.take(), chance)
        });
        let job = job.flatten().next().expect("it goes on for ever");
        self.facts().jobs.insert(job.clone());
        job
    }

    /// A key that no request had.
    fn key(&self) -> String {
        let mut facts = self.facts();
        facts.asked += 1;
        format!("k{}", facts.asked)
    }

    /// The job that a request has become; none if it came too late for one.
    fn submit(
        &self,
        request: &Request,
        mut first: Option<usize>,
        chance: &mut Chance,
    ) -> Option<String> {
        let mut told = BTreeSet::new();
        let job = until("some server takes the request", || {
            let server = first.take().unwrap_or_else(|| chance.below(self.apis.len()));
            let answer = request.ask(&self.apis[server])?;
            let said = answer.json();
            let job = said["job_id"].as_str().map(ToOwned::to_owned);
            told.extend(job.clone());
            match (answer.status, said["code"].as_str()) {
                (200 | 202, _) => Some(job),
                (409, Some("idempotency_expired")) => Some(None),
                _ => passing(&answer),
            }
        });
        assert!(told.len() <= 1, "one request is one job: {told:?}");
        job
    }

    /// Cancels a job, unless it has ended already.
    pub(super) fn cancel(&self, job: &str, first: Option<usize>, chance: &mut Chance) {
        let path = format!("/v1/jobs/{job}/cancel");
        self.change("POST", &path, [200, 409], first, chance);
    }

    /// Removes a job that has settled.
    pub(super) fn remove(&self, job: &str, first: usize, chance: &mut Chance) {
        let path = format!("/v1/jobs/{job}");
        // The first attempt may have done it.
        self.change("DELETE", &path, [204, 404], Some(first), chance);
        self.facts().jobs.remove(job);
        self.facts().removed.insert(job.to_owned());
    }

    /// Asks for a change, `first` one server, then any until one answers by one of these statuses.
    fn change(
        &self,
        method: &str,
        path: &str,
        good: [u16; 2],
        mut first: Option<usize>,
        chance: &mut Chance,
    ) {
        until("some server takes it", || {
            let server = first.take().unwrap_or_else(|| chance.below(self.apis.len()));
            let answer = self.apis[server].try_send(method, path, &[], b"")?;
            match answer.status {
                status if good.contains(&status) => Some(()),
                _ => passing(&answer),
            }
        });
    }

    pub(super) fn is_lost(&self, job: &str, host: &str) {
        self.facts().lost.insert((job.to_owned(), host.to_owned()));
    }

    pub(super) fn never_runs(&self, job: &str, host: &str) {
        self.facts().unstarted.insert((job.to_owned(), host.to_owned()));
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("nobody panics with it")
    }

    /// Waits until every job has ended, and compares all that is shown of them with what is true.
    pub(super) fn check(&self, starts: impl Fn() -> Vec<Mark>) -> Vec<Value> {
        let Facts { jobs, removed, lost, unstarted, .. } = std::mem::take(&mut *self.facts());
        ran_once(&starts());
        let shown: Vec<_> = jobs.iter().map(|job| shown(self.apis, job)).collect();
        for api in self.apis {
            assert_eq!(api.jobs().into_iter().collect::<BTreeSet<_>>(), jobs, "jobs nobody made");
        }
        let starts = starts();
        let ran = ran_once(&starts);
        let is_known = |mark: &&Mark| jobs.contains(&mark.job) || removed.contains(&mark.job);
        let unknown = starts.iter().find(|mark| !is_known(mark));
        assert_eq!(unknown, None, "a job that nobody asked for");
        let both: Vec<_> = ran.intersection(&unstarted).collect();
        assert!(both.is_empty(), "it could not run: {both:?}");
        let mut shown_lost = BTreeSet::new();
        for job in &shown {
            is_in_time(job, &starts);
            let lost = rows(&job["results"]).filter(|row| is_as_it_ran(job, row, &ran));
            shown_lost.extend(lost.map(|row| execution(job, row)));
        }
        assert_eq!(shown_lost, lost, "shown as lost, and lost");
        shown
    }
}

/// Nothing, as long as a refusal is one that passes.
fn passing<T>(answer: &Answer) -> Option<T> {
    assert_eq!(answer.status, 503, "{answer}");
    None
}

/// Asserts that no host ran a job twice, and returns what ran.
fn ran_once(starts: &[Mark]) -> BTreeSet<Execution> {
    let mut ran = BTreeSet::new();
    for mark in starts {
        assert!(ran.insert((mark.job.clone(), mark.host.clone())), "twice: {mark:?}");
    }
    ran
}

/// A job once no word can change it, the same at all servers.
fn shown(apis: &[Api], job: &str) -> Value {
    let mut shown: Vec<_> = apis.iter().map(|api| settled(api, job)).collect();
    assert!(shown.iter().all(|other| other["results"] == shown[0]["results"]), "{shown:?}");
    shown.remove(0)
}

fn execution(job: &Value, row: &Value) -> Execution {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&job["job_id"]), text(&row["hostname"]))
}

fn is_in_time(job: &Value, starts: &[Mark]) {
    let deadline: Timestamp = serde_json::from_value(job["not_after"].clone()).unwrap();
    for mark in starts.iter().filter(|mark| job["job_id"] == *mark.job) {
        assert!(mark.at <= deadline + MAKING, "late: {mark:?}, {job}");
        let mut hosts = rows(&job["results"]).map(|row| &row["hostname"]);
        assert!(hosts.any(|host| *host == *mark.host), "for another host: {mark:?}, {job}");
    }
}

/// Asserts that what a row says is what the marks say, and tells whether it is lost.
fn is_as_it_ran(job: &Value, row: &Value, ran: &BTreeSet<Execution>) -> bool {
    let has_run = ran.contains(&execution(job, row));
    match (row["status"].as_str().expect("a text"), &row["started_at"]) {
        ("succeeded", _) => assert!(has_run, "{job}"),
        ("expired" | "unreachable", _) | ("cancelled", Value::Null) => assert!(!has_run, "{job}"),
        // Ended on the way, perhaps before it could leave its mark.
        ("cancelled", _) => {}
        ("lost", _) => return true,
        _ => panic!("{job}"),
    }
    false
}
