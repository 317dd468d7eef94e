//! Several API servers behave as one.

use std::thread;

use serde_json::{Value, json};

use super::clients::{Request, settled};
use super::fleet::Fleet;
use crate::world::{Api, answer, until};

/// What a server says of its agents, but for how they are at this moment.
fn agents(api: &Api) -> Vec<Value> {
    let mut agents = api.get("/v1/agents").is(200).json()["agents"].as_array().cloned().unwrap();
    for agent in &mut agents {
        for passing in ["last_heard", "running", "waiting"] {
            agent.as_object_mut().unwrap().remove(passing);
        }
    }
    agents
}

fn post(api: &Api, path: &str, body: &Value) -> String {
    let answer = api.post(&format!("{path}?wait=0"), body).is(202).json();
    answer["job_id"].as_str().unwrap().to_owned()
}

#[test]
fn jobs_cancels_agents_and_lists_are_the_same_at_every_server() {
    let fleet = Fleet::start(3, &["a", "b"]);
    let apis = fleet.apis();
    let names: Vec<_> = agents(&apis[0]).iter().map(|agent| agent["name"].clone()).collect();
    assert_eq!(names, ["a", "b"]);
    until("every server knows the agents", || {
        let [first, second, third] = [0, 1, 2].map(|at: usize| agents(&apis[at]));
        (first == second && second == third).then_some(())
    });

    // Made at each in turn, and known at once at each other.
    let mut jobs = Vec::new();
    for from in &apis {
        let job = post(from, "/v1/node/_all/command/exec", &fleet.marks.command());
        for at in &apis {
            assert_eq!(at.get(&format!("/v1/jobs/{job}")).is(200).json()["job_id"], *job);
        }
        jobs.insert(0, job);
    }
    for job in &jobs {
        let [first, second, third] = [0, 1, 2].map(|at: usize| settled(&apis[at], job));
        assert_eq!(first["status"], "completed", "{first}");
        assert!(first["results"] == second["results"] && second["results"] == third["results"]);
        assert_eq!(fleet.marks.of(job), ["a", "b"]);
    }

    // Cancelled at another than where it was made, seen at the third.
    let long = json!({ "command": "sleep", "args": ["300"], "timeout": 300 });
    let job = post(&apis[0], "/v1/node/a/command/exec", &long);
    let path = format!("/v1/jobs/{job}");
    until("it runs", || (apis[2].get(&path).is(200).json()["status"] == "running").then_some(()));
    apis[1].cancel(&job).is(200);
    let results = settled(&apis[2], &job)["results"].clone();
    assert_eq!(results[0]["status"], "cancelled", "{results}");
    jobs.insert(0, job);

    // The same lists, in the same order, and without a job that was removed at one of them.
    let list = |api: &Api| api.get("/v1/jobs").is(200).json();
    assert_eq!(apis.iter().map(Api::jobs).collect::<Vec<_>>(), vec![jobs.clone(); 3]);
    assert!(apis.iter().all(|api| list(api) == list(&apis[0])));
    let removed = jobs.remove(1);
    apis[1].send("DELETE", &format!("/v1/jobs/{removed}"), &[], b"").is(204);
    for api in &apis {
        api.get(&format!("/v1/jobs/{removed}")).refuses(404, "job_not_found");
        assert_eq!(api.jobs(), jobs);
    }
}

#[test]
fn a_key_is_one_job_whoever_is_asked_at_the_same_time() {
    let fleet = Fleet::start(3, &["a"]);
    let apis = fleet.apis();
    for n in 0..5 {
        let request = Request::exec("a", &fleet.marks.command(), &format!("k{n}")).waiting(60);
        let jobs: Vec<_> = thread::scope(|scope| {
            let ask = |api| {
                let request = &request;
                scope.spawn(move || request.ask(api).unwrap().is(200).json()["job_id"].clone())
            };
            let asked: Vec<_> = apis.iter().chain(&apis).map(ask).collect();
            asked.into_iter().map(|asked| asked.join().unwrap()).collect()
        });
        assert!(jobs.iter().all(|job| *job == jobs[0]), "{jobs:?}");
        assert_eq!(fleet.marks.of(jobs[0].as_str().unwrap()), ["a"]);
    }
    assert_eq!(apis[0].jobs().len(), 5);
}

#[test]
fn a_server_that_is_behind_reads_on_before_it_says_that_there_is_nothing() {
    let mut fleet = Fleet::start(2, &["a"]);
    let [first, behind] = fleet.apis().try_into().unwrap_or_else(|_| panic!("two servers"));
    fleet.servers[1].freeze();
    let command = fleet.marks.command();
    let jobs: Vec<_> = (0..20).map(|_| post(&first, "/v1/node/a/command/exec", &command)).collect();
    let mut late = fleet.join("b");
    late.until_ready();
    fleet.hosts.push(late);
    thread::scope(|scope| {
        // Asked before it goes on, so that nothing comes to it before the question.
        let paths = [format!("/v1/jobs/{}", jobs[19]), "/v1/targets/b".to_owned()];
        let asked = paths.map(|path| {
            let stream = behind.open("GET", &path, &[], 0);
            scope.spawn(move || answer(stream))
        });
        fleet.servers[1].resume();
        for asked in asked {
            asked.join().unwrap().is(200);
        }
    });
    for job in &jobs {
        assert_eq!(settled(&behind, job)["results"][0]["status"], "succeeded");
        assert_eq!(fleet.marks.of(job), ["a"]);
    }
}
