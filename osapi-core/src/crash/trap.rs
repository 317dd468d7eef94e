//! The point at which this process ends, and its end.

use std::env;
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

use super::point::{Place, Point, Side, UnknownPoint};
use crate::id::JobId;

/// Names the point, and after a colon which pass of it: `agent.spawned.before`, `agent.send.hello.after:3`.
pub const VARIABLE: &str = "OSAPI_TEST_CRASH_AT";
/// Names the point at which the process stops instead, until it is told to go on.
pub const STOP_VARIABLE: &str = "OSAPI_TEST_STOP_AT";

/// Set once, before anything passes.
static TRAP: OnceLock<Trap> = OnceLock::new();

#[derive(Debug)]
struct Trap {
    act: Act,
    point: Point,
    /// Passes until the last one.
    left: AtomicU32,
}

/// What a process does at the armed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Crash,
    Stop,
}

/// Why no point was armed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArmError {
    /// There is none of that name.
    #[error(transparent)]
    Unknown(#[from] UnknownPoint),
    /// What stands after the colon is no number from 1 on.
    #[error("'{0}' is no pass of a crash point: it must be a number from 1 on")]
    Pass(String),
    /// One was armed before.
    #[error("a crash point was armed already")]
    Armed,
}

/// Arms the point that [`VARIABLE`] or [`STOP_VARIABLE`] names, if one of them is there.
///
/// # Errors
/// When it names none, or both are there.
pub fn arm_by_environment() -> Result<(), ArmError> {
    for (variable, act) in [(VARIABLE, Act::Crash), (STOP_VARIABLE, Act::Stop)] {
        if let Some(value) = env::var_os(variable) {
            let trap = trap(act, &value.to_string_lossy())?;
            TRAP.set(trap).map_err(|_| ArmError::Armed)?;
        }
    }
    Ok(())
}

fn trap(act: Act, text: &str) -> Result<Trap, ArmError> {
    let (name, pass) = text.split_once(':').unwrap_or((text, "1"));
    let left = pass.parse().ok().filter(|left| *left > 0);
    let left = left.ok_or_else(|| ArmError::Pass(pass.to_owned()))?;
    Ok(Trap { act, point: name.parse()?, left: AtomicU32::new(left) })
}

pub(super) fn is_armed() -> bool {
    TRAP.get().is_some()
}

/// Whether the process ends at this point, now or later.
pub(super) fn is_armed_at(place: Place, side: Side) -> bool {
    TRAP.get().is_some_and(|trap| trap.point == Point { place, side })
}

/// Passes a point: ends or stops the process if it is the armed one, and this the pass.
pub fn pass(place: Place, side: Side, job: Option<JobId>) {
    let Some(trap) = TRAP.get().filter(|trap| trap.point == Point { place, side }) else { return };
    if trap.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        match trap.act {
            Act::Crash => crash(trap.point, job),
            Act::Stop => stop(trap.point, job),
        }
    }
}

/// Stops this process where it is, after a line that says where.
fn stop(point: Point, job: Option<JobId>) {
    let job = job.map(|job| format!(" with job {job}")).unwrap_or_default();
    eprintln!("stops at {point}{job}");
    if let Err(error) = kill_process(getpid(), Signal::STOP) {
        panic!("a process may stop itself: {error}");
    }
    // Another thread can be the one to take it, and until it does, this one would go on. Once it is taken, each has to stop, and this one
    // does so before it returns from the call that shows it.
    while is_pending(Signal::STOP) {}
}

/// Whether `signal` was sent to this process as a whole and is not taken yet (proc_pid_status(5), `ShdPnd`).
fn is_pending(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let pending = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let pending = pending.expect("a mask of signals, in hexadecimal digits");
    pending & (1 << (signal.as_raw() - 1)) != 0
}

/// Ends this process as a power cut would, after a line that says where.
fn crash(point: Point, job: Option<JobId>) -> ! {
    let job = job.map(|job| format!(" with job {job}")).unwrap_or_default();
    eprintln!("crashes at {point}{job}");
    match kill_process(getpid(), Signal::KILL) {
        // The signal is there before the call returns, and nothing holds it off (signal(7)).
        Ok(()) => unreachable!("this process has ended"),
        Err(error) => panic!("a process may end itself: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_has_a_point_and_a_pass() {
        let at = |text| trap(Act::Crash, text).map(|trap| (trap.point, trap.left.into_inner()));
        assert_eq!(at("agent.spawned.before").unwrap(), (Place::Spawned.before(), 1));
        assert_eq!(at("agent.send.hello.after:3").unwrap(), (Place::Hello.after(), 3));
        for (text, why) in [
            ("", "no crash point is called ''"),
            ("agent.spawned", "no crash point is called 'agent.spawned'"),
            ("agent.spawned.before:0", "'0' is no pass"),
            ("agent.spawned.before:", "'' is no pass"),
        ] {
            let error = trap(Act::Crash, text).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
