//! What opening a file finds, and what it never does: lose one silently.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use redb::{Database, TableDefinition};

use crate::backend::embedded::layout::{FORMAT, META, META_FORMAT};
use crate::backend::embedded::{EmbeddedStore, Limits, OpenError};
use crate::backend::{Bucket, Key, Prefix, Store};

const B: Bucket = Bucket::Jobs;
const RECORDS: usize = 40;

fn open(path: &Path) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(path, Limits::default())
}

fn value(n: usize) -> Vec<u8> {
    vec![n as u8; 100 * n]
}

/// A file with some records.
async fn filled(path: &Path) -> Vec<u8> {
    let store = open(path).unwrap();
    for n in 0..RECORDS {
        store.create(B, &Key::of(&[&n]), value(n).into()).await.unwrap();
    }
    store.purge(B, &Prefix::of(&[&"0"])).await.unwrap();
    store.close().await;
    fs::read(path).unwrap()
}

/// Whether all records are there, as they were written.
async fn is_whole(store: &EmbeddedStore) -> bool {
    for n in 1..RECORDS {
        let entry = store.get(B, &Key::of(&[&n])).await.unwrap();
        if entry.is_none_or(|entry| entry.value != value(n)) {
            return false;
        }
    }
    true
}

/// A file that was changed is whole after all, or refused, and refused again; never a panic, never with records missing.
async fn is_told(path: &Path, bytes: &[u8], what: &str) -> Option<OpenError> {
    fs::write(path, bytes).unwrap();
    match open(path) {
        Ok(store) => {
            assert!(is_whole(&store).await, "{what}: opened with records missing");
            store.close().await;
            None
        }
        Err(error) => {
            assert!(open(path).is_err(), "{what}: refused, and then opened");
            Some(error)
        }
    }
}

#[tokio::test]
async fn a_new_store_is_private_and_leaves_nothing_else_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    filled(&path).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["store.redb"]);
    assert!(is_whole(&open(&path).unwrap()).await);
}

#[tokio::test]
async fn of_many_that_make_a_store_one_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&path))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let opened: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    assert_eq!(opened.len(), 1);
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_the_system_refuses_is_told_with_the_path() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("missing/store.redb"), dir.path().to_owned()] {
        let error = open(&path).unwrap_err();
        assert!(matches!(&error, OpenError::Io { path: of, .. } if *of == path), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()));
    }
}

#[test]
fn other_files_are_no_stores() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for bytes in [&b"x"[..], b"redb", &[0; 10_000], &[b'a'; 100_000]] {
        fs::write(&path, bytes).unwrap();
        assert!(matches!(open(&path), Err(OpenError::NotAStore(of)) if of == path));
        assert_eq!(fs::read(&path).unwrap(), bytes, "it is left as it was");
    }
    fs::remove_file(&path).unwrap();
    let other = Database::create(&path).unwrap();
    let transaction = other.begin_write().unwrap();
    let table = TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(table).unwrap().insert("kind", 1).unwrap();
    transaction.commit().unwrap();
    drop(other);
    assert!(matches!(open(&path), Err(OpenError::NotAStore(of)) if of == path));
    fs::remove_file(&path).unwrap();
    drop(Database::create(&path).unwrap());
    assert!(matches!(open(&path), Err(OpenError::NotAStore(of)) if of == path));
}

#[tokio::test]
async fn a_newer_format_is_told_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    filled(&path).await;
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let newer = (FORMAT + 1).to_le_bytes();
    transaction.open_table(META).unwrap().insert(META_FORMAT, &newer[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found, .. } if found == FORMAT + 1), "{error:?}");
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let bytes = filled(&path).await;
    let lengths = [0, 1, 8, 9, 64, 320, 511, 512, 4095, 4096, 4097, 8192];
    for len in lengths.into_iter().chain((1..20).map(|n| bytes.len() * n / 20)) {
        let error = is_told(&path, &bytes[..len], &format!("{len} bytes")).await;
        match error {
            Some(OpenError::NotAStore(_)) => assert!((1..9).contains(&len), "{len}"),
            Some(OpenError::Damaged { .. }) => {}
            other => panic!("{len} bytes: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_is_refused_or_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let bytes = filled(&path).await;
    let mut refused = 0;
    // All of what the header uses, and places all over the rest.
    for at in (0..320).chain((320..bytes.len()).step_by(bytes.len() / 97)) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let error = is_told(&path, &changed, &format!("byte {at}")).await;
        match error {
            None => {}
            Some(OpenError::Damaged { .. }) => refused += 1,
            Some(OpenError::NotAStore(_)) => assert!(at < 9, "byte {at}"),
            Some(other) => panic!("byte {at}: {other:?}"),
        }
    }
    assert!(refused > 10, "{refused}");
}
