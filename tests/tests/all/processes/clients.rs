//! Clients that repeat a request, with its idempotency key, at another server until one answers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Chance;
use super::fleet::Fleet;
use crate::world::{Answer, Api, until};

/// A request for a job. It may be repeated at any server.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) body: Value,
    pub(super) key: String,
}

impl Request {
    /// `body` runs as a program on the hosts of `target`.
    pub(super) fn exec(target: &str, body: &Value, key: &str) -> Self {
        let path = format!("/v1/node/{target}/command/exec");
        Self { path, body: body.clone(), key: key.to_owned() }
    }

    /// The same, waiting at most so many seconds for its outcome.
    pub(super) fn waiting(&self, seconds: u32) -> Self {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        Self { path: format!("{}{joint}wait={seconds}", self.path), ..self.clone() }
    }

    /// What one server says; none if it went away before it had said all of it.
    pub(super) fn ask(&self, api: &Api) -> Option<Answer> {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", &self.key)];
        api.try_send("POST", &self.path, &headers, self.body.to_string().as_bytes())
    }

    /// Goes from server to server until one has taken it, and returns every id that was told on the way.
    pub(super) fn ask_any(&self, apis: &[Api], chance: &mut Chance) -> BTreeSet<String> {
        let mut told = BTreeSet::new();
        until("some server takes the request", || {
            let answer = self.ask(&apis[chance.below(apis.len())])?;
            told.extend(answer.json()["job_id"].as_str().map(ToOwned::to_owned));
            match answer.status {
                200 | 202 => Some(()),
                503 => None,
                _ => panic!("{answer}"),
            }
        });
        told
    }
}

/// Waits until no word can change a job any more, and returns it.
pub(super) fn settled(api: &Api, job: &str) -> Value {
    let path = format!("/v1/jobs/{job}?wait=60");
    until(&format!("job {job} is settled"), || {
        let job = api.get(&path).is(200).json();
        rows(&job["results"]).all(|row| row["final"] == true).then_some(job)
    })
}

/// The rows of `results`.
pub(super) fn rows(results: &Value) -> std::slice::Iter<'_, Value> {
    results.as_array().expect("it is a list").iter()
}

/// Makes a job for a host, whatever its state, that starts within so many seconds or never.
pub(super) fn queued(api: &Api, fleet: &Fleet, host: &str, seconds: u32) -> String {
    let path = format!("/v1/node/{host}/command/exec?wait=0&queue_for={seconds}");
    let job = api.post(&path, &fleet.marks.command()).is(202).json();
    job["job_id"].as_str().expect("a text").to_owned()
}

/// Asserts that a host runs what it is given through this server.
pub(super) fn runs(api: &Api, fleet: &Fleet, host: &str, key: &str) {
    let request = Request::exec(host, &fleet.marks.command(), key).waiting(60);
    let job = request.ask(api).expect("it is there").is(200).json();
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(fleet.marks.of(job["job_id"].as_str().expect("a text")), [host]);
}
