//! What every journal does, over `&dyn Journal`; and what only the file does.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};

use super::*;
use crate::auth::keys::SigningKey;
use crate::executor::Handle;
use crate::id::{Digest, FleetId, Nonce, PublicKey};
use crate::job::report::Stream;
use crate::job::{Exec, Operation, Submitter};

fn binding() -> Binding {
    Binding {
        fleet: FleetId::from_bytes([1; 16]),
        name: "web-1".parse().unwrap(),
        key: PublicKey::from_bytes([2; 32]),
        machine: "m-1".into(),
    }
}

fn job(n: u64) -> JobId {
    format!("018f0000-0000-7000-8000-{n:012}").parse().unwrap()
}

fn record(stage: Stage) -> Record {
    let not_after = Timestamp::from_unix_millis(1_700_000_030_000);
    Record { body: Some(Digest::of(b"order")), not_after, nonce: None, stage }
}

fn submitter() -> Submitter {
    Submitter { subject: "ann".into(), token_id: "t".into(), roles: vec!["admin".into()] }
}

fn accepted(submitter: Submitter, cancelled: bool) -> Stage {
    let (operation, submitter) = (Operation::Exec(Exec::new("ls")), Box::new(submitter));
    Stage::Accepted { operation: Box::new(operation), submitter, cancelled }
}

fn ended() -> Ended {
    let chunked = vec![Chunked { stream: Stream::Stderr, kept: 9, sha256: Digest::of(b"kept") }];
    let at = Timestamp::from_unix_millis(1_700_000_000_001);
    Ended { report: Digest::of(b"report"), started_at: Some(at), chunked, keep_until: Some(at) }
}

/// Every stage that a record may be in, `Ended` as the fourth.
fn stages() -> Vec<Stage> {
    let handle = Handle { job: job(3), detail: serde_json::json!({ "pid": 12, "start": 5 }) };
    vec![
        accepted(submitter(), false),
        Stage::Starting,
        Stage::Running { handle, at: Timestamp::from_unix_millis(1_700_000_000_001) },
        Stage::Ended(ended()),
        Stage::Closed,
        accepted(submitter(), true),
    ]
}

fn report(text: &str) -> Signed<Report> {
    Signed::from_text(text.to_owned())
}

fn seen() -> Box<Seen> {
    let store = crate::id::StoreId::from_bytes([3; 16]);
    let position = crate::message::Position { store, bucket: "reports".into(), cursor: 12 };
    Box::new(Seen { position, proof: Signed::from_text("v4.public.proof".into()) })
}

/// The suite. `reopen` gives the journal as it is found after the process has ended.
async fn conforms(
    journal: Box<dyn Journal>,
    reopen: impl Fn(Box<dyn Journal>) -> Box<dyn Journal>,
) {
    let made = journal.header();
    assert_eq!((&made.binding, made.ring), (&binding(), 0));
    assert!(journal.entries().await.unwrap().is_empty());

    // Every stage survives, oldest job first, with its report.
    let mut all: Vec<_> = (1..).map(job).zip(stages().into_iter().map(record)).collect();
    all[5].1.nonce = Some(Nonce::random());
    let mut changes: Vec<_> =
        all.iter().rev().map(|(job, record)| Change::Put(*job, record.clone())).collect();
    changes.push(Change::Report(job(4), report("v4.public.exact bytes")));
    changes.extend([Change::Ring(7), Change::HighestIat(Timestamp::from_unix_millis(5))]);
    journal.commit(changes).await.unwrap();
    let journal = reopen(journal);
    assert_eq!(journal.entries().await.unwrap(), all);
    assert_eq!(journal.report(job(4)).await.unwrap(), Some(report("v4.public.exact bytes")));
    assert_eq!(journal.report(job(1)).await.unwrap(), None);
    assert_eq!((journal.header().ring, journal.header().journal), (7, made.journal));

    // Changes of one commit apply in order; nothing in the header goes down.
    let until = Timestamp::from_unix_millis(9);
    let changes = vec![
        Change::Put(job(1), record(Stage::Starting)),
        Change::Put(job(1), record(Stage::Ended(ended()))),
        Change::Report(job(1), report("v4.public.1")),
        Change::Forget(job(4)),
        Change::Forget(job(99)),
        Change::ForgotUntil(until),
        Change::Ring(3),
        Change::Seen(seen()),
    ];
    journal.commit(changes).await.unwrap();
    journal.commit(Vec::new()).await.unwrap();
    let journal = reopen(journal);
    let entries = journal.entries().await.unwrap();
    let ids: Vec<_> = entries.iter().map(|(job, _)| *job).collect();
    assert_eq!(ids, [1, 2, 3, 5, 6].map(job));
    assert_eq!(entries[0].1.stage, Stage::Ended(ended()));
    assert_eq!(journal.report(job(1)).await.unwrap(), Some(report("v4.public.1")));
    assert_eq!(journal.report(job(4)).await.unwrap(), None);
    let header = journal.header();
    assert_eq!((header.ring, header.forgot_until), (7, until));
    assert_eq!(header.seen, Some(seen()));
    assert_eq!(header.highest_iat, Timestamp::from_unix_millis(5));
}

