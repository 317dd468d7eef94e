//! Real commands of this machine.
//!
//! A command is looked up (`program`), allowed by the rules of the host where there are some (`guard`), and started (`start`) with a clean `environment` as the `account` that was asked for, which takes more in the new process itself (`child`); its `input` is written and its output drained (`pipes`) while it runs
//! (`run`), until nothing of its `tree` is left. Its `members` are found wherever they went: into a `cgroup` of its own, below this process (`children`), or anywhere in
//! /proc (`procfs`). [`prepare_this_process`] is for the program around it. Needs Linux 5.3.

mod account;
mod bounds;
mod cgroup;
mod child;
mod children;
mod environment;
mod facts;
mod guard;
mod input;
mod leftovers;
mod members;
mod pipes;
mod prepare;
mod procfs;
mod program;
mod run;
mod start;
mod system;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;

use self::account::Account;
use self::cgroup::Cgroups;

pub use self::facts::of_this_host as facts_of_this_host;
use self::guard::Guard;
pub use self::guard::{Resolved, ResolvedUser, Rules, RulesInForce, Terms, resolve};
pub use self::prepare::prepare_this_process;
use self::program::Command;
use self::run::Limits;
use super::{Events, Executor, Handle, Stop, Task};
use crate::blocking::blocking;
use crate::id::{AgentName, JobId};
use crate::job::limits::KILL_GRACE;
use crate::job::report::Failure;
use crate::job::{Exec, Operation, Outcome, ResourceLimits, Shell, Submitter};

/// One job on one host: where a machine has the agents of several, each runs it, and each ends its own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Execution {
    job: JobId,
    host: AgentName,
}

/// Runs `Exec` and `Shell` as processes of the agent's own user, or of another where it may, and tells the facts of this host.
#[derive(Debug)]
pub struct ProcessExecutor {
    host: AgentName,
    /// Its own.
    account: Account,
    cgroups: Option<Cgroups>,
    limits: Limits,
    /// What every command has to keep within.
    resources: ResourceLimits,
    rules: RulesInForce,
}

impl ProcessExecutor {
    /// An executor for the agent of `host`, with the grace of [`KILL_GRACE`], and control groups where this process may make them. A
    /// command sees the host's name as `OSAPI_HOST`.
    #[must_use]
    pub fn new(host: AgentName) -> Self {
        let limits = Limits {
            kill_grace: KILL_GRACE,
            drain_grace: Duration::from_millis(250),
            contain_after: Duration::from_millis(20),
            kill_wait: Duration::from_secs(5),
        };
        let rules = watch::channel(None).1;
        let (account, cgroups) = (Account::current(), Cgroups::detect());
        Self { host, account, cgroups, limits, resources: ResourceLimits::default(), rules }
    }

    /// With `grace` between SIGTERM and SIGKILL.
    #[must_use]
    pub fn with_kill_grace(mut self, grace: Duration) -> Self {
        self.limits.kill_grace = grace;
        self
    }

    /// With limits that every command has, unless less is asked for.
    #[must_use]
    pub fn with_resource_limits(mut self, limits: ResourceLimits) -> Self {
        self.resources = limits;
        self
    }

    /// Under the rules of this host. A command that they allow is executed as the file, and in the directory, that they were asked about.
    #[must_use]
    pub fn with_rules(mut self, rules: RulesInForce) -> Self {
        self.rules = rules;
        self
    }

    /// Without control groups, as on a machine where there are none.
    #[must_use]
    pub fn without_cgroups(mut self) -> Self {
        self.cgroups = None;
        self
    }
}

impl ProcessExecutor {
    /// How much `operation` may use.
    fn limits_of(&self, operation: &Operation) -> Result<ResourceLimits, Failure> {
        let Some(surroundings) = operation.surroundings() else {
            return Ok(ResourceLimits::default());
        };
        let limitable = self.cgroups.as_ref().map_or(&[][..], Cgroups::limitable);
        bounds::within(surroundings.limits, &self.resources, limitable)
    }

    /// As whom `operation` is performed.
    async fn account_for(&self, operation: &Operation) -> Result<Account, Failure> {
        match operation.surroundings().and_then(|surroundings| surroundings.user.cloned()) {
            Some(user) => blocking(move || Account::named(&user)).await,
            None => Ok(self.account.clone()),
        }
    }
}

#[async_trait]
impl Executor for ProcessExecutor {
    fn admit(&self, operation: &Operation, submitter: &Submitter) -> Result<(), Failure> {
        if let Operation::Custom(_) = operation {
            return Err(super::unsupported(operation));
        }
        let rules = self.rules.borrow().clone();
        rules.map_or(Ok(()), |rules| rules.admit(operation, submitter, None).map(|_| ()))
    }

    async fn execute(&self, task: Task, events: Arc<dyn Events>, stop: Stop) -> Outcome {
        let job = task.job;
        let execution = Execution { job, host: self.host.clone() };
        let group = self.cgroups.as_ref().map(|cgroups| cgroups.of(&execution));
        let guard = Guard::new(self.rules.clone(), &task);
        let account = match self.account_for(&task.operation).await {
            Ok(account) => account,
            Err(failure) => return Outcome::Rejected(failure),
        };
        let limits = match self.limits_of(&task.operation) {
            Ok(limits) => limits,
            Err(failure) => return Outcome::Rejected(failure),
        };
        let command = match task.operation {
            Operation::Exec(exec) => Command::exec(execution, Exec { limits, ..exec }, account),
            Operation::Shell(shell) => {
                Command::shell(execution, Shell { limits, ..shell }, account)
            }
            Operation::Facts => {
                if let Err(failure) = guard.admit(None) {
                    return Outcome::Rejected(failure);
                }
                events.started(Handle { job, detail: Value::Null }).await;
                return facts().await;
            }
            Operation::Custom(custom) => {
                let message = format!("this agent knows no operation '{}'", custom.name);
                return Outcome::Rejected(Failure::new("unsupported", message));
            }
        };
        run::run(command, guard, group, self.limits, &*events, stop).await
    }

    async fn end_leftovers(&self, handle: &Handle) -> std::io::Result<()> {
        leftovers::end(handle, &self.host, self.cgroups.as_ref(), self.limits.kill_wait).await
    }
}

async fn facts() -> Outcome {
    match serde_json::to_value(blocking(facts::gather).await) {
        Ok(value) => Outcome::Returned { value },
        Err(err) => Outcome::Failed(Failure::new("facts_failed", err.to_string())),
    }
}

#[cfg(test)]
mod tests;
