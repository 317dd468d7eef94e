//! What a new process does to itself before it executes its program, where more is asked for than posix_spawn(3) can do.
//!
//! It is a copy of one thread of the agent, in which any lock may be held for ever: everything is prepared before, and between fork(2)
//! and execve(2) there are system calls only (signal-safety(7)).

use std::ffi::{CString, NulError};
use std::io;
use std::os::unix::ffi::OsStringExt as _;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{chdir, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::account::Credentials;
use super::bounds::Bounds;
use super::guard::Way;
use super::program::Command;
use super::system::Image;
use crate::job::report::Step;

/// Everything that it does, in the order in which it is done.
#[derive(Debug)]
pub(super) struct Plan {
    bounds: Bounds,
    umask: Option<Mode>,
    credentials: Option<Credentials>,
    cwd: CString,
    pub(super) image: Image,
}

/// Why a process did not come to execute its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) step: Step,
    pub(super) errno: Errno,
}

impl Plan {
    /// What has to be done so that `command` goes its `way`.
    ///
    /// # Errors
    /// When a text has a NUL, which none of a checked request has.
    pub(super) fn new(command: &Command, way: &Way, bounds: Bounds) -> Result<Self, NulError> {
        let argv = std::iter::once(way.arg0.clone().into_vec())
            .chain(command.args.iter().map(|arg| arg.clone().into_bytes()));
        let env = command.env.iter().map(|(name, value)| format!("{name}={value}").into_bytes());
        Ok(Self {
            bounds,
            umask: command.umask.map(|umask| Mode::from_raw_mode(umask.bits().into())),
            credentials: command.account.credentials.clone(),
            cwd: CString::new(way.cwd.clone().into_os_string().into_vec())?,
            image: Image::new(way.program.clone().into_os_string().into_vec(), argv, env)?,
        })
    }

    /// Does all but the last thing, which is to execute the program. System calls only: see above.
    pub(super) fn prepare(&self) -> Result<(), Refusal> {
        // First, while it may.
        self.bounds.take_on().map_err(|errno| Refusal { step: Step::Limit, errno })?;
        if let Some(mask) = self.umask {
            umask(mask);
        }
        if let Some(credentials) = &self.credentials {
            credentials.take_on().map_err(|errno| Refusal { step: Step::User, errno })?;
        }
        // As the user: root may enter what they may not.
        chdir(self.cwd.as_c_str()).map_err(|errno| Refusal { step: Step::Cwd, errno })
    }
}

impl Credentials {
    /// Makes this process, of one thread, one of the user's. Groups first, while it may; nothing of before is left.
    fn take_on(&self) -> Result<(), Errno> {
        let Self { uid, gid, groups } = self;
        set_thread_groups(groups)?;
        set_thread_res_gid(*gid, *gid, *gid)?;
        set_thread_res_uid(*uid, *uid, *uid)?;
        if uid.is_root() {
            return Ok(());
        }
        // The kernel does so too, unless it was told not to for the agent (SECBIT_NO_SETUID_FIXUP, capabilities(7)).
        let none = CapabilitySet::empty();
        set_capabilities(
            None,
            CapabilitySets { effective: none, permitted: none, inheritable: none },
        )
    }
}

impl Refusal {
    /// Where in the number that std carries from the child to its parent the step stands: no error number is so large.
    const SHIFT: u32 = 16;

    /// It as the error with which a child ends.
    pub(super) fn encode(self) -> io::Error {
        let step = match self.step {
            Step::Setup => 1,
            Step::User => 2,
            Step::Cwd => 3,
            Step::Program => 4,
            Step::Limit => 5,
        };
        io::Error::from_raw_os_error(step << Self::SHIFT | self.errno.raw_os_error())
    }

    /// What a child ended with; none if the error is one of the parent's, or of std's.
    pub(super) fn decode(err: &io::Error) -> Option<Self> {
        let raw = err.raw_os_error()?;
        let step = match raw >> Self::SHIFT {
            1 => Step::Setup,
            2 => Step::User,
            3 => Step::Cwd,
            4 => Step::Program,
            5 => Step::Limit,
            _ => return None,
        };
        Some(Self { step, errno: Errno::from_raw_os_error(raw & ((1 << Self::SHIFT) - 1)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_way_to_the_parent() {
        for step in [Step::Setup, Step::User, Step::Cwd, Step::Program, Step::Limit] {
            let refusal = Refusal { step, errno: Errno::PERM };
            let carried = refusal.encode().raw_os_error().unwrap().to_be_bytes();
            let err = io::Error::from_raw_os_error(i32::from_be_bytes(carried));
            assert_eq!(Refusal::decode(&err), Some(refusal));
        }
        assert_eq!(Refusal::decode(&Errno::AGAIN.into()), None);
        assert_eq!(Refusal::decode(&io::ErrorKind::Other.into()), None);
    }
}
