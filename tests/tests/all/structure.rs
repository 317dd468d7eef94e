//! The shape of the workspace: who may link what, and what may stand where.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::world::{Invocation, Machine, PROGRAMS, built, workspace};

/// What `cargo tree` says of what a package links, one crate or feature in a line.
fn tree(package: &str, more: &[&str]) -> BTreeSet<String> {
    let environment = ["HOME", "PATH", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    let cargo = environment.iter().fold(Invocation::new(env!("CARGO")), |cargo, name| {
        std::env::var_os(name).into_iter().fold(cargo, |cargo, value| cargo.env(name, value))
    });
    let args = ["tree", "--offline", "--locked", "--prefix", "none", "--package", package];
    let ran = cargo.in_dir(workspace()).args(args).args(more).run().exits(0);
    let lines: BTreeSet<_> = ran.out().lines().map(ToOwned::to_owned).collect();
    assert!(lines.iter().any(|line| line.starts_with(package)), "{ran}");
    lines
}

/// The names of the crates that `package` links.
fn links(package: &str, more: &[&str]) -> BTreeSet<String> {
    let more: Vec<_> = ["--edges", "normal"].iter().chain(more).copied().collect();
    let first = |line: String| line.split(' ').next().map(ToOwned::to_owned);
    tree(package, &more).into_iter().filter_map(first).collect()
}

/// The features of the library that `package` enables.
fn features(package: &str) -> BTreeSet<String> {
    let lines = tree(package, &["--edges", "normal,features"]);
    let feature = |line: &String| {
        let (feature, _) = line.strip_prefix("osapi-core feature \"")?.split_once('"')?;
        Some(feature.to_owned())
    };
    lines.iter().filter_map(feature).collect()
}

#[track_caller]
fn none_of(words: &[&str], found: &BTreeSet<String>) {
    let bad: Vec<_> = words.iter().filter(|word| found.contains(**word)).collect();
    assert!(bad.is_empty(), "{bad:?} in {found:?}");
}

#[test]
fn the_client_links_no_broker_no_store_and_no_signatures() {
    let crates = links("osapi-client", &[]);
    assert!(crates.contains("osapi-core") && crates.contains("hyper"), "{crates:?}");
    none_of(&["async-nats", "redb", "pasetors", "osapi-server", "osapi-agent"], &crates);
    none_of(
        &["controller", "agent", "embedded", "process", "nats", "token"],
        &features("osapi-client"),
    );
}

#[test]
fn the_api_server_cannot_run_commands() {
    let features = features("osapi-server");
    assert!(features.contains("controller"), "{features:?}");
    none_of(&["process", "agent", "default"], &features);
}

#[test]
fn the_agent_links_no_http() {
    none_of(&["hyper", "hyper-util", "osapi-server", "osapi-client"], &links("osapi-agent", &[]));
    none_of(&["controller"], &features("osapi-agent"));
}

#[test]
fn what_programs_share_brings_neither_http_nor_commands_with_it() {
    none_of(&["hyper", "hyper-util", "osapi-server", "osapi-agent"], &links("osapi-service", &[]));
    let features = features("osapi-service");
    assert!(features.contains("nats"), "{features:?}");
    none_of(&["process", "agent", "controller", "embedded", "default"], &features);
}

/// Whether a file has these bytes.
fn has(file: &Path, bytes: &[u8]) -> bool {
    let text = fs::read(file).unwrap();
    text.windows(bytes.len()).any(|window| window[0] == bytes[0] && window == bytes)
}

#[test]
fn no_program_that_is_shipped_has_points_at_which_it_crashes() {
    for package in ["osapi-client", "osapi-tests"].iter().chain(&PROGRAMS) {
        none_of(&["crash-points"], &features(package));
    }
    for program in PROGRAMS {
        for name in ["OSAPI_TEST_CRASH_AT", "agent.journal.starting", "server.write.job"] {
            assert!(!has(&built(program), name.as_bytes()), "{name} in {program}");
        }
    }
    #[cfg(feature = "crash-points")]
    for name in ["OSAPI_TEST_CRASH_AT", "agent.journal.starting", "server.write.job"] {
        let program = Path::new(env!("CARGO_BIN_EXE_osapi-crashing"));
        assert!(has(program, name.as_bytes()), "the search finds nothing at all");
    }
}

#[test]
fn the_contract_needs_no_runtime() {
    let crates = links("osapi-core", &["--no-default-features"]);
    assert!(crates.contains("serde"), "{crates:?}");
    none_of(&["tokio", "tracing", "redb", "pasetors", "async-trait", "rustix"], &crates);
}

/// Every source file of the crates that are shipped, with its text up to its tests. Files of tests are left out.
fn sources() -> Vec<(PathBuf, String)> {
    let mut dirs = vec![workspace().join("osapi-core/src"), workspace().join("osapi-client/src")];
    let bins = fs::read_dir(workspace().join("bins")).unwrap().flatten();
    dirs.extend(bins.map(|bin| bin.path().join("src")).filter(|src| src.is_dir()));
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()) {
            match path.file_name().and_then(|name| name.to_str()) {
                Some("tests" | "tests.rs") => {}
                _ if path.is_dir() => dirs.push(path),
                Some(name) if name.ends_with(".rs") => {
                    let text = fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                    files.push((path, code.to_owned()));
                }
                _ => {}
            }
        }
    }
    assert!(files.len() > 100, "the sources were not found");
    files
}

