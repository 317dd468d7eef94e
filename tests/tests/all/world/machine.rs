//! A directory that stands for a machine: home, temporary files, data, and the program on the path.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::program;
use super::run::Invocation;
use super::server::Server;

/// `nobody` on every Linux (the kernel's overflow id).
const NOBODY: u32 = 65_534;

/// A machine. What is on it goes with it.
pub(crate) struct Machine {
    dir: TempDir,
    /// The user who types there, if not the one who runs the tests.
    user: Option<u32>,
}

impl Machine {
    /// A machine of whoever runs the tests; every command gets its data directory by an option.
    pub(crate) fn new() -> Self {
        Self::in_dir(&env::temp_dir())
    }

    /// A machine of somebody who is not root, so that the data directory is found without an option.
    pub(crate) fn of_a_person() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::new();
        }
        // Whatever the variable of root's says, everybody can reach this one.
        let mut machine = Self::in_dir(Path::new("/tmp"));
        machine.give_to(NOBODY);
        machine
    }

    fn in_dir(parent: &Path) -> Self {
        let dir = TempDir::new_in(parent).expect("a directory can be made");
        let machine = Self { dir, user: None };
        for dir in [machine.home(), machine.tmp(), machine.bin()] {
            fs::create_dir(&dir).expect("the directory is new");
        }
        symlink(program::osapi(), machine.bin().join("osapi")).expect("the directory is new");
        machine
    }

    fn give_to(&mut self, user: u32) {
        fs::remove_file(self.bin().join("osapi")).expect("it was just made");
        self.install("osapi", program::osapi());
        fs::set_permissions(self.dir.path(), Permissions::from_mode(0o755)).expect("it is ours");
        for dir in [self.home(), self.tmp()] {
            chown(dir, Some(user), Some(user)).expect("root may give away");
        }
        self.user = Some(user);
    }

    /// Puts a program on the path. The user may not be able to reach it where it is.
    pub(crate) fn install(&self, name: &str, program: &Path) {
        let place = self.bin().join(name);
        if fs::hard_link(program, &place).is_err() {
            fs::copy(program, &place).expect("there is room for a copy");
        }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.path("tmp")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home().join("share/osapi")
    }

    fn bin(&self) -> PathBuf {
        self.path("bin")
    }

    /// A file or directory at the top of the machine.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `osapi` with these arguments and the machine's data directory.
    pub(crate) fn osapi<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Invocation {
        self.bare(["--data-dir"]).args([self.data_dir()]).args(args)
    }

    /// `osapi` with these arguments only.
    pub(crate) fn bare<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Invocation {
        self.program(&self.bin().join("osapi")).args(args)
    }

    /// A line as somebody types it into a shell of this machine.
    pub(crate) fn typed(&self, line: &str) -> Invocation {
        self.program(Path::new("/bin/sh")).args(["-c", line])
    }

    /// Starts `osapi start` and waits until it takes commands.
    pub(crate) fn start(&self) -> Server {
        self.start_with(|start| start)
    }

    /// The same, changed by `change`.
    pub(crate) fn start_with(&self, change: impl FnOnce(Invocation) -> Invocation) -> Server {
        Server::start(change(self.osapi(["start"])), self.data_dir())
    }

    /// Another program with these arguments.
    pub(crate) fn run<'a>(
        &self,
        program: &Path,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Invocation {
        self.program(program).args(args)
    }

    fn program(&self, program: &Path) -> Invocation {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin().display());
        Invocation::new(program)
            .env("PATH", path)
            .env("HOME", self.home())
            .env("XDG_DATA_HOME", self.home().join("share"))
            .env("TMPDIR", self.tmp())
            .env("OSAPI_API_SERVER_PORT", "0")
            .in_dir(&self.tmp())
            .with(|command| {
                if let Some(user) = self.user {
                    command.uid(user).gid(user);
                }
            })
    }
}
