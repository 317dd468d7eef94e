//! The one file with unsafe code: what the operating system offers and nobody wraps in a safe interface.
#![expect(
    unsafe_code,
    reason = "sigaction, pthread_sigmask and execve, what is done between it and fork, and descriptors that tokio has to trust"
)]

use std::ffi::{CString, NulError, c_char};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::ptr;

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::child::{Plan, Refusal};
use crate::job::report::Step;

/// The last signal of Linux (signal(7)).
const SIGNAL_MAX: libc::c_int = 64;

/// Registers `fd` with the runtime, to wait until it is readable.
///
/// # Errors
/// When the kernel refuses to watch it.
pub(super) fn watch_readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, is always the same descriptor, and stays open until it is dropped; the `AsyncFd` owns it and
    // gives no mutable access to it here.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

/// Keeps every descriptor above standard error from the programs that this process executes.
///
/// # Errors
/// When they cannot be listed.
pub(super) fn keep_descriptors() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if fd > libc::STDERR_FILENO {
            // SAFETY: setting this flag changes nothing about the descriptor in this process. One that is closed meanwhile fails.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Catches, without doing anything, the signals that are ignored: exec gives a caught signal its default back, an ignored one
/// stays ignored (execve(2)).
pub(super) fn catch_ignored_signals() {
    (1..=SIGNAL_MAX).for_each(catch_if_ignored);
}

extern "C" fn do_nothing(_: libc::c_int) {}

fn catch_if_ignored(signal: libc::c_int) {
    let by_design = match signal {
        // The runtime of Rust ignores it, and std gives it back to the programs that it starts.
        libc::SIGPIPE => return,
        // A process that catches these is disturbed by its terminal; one that ignores them is not.
        libc::SIGTTIN | libc::SIGTTOU | libc::SIGTSTP => return,
        // While it is ignored, there is nothing to wait for.
        libc::SIGCHLD => libc::SIG_DFL,
        _ => do_nothing as *const () as libc::sighandler_t,
    };
    // SAFETY: all-zero bytes are a valid `sigaction`: integers, a mask, and a nullable function.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are null or point to a live `sigaction`. It fails only for signals that cannot be caught (SIGKILL,
    // SIGSTOP, those that the C library keeps to itself), and those cannot be ignored either.
    let known = unsafe { libc::sigaction(signal, ptr::null(), &mut action) } == 0;
    if known && action.sa_sigaction == libc::SIG_IGN {
        action.sa_sigaction = by_design;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: as above; the handler does nothing, so that it is safe to run at any moment in any thread.
        unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
    }
}

/// Unblocks every signal for this thread, and for those that it starts.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn unblock_signals() -> io::Result<()> {
    // SAFETY: a `sigset_t` is an array of integers, and `sigemptyset` initialises it before it is used.
    let errno = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, ptr::null_mut())
    };
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// A program with its arguments and its environment, as execve(2) takes them.
#[derive(Debug)]
pub(super) struct Image {
    program: CString,
    argv: Texts,
    env: Texts,
}

/// Texts, and a list of where they are, ended by null.
#[derive(Debug)]
struct Texts {
    places: Vec<*const c_char>,
    /// They are on the heap, where they stay when this value is moved.
    _kept: Vec<CString>,
}

// SAFETY: the pointers lead to texts that the same value owns, and that nobody changes as long as it exists.
unsafe impl Send for Texts {}
// SAFETY: as above; sharing it only reads.
unsafe impl Sync for Texts {}

impl Texts {
    fn new(texts: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, NulError> {
        let kept = texts.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let places = kept.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { places, _kept: kept })
    }
}

impl Image {
    /// The file `program`, with its own name as the first of `argv`.
    ///
    /// # Errors
    /// When a text has a NUL.
    pub(super) fn new(
        program: Vec<u8>,
        argv: impl IntoIterator<Item = Vec<u8>>,
        env: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<Self, NulError> {
        let (argv, env) = (Texts::new(argv)?, Texts::new(env)?);
        Ok(Self { program: CString::new(program)?, argv, env })
    }

    /// Executes it in the place of this process; returns only why not.
    fn execute(&self) -> Errno {
        // SAFETY: a text that ends with NUL, and two lists of such texts that end with null; all are alive, and are only read.
        unsafe {
            libc::execve(self.program.as_ptr(), self.argv.places.as_ptr(), self.env.places.as_ptr())
        };
        Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
    }
}

/// Has the process that `command` starts do what is in `plan`, and execute the program of the plan by execve(2) itself: std would do so through
/// execvp(3), which runs a script without `#!` under `/bin/sh`, silently.
pub(super) fn follow(command: &mut std::process::Command, plan: Plan) {
    let begin = move || {
        let refusal = match plan.prepare() {
            Ok(()) => Refusal { step: Step::Program, errno: plan.image.execute() },
            Err(refusal) => refusal,
        };
        Err(refusal.encode())
    };
    // SAFETY: what runs in the new process makes system calls on what was prepared here, and reads `errno`. It takes no lock, allocates
    // and frees nothing, and does not panic: it indexes nothing and unwraps nothing.
    unsafe { command.pre_exec(begin) };
}
