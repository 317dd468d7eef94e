//! The last word on a command: asked right before it starts, about the very file that is then executed.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::Execution;
use super::account::Account;
use super::program::{Command, start_failed};
use crate::clock::{Clock as _, SystemClock};
use crate::executor::{Task, unsupported};
use crate::id::JobId;
use crate::job::{Exec, Failure, Operation, Shell, Step, Submitter};

/// What a command would be on this host, with every symbolic link resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The file that would be executed; none for a script, which `/bin/sh` gets.
    pub program: Option<PathBuf>,
    /// Where it would run.
    pub cwd: PathBuf,
    /// As whom.
    pub user: ResolvedUser,
}

/// A user of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// The number, by which the system knows it.
    pub uid: u32,
    /// The name; the number again if it has none.
    pub name: String,
    /// Whether it is the agent's own.
    pub is_own: bool,
}

impl From<&Account> for ResolvedUser {
    fn from(account: &Account) -> Self {
        let Account { uid, name, home: _, credentials } = account;
        Self { uid: *uid, name: name.clone(), is_own: credentials.is_none() }
    }
}

/// What is allowed holds within these bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Bytes that are kept of each output stream, at most.
    pub max_output: Option<u64>,
}

/// The rules of this host on what may be performed.
pub trait Rules: Debug + Send + Sync + 'static {
    /// Whether `operation` may be performed for `submitter`, and within which bounds. It is asked twice: when the order comes, while it
    /// is not `resolved` yet, and right before the start, when the bounds count.
    ///
    /// # Errors
    /// Why it may not.
    fn admit(
        &self,
        operation: &Operation,
        submitter: &Submitter,
        resolved: Option<&Resolved>,
    ) -> Result<Terms, Failure>;
}

/// The rules, as they change. While there are none, everything may be performed.
pub type RulesInForce = watch::Receiver<Option<Arc<dyn Rules>>>;

/// What asks the rules about one task, as they are at that moment.
#[derive(Debug)]
pub(super) struct Guard {
    rules: RulesInForce,
    operation: Operation,
    submitter: Submitter,
}

/// Which file is executed, by which name, and where.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) program: PathBuf,
    pub(super) arg0: OsString,
    pub(super) cwd: PathBuf,
    pub(super) terms: Terms,
}

impl Guard {
    pub(super) fn new(rules: RulesInForce, task: &Task) -> Self {
        let Task { job: _, operation, submitter } = task.clone();
        Self { rules, operation, submitter }
    }

    pub(super) fn admit(&self, resolved: Option<&Resolved>) -> Result<Terms, Failure> {
        let rules = self.rules.borrow().clone();
        rules.map_or(Ok(Terms::default()), |rules| {
            rules.admit(&self.operation, &self.submitter, resolved)
        })
    }

    /// The way to start `command`, which was found at `located`. Under rules, if they allow it, the file and the directory that they were
    /// asked about; a program is called by its own path then, as some do by their name what their arguments do not show. Blocks.
    pub(super) fn way(&self, command: &Command, located: PathBuf) -> Result<Way, Failure> {
        if self.rules.borrow().is_none() {
            let (arg0, cwd) = (command.name.clone().into(), command.cwd.clone());
            return Ok(Way { program: located, arg0, cwd, terms: Terms::default() });
        }
        let resolved = links_resolved(&self.operation, command, &located)?;
        let terms = self.admit(Some(&resolved))?;
        let Resolved { program, cwd, user: _ } = resolved;
        let arg0 = program.as_ref().map_or(OsString::from(&command.name), OsString::from);
        Ok(Way { program: program.unwrap_or(located), arg0, cwd, terms })
    }
}

/// What `operation` would be on this host, found as an executor finds it. Blocks.
///
/// # Errors
/// When it is no command, or why it could not be started, as far as that shows beforehand.
pub fn resolve(operation: &Operation) -> Result<Resolved, Failure> {
    let host = "local".parse().expect("it is one token");
    let execution = Execution { job: JobId::new(SystemClock.wall()), host };
    let user = operation.surroundings().and_then(|surroundings| surroundings.user);
    let account = user.map_or_else(|| Ok(Account::current()), Account::named)?;
    let command = match operation {
        Operation::Exec(exec) => Command::exec(execution, Exec::clone(exec), account),
        Operation::Shell(shell) => Command::shell(execution, Shell::clone(shell), account),
        Operation::Facts | Operation::Custom(_) => return Err(unsupported(operation)),
    };
    links_resolved(operation, &command, &command.locate()?)
}

fn links_resolved(
    operation: &Operation,
    command: &Command,
    located: &Path,
) -> Result<Resolved, Failure> {
    let real = |step, path: &Path| {
        fs::canonicalize(path).map_err(|err| start_failed(step, "cannot resolve", path, &err))
    };
    let cwd = real(Step::Cwd, &command.cwd)?;
    let program = match operation {
        Operation::Exec(_) => Some(real(Step::Program, located)?),
        Operation::Shell(_) | Operation::Facts | Operation::Custom(_) => None,
    };
    Ok(Resolved { program, cwd, user: (&command.account).into() })
}
