//! A store or a journal that this build or this machine must not use. It is left as it is.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, TableDefinition};
use serde_json::Value;

use crate::world::Machine;

/// As the store has it: what the file is.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// As the journal has it: whose it is.
const HEADER: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("header");

/// A machine that was started once and has a job.
fn used() -> Machine {
    let machine = Machine::new();
    let server = machine.start();
    server.api().shell("true").is(200);
    server.stop();
    machine
}

fn store(machine: &Machine) -> PathBuf {
    machine.data_dir().join("store.redb")
}

fn journal(machine: &Machine) -> PathBuf {
    machine.data_dir().join("agent/journal.redb")
}

/// `start` refuses `file` with these words, time and again.
#[track_caller]
fn refuses(machine: &Machine, file: &Path, words: &[&str]) {
    for _ in 0..2 {
        let ran = machine.osapi(["start"]).run().exits(125).prints("").explains(words);
        assert!(ran.err().contains(file.to_str().unwrap()), "the file is not named by {ran}");
    }
}

/// The same, and no byte of it changes.
#[track_caller]
fn refuses_untouched(machine: &Machine, file: &Path, words: &[&str]) {
    let before = fs::read(file).unwrap();
    refuses(machine, file, words);
    assert!(fs::read(file).unwrap() == before, "{} was changed", file.display());
}

/// Replaces the value of `key` in `table`.
fn replace(
    file: &Path,
    table: TableDefinition<'_, &str, &[u8]>,
    key: &str,
    change: impl FnOnce(&[u8]) -> Vec<u8>,
) {
    let database = Database::open(file).unwrap();
    let old = {
        let read = database.begin_read().unwrap();
        read.open_table(table).unwrap().get(key).unwrap().unwrap().value().to_vec()
    };
    let write = database.begin_write().unwrap();
    write.open_table(table).unwrap().insert(key, change(&old).as_slice()).unwrap();
    write.commit().unwrap();
}

/// Changes the header of a journal, which is a JSON document.
fn change_header(file: &Path, change: impl FnOnce(&mut Value)) {
    replace(file, HEADER, "header", |old| {
        let mut header = serde_json::from_slice(old).unwrap();
        change(&mut header);
        header.to_string().into_bytes()
    });
}

#[test]
fn a_newer_store_is_for_a_newer_build() {
    let machine = used();
    replace(&store(&machine), META, "format", |_| 2_u32.to_le_bytes().to_vec());
    refuses(&machine, &store(&machine), &["format 2", "newer build"]);
    replace(&store(&machine), META, "format", |_| 1_u32.to_le_bytes().to_vec());
    assert_eq!(machine.start().api().jobs().len(), 1, "it was changed");
}

#[test]
fn a_newer_journal_is_for_a_newer_build() {
    let machine = used();
    change_header(&journal(&machine), |header| header["v"] = 99.into());
    refuses(&machine, &journal(&machine), &["newer build"]);
    change_header(&journal(&machine), |header| header["v"] = 1.into());
    assert_eq!(machine.start().api().jobs().len(), 1, "it was changed");
}

#[test]
fn files_that_are_damaged_are_not_taken_for_new_ones() {
    for file in [store, journal] {
        let machine = used();
        let path = file(&machine);
        let whole = fs::read(&path).unwrap();
        let half = whole.len() / 2;
        for (what, damaged) in [
            ("empty", Vec::new()),
            ("cut", whole[..half].to_vec()),
            ("no database", b"hello\n".repeat(1_000)),
            ("overwritten", [&whole[..4_096], &vec![0xa5; whole.len() - 4_096]].concat()),
        ] {
            fs::write(&path, damaged).unwrap();
            let words = if what == "no database" { &["move"][..] } else { &["damaged", "move"] };
            refuses_untouched(&machine, &path, words);
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(machine.start().api().jobs().len(), 1, "the copy was restored");
    }
}

#[test]
fn a_record_that_was_altered_never_makes_a_host_forget() {
    let machine = used();
    let path = journal(&machine);
    let whole = fs::read(&path).unwrap();
    let (text, other) = (b"\"ended\"", b"\"exded\"");
    let places = whole.windows(text.len()).enumerate().filter(|(_, bytes)| bytes == text);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let altered = places.map(|(at, _)| file.write_all_at(other, at as u64).unwrap()).count();
    assert!(altered > 0, "the journal has another form");
    refuses_untouched(&machine, &path, &["damaged"]);
}

#[test]
fn the_journal_of_another_machine_fleet_or_name_is_refused() {
    let machine = used();
    let path = journal(&machine);
    change_header(&path, |header| {
        let machine = header.pointer_mut("/binding/machine").expect("it is bound to a machine");
        *machine = "0123456789abcdef0123456789abcdef".into();
    });
    refuses(&machine, &path, &["another machine", "0123456789abcdef0123456789abcdef"]);

    let (machine, other) = (used(), used());
    fs::copy(journal(&other), journal(&machine)).unwrap();
    refuses(&machine, &journal(&machine), &["another fleet"]);
}

#[test]
fn the_store_of_another_fleet_is_refused() {
    let (machine, other) = (used(), used());
    fs::copy(store(&other), store(&machine)).unwrap();
    let ran = machine.osapi(["start"]).run().exits(125).prints("");
    ran.explains(&["store", "another fleet", "move store.redb away"]);
    fs::rename(store(&machine), machine.path("away")).unwrap();
    assert!(machine.start().api().jobs().is_empty(), "an empty store");
    fs::copy(machine.path("away"), store(&other)).unwrap();
    assert_eq!(other.start().api().jobs().len(), 1, "it was changed");
}

#[test]
fn keys_that_are_damaged_missing_or_open_to_others_are_named() {
    use std::os::unix::fs::PermissionsExt as _;

    let machine = used();
    for name in ["root.key", "token.key", "job.key"] {
        let key = machine.data_dir().join("keys").join(name);
        let whole = fs::read(&key).unwrap();
        let start = || machine.osapi(["start"]).run().exits(125).prints("");
        fs::write(&key, "k4.secret.nonsense").unwrap();
        let ran = start().explains(&[name]);
        assert!(!ran.err().contains("nonsense"), "a key is never shown");
        fs::remove_file(&key).unwrap();
        start().explains(&[name]);
        fs::write(&key, &whole).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        start().explains(&[name, "chmod 600"]);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(machine.start().api().jobs().len(), 1);
}
