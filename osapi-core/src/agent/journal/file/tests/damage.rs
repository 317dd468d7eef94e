//! Files that were cut or altered, after an orderly end and after a crash.

use std::os::unix::fs::FileExt as _;

use super::*;

/// Places at which a file is cut or altered.
const PLACES: u64 = 300;

/// Two journals with the same jobs: of a process that has ended, and of one that was killed.
async fn ended_and_killed() -> [Place; 2] {
    let place = Place::new();
    let journal = place.open().unwrap();
    for n in 0..6 {
        journal.commit(starting(n)).await.unwrap();
    }
    let killed = place.copied();
    drop(journal);
    [place, killed]
}

/// It is not opened, or it is as it was synced last.
async fn knows_all_or_refuses(place: &Place, what: &str) -> bool {
    match place.open() {
        Ok(journal) => {
            assert_eq!(jobs(&journal).await, up_to(6), "{what}");
            true
        }
        Err(error) => {
            assert!(
                matches!(error, OpenError::Damaged { .. } | OpenError::Newer { .. }),
                "{what}: {error:?}"
            );
            let said = error.to_string();
            assert!(said.contains("journal.redb"), "{said}");
            false
        }
    }
}

#[tokio::test]
async fn wherever_a_byte_is_altered_it_forgets_nothing() {
    for whole in ended_and_killed().await {
        let bytes = std::fs::read(whole.path()).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
        let (mut opened, mut refused) = (0, 0);
        for n in 0..PLACES {
            // Closer together at the beginning, where everything hangs by a few bytes.
            let at = if n < 100 { n * 4 } else { used * n / PLACES };
            let place = whole.copied();
            file_at(&place.path()).write_all_at(&[!bytes[at as usize]], at).unwrap();
            match knows_all_or_refuses(&place, &format!("byte {at}")).await {
                true => opened += 1,
                false => refused += 1,
            }
        }
        assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
    }
}

#[tokio::test]
async fn wherever_it_is_cut_it_forgets_nothing() {
    for whole in ended_and_killed().await {
        let len = std::fs::metadata(whole.path()).unwrap().len();
        for n in 0..PLACES / 4 {
            let place = whole.copied();
            let at = len * n * 4 / PLACES;
            file_at(&place.path()).set_len(at).unwrap();
            knows_all_or_refuses(&place, &format!("cut at {at}")).await;
        }
    }
}

#[tokio::test]
async fn an_older_copy_of_it_is_noticed() {
    let place = Place::new();
    let journal = place.open().unwrap();
    journal.commit(starting(0)).await.unwrap();
    let older = place.copied();
    journal.commit(starting(1)).await.unwrap();
    drop(journal);
    std::fs::copy(older.path(), place.path()).unwrap();
    let error = place.open().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "it has 1 commits, and 2 were synced");
}

#[tokio::test]
async fn a_note_of_another_journal_or_none_is_no_hindrance() {
    let place = Place::new();
    let journal = place.open().unwrap();
    for n in 0..3 {
        journal.commit(starting(n)).await.unwrap();
    }
    drop(journal);
    // Moved away, as the error of a damaged one says.
    std::fs::rename(place.path(), place.dir.path().join("away")).unwrap();
    let journal = place.open().unwrap();
    journal.commit(starting(0)).await.unwrap();
    drop(journal);
    for note in ["", "x", "x y\n", "00000000000000000000000000000000 9\n"] {
        std::fs::write(place.dir.path().join("journal.redb.synced"), note).unwrap();
        assert_eq!(jobs(&place.open().unwrap()).await, up_to(1));
    }
}
