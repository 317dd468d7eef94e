//! What exactly is to be started, found out before anything is: a missing directory and a missing program both give ENOENT, and
//! only a look beforehand tells them apart. Blocks.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::Execution;
use super::account::{self, Account};
use super::bounds;
use super::child::Refusal;
use super::environment::environment;
use crate::job::report::{Failure, Step};
use crate::job::{Exec, Resource, ResourceLimits, Shell, Stdin, Umask};

/// What becomes of what a command leaves in the background when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Children {
    /// They are ended too.
    End,
    /// They go on.
    Keep,
}

/// What is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) execution: Execution,
    /// As the request names it; the first of argv.
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) cwd: PathBuf,
    pub(super) env: BTreeMap<String, String>,
    pub(super) stdin: Option<Stdin>,
    /// As whom it runs.
    pub(super) account: Account,
    /// Its umask, if not that of the agent.
    pub(super) umask: Option<Umask>,
    /// How much it may use.
    pub(super) limits: ResourceLimits,
    /// What becomes of what it leaves in the background.
    pub(super) children: Children,
}

impl Command {
    /// The program `exec`, as `account`.
    pub(super) fn exec(execution: Execution, exec: Exec, account: Account) -> Self {
        let Exec { command, args, cwd, env, stdin, umask, limits, keep_children, .. } = exec;
        let cwd = PathBuf::from(cwd.unwrap_or_else(|| "/".to_owned()));
        let env = environment(&account, &execution, &env);
        let children = if keep_children { Children::Keep } else { Children::End };
        Self { execution, name: command, args, cwd, env, stdin, account, umask, limits, children }
    }

    /// The script `shell`, given to `/bin/sh -c`, as `account`.
    pub(super) fn shell(execution: Execution, shell: Shell, account: Account) -> Self {
        let Shell { command, cwd, env, timeout, stdin, user, umask, limits, keep_children } = shell;
        let (args, command) = (vec!["-c".to_owned(), command], "/bin/sh".to_owned());
        let exec =
            Exec { command, args, cwd, env, timeout, stdin, user, umask, limits, keep_children };
        Self::exec(execution, exec, account)
    }

    /// Whether its process has more to do than posix_spawn(3) does for it.
    pub(super) fn needs_preparation(&self) -> bool {
        self.account.credentials.is_some() || self.umask.is_some() || !self.limits.is_empty()
    }

    /// Checks the working directory, then finds the program, as execvp(3) would in the command's own PATH.
    ///
    /// # Errors
    /// Why it cannot be started, as far as that shows beforehand.
    pub(super) fn locate(&self) -> Result<PathBuf, Failure> {
        check_directory(&self.cwd)
            .map_err(|err| start_failed(Step::Cwd, "cannot enter", &self.cwd, &err))?;
        if self.name.contains('/') {
            return Ok(self.cwd.join(&self.name));
        }
        let path = self.env.get("PATH").map_or("", String::as_str);
        let mut refused = None;
        for dir in path.split(':') {
            let candidate = self.cwd.join(dir).join(&self.name);
            match check_program(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
                    refused.get_or_insert((candidate, err));
                }
                Err(_) => {}
            }
        }
        Err(match refused {
            Some((candidate, err)) => {
                start_failed(Step::Program, "cannot execute", &candidate, &err)
            }
            None => {
                let (name, err) = (Path::new(&self.name), Errno::NOENT.into());
                let mut failure = start_failed(Step::Program, "cannot find", name, &err);
                failure.message.push_str(&format!(" (PATH is {path})"));
                failure
            }
        })
    }

    /// Says why starting `program`, which was found, failed: in its process, or before there was one.
    pub(super) fn failure(&self, program: &Path, err: &io::Error) -> Failure {
        let Some(Refusal { step, errno }) = Refusal::decode(err) else {
            return self.not_executed(program, err);
        };
        let err = errno.into();
        match step {
            Step::Program if errno == Errno::AGAIN && self.has_few_processes() => {
                bounds::failure("its user has as many processes as the limit lets it have", &err)
            }
            Step::Limit => bounds::failure(&format!("cannot set the limits {}", self.limits), &err),
            Step::Program | Step::Setup => self.not_executed(program, &err),
            Step::Cwd => start_failed(step, "cannot enter", &self.cwd, &err),
            Step::User => account::failure(&format!("cannot become {}", self.account.name), &err),
        }
    }

    fn has_few_processes(&self) -> bool {
        self.limits.get(Resource::Processes).is_some()
    }

    fn not_executed(&self, program: &Path, err: &io::Error) -> Failure {
        let errno = err.raw_os_error().map(Errno::from_raw_os_error);
        let step = match errno {
            // What a machine runs out of, not what is wrong with the program.
            Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => Step::Setup,
            _ => Step::Program,
        };
        let mut failure = start_failed(step, "cannot start", program, err);
        let reason = match errno {
            Some(Errno::NOENT) if program.exists() => "its interpreter or loader is missing",
            Some(Errno::NOEXEC) => "it is neither a binary of this machine nor a script with '#!'",
            Some(Errno::TOOBIG) => "its arguments and environment are too large together",
            _ => return failure,
        };
        failure.message.push_str(&format!(" ({reason})"));
        failure
    }
}

fn check_directory(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    Ok(access(path, Access::EXEC_OK)?)
}

fn check_program(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_file() {
        return Err(Errno::ACCESS.into());
    }
    Ok(access(path, Access::EXEC_OK)?)
}

pub(super) fn start_failed(step: Step, what: &str, path: &Path, err: &io::Error) -> Failure {
    let message = format!("{what} {}: {}", path.display(), reason(err));
    Failure { step: Some(step), errno: err.raw_os_error(), ..Failure::new("start_failed", message) }
}

/// An error of the system in words. Its number has a field of its own.
pub(super) fn reason(err: &io::Error) -> String {
    let text = err.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
