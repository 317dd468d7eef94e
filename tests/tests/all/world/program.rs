//! Where the program is. It is built if it is missing or older than its sources.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The top of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is in a workspace")
}

/// What is built here.
pub(crate) const PROGRAMS: [&str; 3] = ["osapi", "osapi-server", "osapi-agent"];

/// A process of ours, by its program.
#[expect(clippy::disallowed_methods, reason = "tests start the programs that they test")]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// The built `osapi`.
pub(crate) fn osapi() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("osapi"))
}

/// A built program.
pub(crate) fn built(name: &str) -> PathBuf {
    static FRESH: OnceLock<PathBuf> = OnceLock::new();
    let programs = FRESH.get_or_init(|| {
        // target/debug/deps/all-0123 stands beside target/debug/osapi.
        let test = env::current_exe().expect("a test knows its own path");
        let dir = test.ancestors().nth(2).expect("a test is in target/*/deps").to_owned();
        let oldest = PROGRAMS.iter().map(|name| changed(&dir.join(name))).min();
        if oldest < Some(sources()) {
            build(dir.ends_with("release"));
        }
        dir
    });
    let path = programs.join(name);
    assert!(path.is_file(), "there is no program at {}", path.display());
    path
}

/// As `tests/run` builds it, so that neither builds what the other has.
fn build(release: bool) {
    let mut cargo = command(env!("CARGO"));
    cargo.current_dir(workspace()).args(["build", "--quiet", "--locked", "--workspace", "--bins"]);
    if release {
        cargo.arg("--release");
    }
    let built = cargo.output().expect("cargo can be started");
    let why = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the programs under test cannot be built:\n{why}");
}

fn sources() -> SystemTime {
    ["osapi-core", "osapi-client", "bins"]
        .iter()
        .map(|part| newest(&workspace().join(part)))
        .max()
        .expect("there are parts")
}

fn newest(path: &Path) -> SystemTime {
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    below.map(|entry| newest(&entry.path())).fold(changed(path), SystemTime::max)
}

fn changed(path: &Path) -> SystemTime {
    let is_source = path.extension().is_none_or(|kind| kind == "rs" || kind == "toml");
    let metadata = fs::metadata(path).ok().filter(|file| is_source && file.is_file());
    metadata.and_then(|file| file.modified().ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}
