//! Writes and syncs that fail.

use super::disk::{Disk, Fault};
use super::*;
use crate::agent::journal::JournalError;

/// Seeds that say which writes are lost.
fn seeds() -> impl Iterator<Item = u64> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let random = std::iter::from_fn(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        Some(seed)
    });
    [0, u64::MAX].into_iter().chain(random.take(60))
}

#[tokio::test]
async fn after_a_failure_it_goes_on_from_what_the_disk_holds() {
    for fault in seeds().map(|lost| Fault::Sync { lost }).chain([Fault::Write]) {
        let (place, disk) = (Place::new(), Disk::default());
        let journal = place.open_on(&disk).unwrap();
        for n in 0..3 {
            journal.commit(starting(n)).await.unwrap();
        }
        disk.fail(fault);
        let failed = journal.commit(starting(3)).await.unwrap_err();
        assert!(matches!(failed, JournalError::Write(_)), "{failed:?}");
        let given_up = journal.commit(starting(4)).await.unwrap_err();
        assert!(matches!(given_up, JournalError::GivenUp), "{given_up:?}");
        assert_eq!(disk.asked_again(), 0, "a descriptor that failed was used again");
        // Another process that starts now finds the same as this one.
        let crashed = jobs(&place.copied().open().unwrap()).await;

        disk.repair();
        let found = journal.reopen().await.unwrap();
        assert_eq!(found.iter().map(|(job, _)| *job).collect::<Vec<_>>(), crashed);
        assert!([up_to(3), up_to(4)].contains(&crashed), "{fault:?}: {crashed:?}");
        journal.commit(starting(3)).await.unwrap();
        journal.commit(starting(4)).await.unwrap();
        assert_eq!(jobs(&journal).await, up_to(5));
        drop(journal);
        assert_eq!(jobs(&place.open().unwrap()).await, up_to(5));
    }
}

#[tokio::test]
async fn while_the_cause_is_there_it_stays_shut() {
    let (place, disk) = (Place::new(), Disk::default());
    let journal = place.open_on(&disk).unwrap();
    journal.commit(starting(0)).await.unwrap();
    disk.fail(Fault::Sync { lost: u64::MAX });
    journal.commit(starting(1)).await.unwrap_err();
    for _ in 0..3 {
        let error = journal.reopen().await.unwrap_err();
        assert!(matches!(error, JournalError::Reopen(_)), "{error:?}");
        assert!(matches!(journal.commit(starting(1)).await, Err(JournalError::GivenUp)));
        assert!(matches!(journal.report(job(0)).await, Err(JournalError::GivenUp)));
    }
    disk.repair();
    assert_eq!(journal.reopen().await.unwrap().len(), 1);
    assert!(disk.opened() >= 2, "through a new descriptor");
}

#[tokio::test]
async fn what_is_not_the_file_of_before_is_not_gone_on_with() {
    let (place, disk) = (Place::new(), Disk::default());
    let journal = place.open_on(&disk).unwrap();
    journal.commit(starting(0)).await.unwrap();
    let older = place.copied();
    journal.commit(starting(1)).await.unwrap();
    let fresh = Place::new();
    drop(fresh.open().unwrap());
    disk.fail(Fault::Write);
    journal.commit(starting(2)).await.unwrap_err();
    disk.repair();
    let own = place.copied();

    for (other, what) in
        [(&older, "not the one that was written"), (&fresh, "not the one that was written")]
    {
        std::fs::copy(other.path(), place.path()).unwrap();
        let error = journal.reopen().await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap();
        let said = format!("{cause}: {}", cause.source().unwrap());
        assert!(said.contains("journal.redb") && said.contains(what), "{said}");
    }
    std::fs::remove_file(place.path()).unwrap();
    journal.reopen().await.unwrap_err();
    assert!(!place.path().exists(), "nothing is made in its place");
    std::fs::copy(own.path(), place.path()).unwrap();
    assert_eq!(journal.reopen().await.unwrap().len(), 2);
}
