//! Which `nats-server` the tests run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The version that `tests/run` fetches if there is no other.
pub const PINNED: &str = "2.15.1";
/// Names the program to run instead of any other.
pub const VARIABLE: &str = "OSAPI_TEST_NATS_SERVER";
/// The first version that fits.
const OLDEST: (u32, u32) = (2, 11);

/// The program.
///
/// # Panics
/// When there is none that fits; the message says what to do.
#[must_use]
pub fn path() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| find().unwrap_or_else(|why| panic!("{why}")))
}

fn find() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os(VARIABLE) {
        let path = PathBuf::from(named);
        return fitting(&path).map(|()| path).map_err(|why| format!("{VARIABLE}: {why}"));
    }
    let dirs = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&dirs).map(|dir| dir.join("nats-server"));
    let fetched = target().join(format!("nats-server-{PINNED}/nats-server"));
    on_path.chain([fetched]).find(|path| fitting(path).is_ok()).ok_or_else(|| {
        let (major, minor) = OLDEST;
        format!(
            "these tests need a nats-server {major}.{minor} or newer: 'tests/run' fetches one into target/, or put one on the PATH, or \
             name one by {VARIABLE}"
        )
    })
}

/// Where cargo builds, as `tests/run` knows it too.
fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is in a workspace");
    // A relative one is relative to where cargo was started, which for both is the workspace.
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), |dir| workspace.join(dir))
}

#[expect(clippy::disallowed_methods, reason = "tests start the programs that they test with")]
pub(crate) fn command(program: &Path) -> Command {
    Command::new(program)
}

/// Whether a program is a `nats-server` that fits.
fn fitting(path: &Path) -> Result<(), String> {
    let output = command(path).arg("--version").output();
    let output = output.map_err(|error| format!("{} cannot be run: {error}", path.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match version(&said) {
        Some(found) if found >= OLDEST => Ok(()),
        Some(_) => Err(format!("{} is too old: {said}", path.display())),
        None => Err(format!("{} is no nats-server: it says '{said}'", path.display())),
    }
}

/// Major and minor version in `nats-server: v2.15.1`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.strip_prefix("nats-server: v")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.12.0-RC.1"), Some((2, 12)));
        assert_eq!(version("something else"), None);
        assert!(version("nats-server: v2.9.22") < Some(OLDEST));
    }

    #[test]
    fn another_program_does_not_fit() {
        let error = fitting(Path::new("/bin/sh")).unwrap_err();
        assert!(error.contains("no nats-server"), "{error}");
    }
}
