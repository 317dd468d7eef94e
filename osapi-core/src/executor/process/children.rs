//! The children of this process: those that were started here, and the orphans that fall to it once it is a subreaper.
//!
//! There is one set of children per process, and so there is one register, whatever the number of executors.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

use super::procfs;

static REGISTER: Mutex<Register> =
    Mutex::new(Register { spawning: 0, leaders: BTreeSet::new(), keeps_orphans: false });

struct Register {
    /// Commands that are being started: their processes may exist and are not in `leaders` yet.
    spawning: usize,
    /// Processes that were started here and are not reaped.
    leaders: BTreeSet<i32>,
    /// Whether some of the orphans may be what a command left that is to go on.
    keeps_orphans: bool,
}

/// The first process of a command. Until it is reaped its pid, and its group's, are nobody else's.
#[derive(Debug)]
pub(super) struct Leader {
    child: Child,
    status: Option<ExitStatus>,
}

impl Leader {
    /// Starts a process. Blocks until it executes its program.
    ///
    /// # Errors
    /// Why it could not be started.
    pub(super) fn start(spawn: impl FnOnce() -> io::Result<Child>) -> io::Result<Self> {
        /// Counts down also when `spawn` panics.
        struct Spawning;
        impl Drop for Spawning {
            fn drop(&mut self) {
                register().spawning -= 1;
            }
        }
        register().spawning += 1;
        let spawning = Spawning;
        let child = spawn()?;
        register().leaders.insert(child.id() as i32);
        drop(spawning);
        Ok(Self { child, status: None })
    }

    /// Its pid, which is also the id of its process group.
    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The reading ends of its standard output and its standard error, once.
    pub(super) fn take_output(&mut self) -> Option<(OwnedFd, OwnedFd)> {
        Some((self.child.stdout.take()?.into(), self.child.stderr.take()?.into()))
    }

    /// Whether it has ended, as the kernel says at this moment.
    pub(super) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        matches!(waitid(WaitId::Pid(self.pid()), options), Ok(Some(_)))
    }

    /// How it ended, if it has. Its pid is free from then on.
    ///
    /// # Errors
    /// When somebody else has reaped it.
    pub(super) fn reap(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut register = register();
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                register.leaders.remove(&(self.child.id() as i32));
            }
        }
        Ok(self.status)
    }

    /// Waits until it has ended. Blocks.
    ///
    /// # Errors
    /// As for [`Leader::reap`].
    pub(super) fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        waitid(WaitId::Pid(self.pid()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        self.reap()
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if self.status.is_none() {
            register().leaders.remove(&(self.child.id() as i32));
        }
    }
}

/// Children of this process that are no leaders.
#[derive(Debug)]
pub(super) struct Orphans {
    pub(super) pids: Vec<i32>,
    /// Whether exactly one command is running, and no other has left anything on purpose, so that they can only be its own.
    pub(super) of_one: bool,
}

/// The orphans that fell to this process; ended ones are reaped.
///
/// While a command is being started, its process cannot be told from them: then nothing is reaped, and `of_one` is false.
/// Call it only in a process that starts nothing but commands ([`super::prepare_this_process`]).
pub(super) fn orphans() -> Orphans {
    let mut register = register();
    let mut pids = procfs::children(std::process::id() as i32);
    pids.retain(|pid| !register.leaders.contains(pid));
    let is_quiet = register.spawning == 0;
    pids.retain(|pid| !(is_quiet && reaped(*pid)));
    if is_quiet && pids.is_empty() {
        // Whatever goes on is a descendant of an orphan.
        register.keeps_orphans = false;
    }
    let of_one = is_quiet && !register.keeps_orphans && register.leaders.len() == 1;
    Orphans { pids, of_one }
}

/// Takes note that orphans of a command that ends now are to go on: as long as there are any, none is taken for another command's.
pub(super) fn keep_orphans() {
    register().keeps_orphans = true;
}

fn reaped(pid: i32) -> bool {
    let waited = Pid::from_raw(pid).map(|pid| waitpid(Some(pid), WaitOptions::NOHANG));
    matches!(waited, Some(Ok(Some(_))))
}

fn register() -> MutexGuard<'static, Register> {
    // Nothing that can panic runs while it is held.
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}
