//! Jobs of people who know nothing of an attack, and what must be true of every job.

use std::collections::BTreeSet;

use osapi_core::api::types::{HostResult, JobResults};
use osapi_core::controller::{Controller, Error};
use osapi_core::executor::scripted::{Gate, Script};
use osapi_core::id::JobId;
use osapi_core::job::ExecutionState;

use crate::fleet::client;
use crate::fleet::world::{Agent, Fleet, me, until, within};

/// More than fits into a report.
const LARGE: usize = 300_000;

/// What is run, and on which hosts.
const KINDS: [(&str, &str); 5] =
    [("true", "_all"), ("three", "a,b"), ("large", "b"), ("true", "_any"), ("endless", "c")];

/// Teaches an agent what is run. What is held ends when the gate is open.
pub(super) fn teach(agent: &Agent, gate: &Gate) {
    agent.executor.on("true", Script::exits(0).stdout("true\n"));
    agent.executor.on("three", Script::exits(3).stderr("three\n"));
    agent.executor.on("large", Script::exits(0).stdout(vec![b'x'; LARGE]));
    agent.executor.on("endless", Script::runs_until_stopped());
    agent.executor.on("held", Script::exits(0).held_by(gate));
}

/// Has one of each kind of job run, and checks how it ended.
pub(super) async fn one_of_each(fleet: &Fleet, controllers: &[Controller; 2], turn: usize) {
    for (n, (program, target)) in KINDS.into_iter().enumerate() {
        let (one, two) = (&controllers[(turn + n) % 2], &controllers[(turn + n + 1) % 2]);
        let job = ask(fleet, one, program, target).await;
        if program == "endless" {
            within(one.cancel(&me(), job)).await.unwrap();
        }
        let results = within(two.results(&me(), job, None)).await.unwrap();
        check(program, &results);
    }
}

/// Asks until there is a host for it: an agent that asks anew to be let in is not ready for a moment.
pub(super) async fn ask(
    fleet: &Fleet,
    controller: &Controller,
    program: &str,
    target: &str,
) -> JobId {
    until("there is a host", async || match fleet.submit(controller, program, target).await {
        Ok(job) => Some(job),
        Err(Error::NoLiveHost) => None,
        Err(error) => panic!("{error:?}"),
    })
    .await
}

fn check(program: &str, results: &JobResults) {
    for row in &results.results {
        let HostResult { status, exit_code, .. } = row;
        let stdout = row.stdout.as_deref().unwrap_or_default();
        let is_right = match program {
            "true" => *status == ExecutionState::Succeeded && stdout == "true\n",
            "three" => *status == ExecutionState::Failed && *exit_code == Some(3),
            // A part that was swapped on its way is shown as such.
            "large" => {
                let is_whole = stdout.bytes().all(|byte| byte == b'x') && stdout.len() == LARGE;
                *status == ExecutionState::Succeeded && (is_whole || row.stdout_incomplete)
            }
            _ => *status == ExecutionState::Cancelled,
        };
        assert!(is_right, "{program}: {row:?}");
    }
    assert!(!results.results.is_empty());
}

/// No command started that was not asked for, and none twice; what is shown as having run did, and nothing else did.
pub(super) async fn only_jobs_ran(controller: &Controller, agents: &[Agent]) {
    let mut asked = vec![BTreeSet::new(); agents.len()];
    for job in client::jobs(controller).await {
        let results = match within(controller.results(&me(), job, None)).await {
            Ok(results) => results,
            // Planted by somebody else, and never sent.
            Err(Error::JobDamaged { .. }) => continue,
            Err(error) => panic!("{error:?}"),
        };
        for row in results.results {
            let n = agents.iter().position(|agent| agent.name == row.hostname).unwrap();
            asked[n].insert(job);
            let has_started = agents[n].executor.starts().contains(&job);
            let shown = match row.status {
                ExecutionState::Succeeded | ExecutionState::Failed | ExecutionState::Lost => true,
                // Before the start or after it.
                ExecutionState::Cancelled => has_started,
                _ => false,
            };
            assert_eq!(shown, has_started, "{job}: {row:?}");
        }
    }
    for (agent, asked) in agents.iter().zip(asked) {
        let starts = agent.executor.starts();
        let once: BTreeSet<_> = starts.iter().copied().collect();
        assert_eq!(once.len(), starts.len(), "{} ran a job twice", agent.name);
        assert!(once.is_subset(&asked), "{} ran {:?}", agent.name, once.difference(&asked));
    }
}