/// Where in the code, comments left out, a line has what `is_bad` looks for.
fn places(files: &[(PathBuf, String)], is_bad: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    for (path, text) in files {
        let code =
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let name = path.strip_prefix(workspace()).unwrap().display();
        let bad = code.filter(|(_, line)| is_bad(line));
        places.extend(bad.map(|(n, line)| format!("{name}:{}: {}", n + 1, line.trim())));
    }
    places
}

fn is_contract(path: &Path) -> bool {
    path.starts_with(workspace().join("osapi-core/src/api"))
}

#[test]
fn paths_and_methods_stand_in_the_contract_alone() {
    let (contract, others): (Vec<_>, Vec<_>) =
        sources().into_iter().partition(|(path, _)| is_contract(path));
    let has_path = |line: &str| {
        ["\"/v1/", "\"/health", "\"/openapi", "\"/metrics"].iter().any(|path| line.contains(path))
    };
    assert!(!places(&contract, has_path).is_empty(), "the search finds nothing at all");
    assert_eq!(places(&others, has_path), BTreeSet::new());
    let words = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let has_method = |line: &str| {
        words.iter().any(|word| {
            line.contains(&format!("\"{word}\"")) || line.contains(&format!("http::Method::{word}"))
        })
    };
    assert!(!places(&contract, has_method).is_empty(), "the search finds nothing at all");
    assert_eq!(places(&others, has_method), BTreeSet::new());
}

#[test]
fn unsafe_code_is_in_one_file_and_no_lint_is_silenced_without_a_reason() {
    let files = sources();
    let is_unsafe = |line: &str| {
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
            .iter()
            .any(|word| line.contains(word))
    };
    let found = places(&files, is_unsafe);
    let places_of: BTreeSet<_> = found.iter().filter_map(|place| place.split(':').next()).collect();
    assert_eq!(places_of.len(), 1, "{found:?}");
    assert_eq!(
        places(&files, |line| line.contains("#[allow(") || line.contains("#![allow(")),
        BTreeSet::new()
    );
}

#[test]
fn the_served_contract_is_the_documented_one() {
    let served = Machine::new().start().api().without_token().get("/openapi.json").is(200);
    let documented = fs::read_to_string(workspace().join("docs/openapi.json")).unwrap();
    let documented: serde_json::Value = serde_json::from_str(&documented).unwrap();
    assert!(served.json() == documented, "docs/openapi.json is not what is served");
}

/// Every function of every source file, tests too.
fn functions() -> BTreeSet<String> {
    let mut dirs = vec![workspace().to_owned()];
    let mut names = BTreeSet::new();
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()) {
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if name.starts_with('.') || name == "target" => {}
                _ if path.is_dir() => dirs.push(path),
                Some(name) if name.ends_with(".rs") => {
                    let text = fs::read_to_string(&path).unwrap();
                    let found = text.split("fn ").skip(1).map(|rest| {
                        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
                    });
                    names.extend(found.flatten().map(ToOwned::to_owned));
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn the_tests_that_documents_name_exist() {
    let functions = functions();
    for name in ["docs/guarantees.md", "docs/security.md"] {
        let text = fs::read_to_string(workspace().join(name)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2);
        // No key, code or program has so many words.
        let tests: Vec<_> = quoted
            .filter(|quoted| quoted.matches('_').count() >= 3)
            .filter(|quoted| quoted.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            .collect();
        assert!(tests.len() > 30, "{name} names its tests");
        let missing: Vec<_> = tests.into_iter().filter(|test| !functions.contains(*test)).collect();
        assert_eq!(missing, [""; 0], "{name}");
    }
}
