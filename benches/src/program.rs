//! The programs that are measured, and the machine that they run on.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;

use crate::error::Failure;
use crate::plan::Plan;

/// The `osapi` program.
#[derive(Debug, Clone)]
pub(crate) struct Program(PathBuf);

impl Program {
    /// The program of the plan; otherwise the one beside this program, brought up to date if cargo runs this one.
    ///
    /// # Errors
    /// When it cannot be built, or this is a debug build, whose figures would mislead.
    pub(crate) fn find(plan: &Plan) -> Result<Self, Failure> {
        if let Some(osapi) = &plan.osapi {
            return Ok(Self(osapi.clone()));
        }
        if cfg!(debug_assertions) {
            let text = "a debug build shows nothing: cargo run --release -p osapi-benches";
            return Err(Failure::Arguments(text.to_owned()));
        }
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut build = command(Path::new(&cargo));
            finish(build.args(["build", "--quiet", "--release", "-p", "osapi"]))?;
        }
        let own = std::env::current_exe().map_err(Failure::io("find this program"))?;
        Ok(Self(own.with_file_name("osapi")))
    }

    /// A call of it for the data directory `home`, with nothing else of the caller's surroundings that it would look at.
    pub(crate) fn call(&self, home: &Path) -> Command {
        let mut call = command(&self.0);
        call.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home);
        call.arg("--data-dir").arg(home);
        call
    }
}

/// `true`, by the search that a command of a job has to make too.
pub(crate) fn true_command() -> Command {
    let mut call = command(Path::new("true"));
    call.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    call
}

#[expect(clippy::disallowed_methods, reason = "what starting a program costs is measured here")]
fn command(path: &Path) -> Command {
    Command::new(path)
}

/// Runs `call` to its end, with its input and output nowhere.
///
/// # Errors
/// When it does not start or does not succeed.
pub(crate) fn run(call: &mut Command) -> Result<(), Failure> {
    finish(call.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
}

fn finish(call: &mut Command) -> Result<(), Failure> {
    let mut child = start(call)?;
    let status = child.wait().map_err(Failure::io("wait for a program"))?;
    let failed = || Failure::Program { command: format!("{call:?}"), status };
    status.success().then_some(()).ok_or_else(failed)
}

/// Starts `call`.
///
/// # Errors
/// When it does not start.
pub(crate) fn start(call: &mut Command) -> Result<Child, Failure> {
    call.spawn().map_err(Failure::io("start a program"))
}

/// The machine, in one line.
pub(crate) fn machine(plan: &Plan) -> String {
    let uname = rustix::system::uname();
    format!(
        "{} cores, {} {} {}, data in {}\n",
        available_parallelism().map_or(1, usize::from),
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy(),
        plan.dir.display(),
    )
}
