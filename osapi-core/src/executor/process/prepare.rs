//! What the process itself has to be like before it starts commands.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Mode;
use rustix::process::{Pid, set_child_subreaper, umask};

use super::system;

static PREPARED: AtomicBool = AtomicBool::new(false);

/// Prepares this process for starting commands. Call it first thing in `main`, before any thread is started.
///
/// A command inherits from the process that starts it what no exec resets: the umask, blocked and ignored signals, descriptors
/// that this process got without close-on-exec. It sets the umask to 0022, marks the descriptors, unblocks every signal, and catches, without doing anything, what was ignored (by `nohup`, for instance): the
/// signal still cannot end this process, and exec gives the command the default back (execve(2)).
///
/// It also makes this process a subreaper (prctl(2)), to which the orphans of commands fall, so that they are found at once. From
/// then on **every child process that [`super::ProcessExecutor`] did not start is taken for such an orphan**, and is ended and
/// reaped: call it only in a program that starts no others.
///
/// # Errors
/// When /proc is not mounted, or the kernel refuses.
pub fn prepare_this_process() -> io::Result<()> {
    umask(Mode::from_raw_mode(0o022));
    system::keep_descriptors()?;
    system::catch_ignored_signals();
    system::unblock_signals()?;
    // Any pid but none means yes.
    set_child_subreaper(Some(Pid::INIT))?;
    PREPARED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether [`prepare_this_process`] has been called.
pub(super) fn is_prepared() -> bool {
    PREPARED.load(Ordering::Relaxed)
}