#[tokio::test]
async fn memory_conforms_and_fails_when_it_is_told_to() {
    let shared = MemoryJournal::new(binding());
    conforms(Box::new(shared.clone()), |_| Box::new(shared.clone())).await;
    shared.fail();
    let before = shared.entries().await.unwrap();
    for _ in 0..2 {
        assert!(shared.commit(vec![Change::Forget(job(1))]).await.is_err());
    }
    assert_eq!(shared.entries().await.unwrap(), before);
    assert!(shared.reopen().await.is_err(), "its cause is still there");
    shared.repair();
    assert!(shared.commit(vec![Change::Forget(job(1))]).await.is_err(), "what it holds is unknown");
    assert_eq!(shared.reopen().await.unwrap(), before);
    shared.commit(vec![Change::Forget(job(1))]).await.unwrap();
}

#[tokio::test]
async fn the_file_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.redb");
    let open = || Box::new(FileJournal::open(&path, &binding()).unwrap());
    conforms(open(), |journal| {
        drop(journal);
        open()
    })
    .await;
    let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let files: std::collections::BTreeSet<_> = files.collect();
    let expected = [path.clone(), dir.path().join("journal.redb.synced")];
    assert_eq!(files, expected.into(), "nothing else is left beside it");
    for file in files {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

struct Kept {
    dir: tempfile::TempDir,
    path: PathBuf,
}

/// A journal file with one record in it, closed.
async fn kept() -> Kept {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.redb");
    let journal = FileJournal::open(&path, &binding()).unwrap();
    journal.commit(vec![Change::Put(job(1), record(Stage::Starting))]).await.unwrap();
    Kept { dir, path }
}

#[track_caller]
fn open_error(path: &Path, binding: &Binding) -> OpenError {
    let first = FileJournal::open(path, binding).expect_err("it must not open");
    // Nothing was made in its place.
    let again = FileJournal::open(path, binding).expect_err("it must not open");
    assert_eq!(std::mem::discriminant(&first), std::mem::discriminant(&again));
    first
}

#[tokio::test]
async fn anothers_journal_is_not_opened_and_the_error_says_whose_it_is() {
    let kept = kept().await;
    let key = SigningKey::generate().public();
    for (other, differs) in [
        (Binding { fleet: FleetId::from_bytes([9; 16]), ..binding() }, "fleet"),
        (Binding { name: "web-2".parse().unwrap(), ..binding() }, "name"),
        (Binding { key, ..binding() }, "key"),
        (Binding { machine: "m-2".into(), ..binding() }, "machine"),
    ] {
        let error = open_error(&kept.path, &other);
        assert!(matches!(error, OpenError::Foreign { what, .. } if what == differs), "{error}");
    }
    let error = open_error(&kept.path, &Binding { machine: "m-2".into(), ..binding() });
    assert!(error.to_string().ends_with("belongs to another machine: m-1, not m-2"), "{error}");
    assert!(FileJournal::open(&kept.path, &binding()).is_ok());
}

#[tokio::test]
async fn one_process_at_a_time() {
    let kept = kept().await;
    let open = FileJournal::open(&kept.path, &binding()).unwrap();
    let error = FileJournal::open(&kept.path, &binding()).expect_err("it is open");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(open);
    assert!(FileJournal::open(&kept.path, &binding()).is_ok());
}

#[tokio::test]
async fn a_damaged_file_is_never_taken_for_a_new_one() {
    for damage in [
        (|path| fs::write(path, b"").unwrap()) as fn(&Path),
        |path| fs::write(path, b"not a journal at all").unwrap(),
        |path| fs::write(path, [7; 8192]).unwrap(),
        |path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4096).unwrap(),
        |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            let len = file.metadata().unwrap().len() as usize;
            file.write_all_at(&vec![0xa5; len - 4096], 4096).unwrap();
        },
    ] {
        let kept = kept().await;
        damage(&kept.path);
        let error = open_error(&kept.path, &binding());
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn any_altered_byte_is_noticed_or_harmless() {
    let kept = kept().await;
    let whole = fs::read(&kept.path).unwrap();
    let word = b"\"not_after\"";
    let record = whole.windows(word.len()).position(|bytes| bytes == word).unwrap();
    let mut altered = whole.clone();
    altered[record + 3] ^= 1;
    fs::write(&kept.path, &altered).unwrap();
    let error = open_error(&kept.path, &binding());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

fn write_raw(path: &Path, table: &str, key: &str, value: &str) {
    let db = Database::open(path).unwrap();
    let write = db.begin_write().unwrap();
    let table: TableDefinition<'_, &str, &[u8]> = TableDefinition::new(table);
    write.open_table(table).unwrap().insert(key, value.as_bytes()).unwrap();
    write.commit().unwrap();
}

#[tokio::test]
async fn what_a_newer_build_wrote_is_named() {
    let newer = kept().await;
    let name = job(7).to_string();
    write_raw(&newer.path, "records", &name, r#"{"v":2,"anything":"else"}"#);
    let error = open_error(&newer.path, &binding());
    assert!(matches!(error, OpenError::Newer { .. }), "{error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(&name) && source.contains("version 2"), "{source}");

    let newer = kept().await;
    write_raw(&newer.path, "header", "header", r#"{"v":9}"#);
    assert!(matches!(open_error(&newer.path, &binding()), OpenError::Newer { .. }));
}

#[tokio::test]
async fn what_builds_before_the_claim_exchange_wrote_is_read() {
    let kept = kept().await;
    let (name, body) = (job(7).to_string(), Digest::of(b"order"));
    let operation = serde_json::to_string(&Operation::Exec(Exec::new("ls"))).unwrap();
    let before = format!(
        r#"{{"v":1,"body":"{body}","not_after":"2023-11-14T22:13:50Z","stage":{{"accepted":{{"operation":{operation}}}}}}}"#
    );
    write_raw(&kept.path, "records", &name, &before);
    let entries = FileJournal::open(&kept.path, &binding()).unwrap().entries().await.unwrap();
    let nobody = Submitter { subject: String::new(), token_id: String::new(), roles: Vec::new() };
    assert_eq!(entries[1].1, record(accepted(nobody, false)));
    // And what needs no claim is written as it was then.
    let now = serde_json::to_string(&entries[1].1).unwrap();
    assert!(!now.contains("nonce") && !now.contains("cancelled"), "{now}");
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    for (key, value) in [
        (job(7).to_string(), "{"),
        (job(7).to_string(), r#"{"v":1,"not_after":"soon"}"#),
        ("no-job".into(), r#"{"v":1}"#),
    ] {
        let damaged = kept().await;
        write_raw(&damaged.path, "records", &key, value);
        let error = open_error(&damaged.path, &binding());
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(&key), "{source}");
    }
}

#[tokio::test]
async fn a_place_where_nothing_can_be_made_is_named() {
    let kept = kept().await;
    let path = kept.dir.path().join("missing").join("journal.redb");
    let error = FileJournal::open(&path, &binding()).expect_err("its directory is missing");
    assert!(error.to_string().contains("missing/journal.redb"), "{error}");
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
}
