//! A fleet begins with a key ring in its store. A store that holds another fleet's is not ours to write to.

use crate::auth::envelope::{Signed, VerifyError};
use crate::auth::keys::KeyRing;
use crate::backend::{Bucket, Change, Entry, Key, Prefix, Store, StoreError};
use crate::id::PublicKey;

/// Why a fleet cannot work with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FoundingError {
    /// The ring is not one of this fleet.
    #[error("key ring is not one of this fleet")]
    ForeignRing(#[source] VerifyError),
    /// The store failed.
    #[error("cannot store the key ring")]
    Store(#[from] StoreError),
    /// The store holds key rings, and none of them is of this fleet. Nothing was written to it.
    #[error("store belongs to another fleet")]
    ForeignStore(#[source] VerifyError),
}

/// Writes `ring` into a store that has no key ring, and sees to it that the store is that of the fleet of `root`. Any number of
/// servers may do so at once.
///
/// # Errors
/// When the ring or the store is another fleet's, or the store fails.
pub async fn found_key_ring(
    store: &dyn Store,
    ring: &Signed<KeyRing>,
    root: &PublicKey,
) -> Result<(), FoundingError> {
    let serial = KeyRing::open(ring, root).map_err(FoundingError::ForeignRing)?.serial;
    let mut stored = all(store).await?;
    if stored.is_empty() {
        let key = Key::of(&[&serial]);
        let value = ring.as_str().as_bytes().to_vec().into();
        match store.create(Bucket::Keyrings, &key, value).await {
            // Whoever was first, or whether it was written at all, is seen in what is there.
            Ok(_) | Err(StoreError::Exists | StoreError::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
        stored.extend(store.get_latest(Bucket::Keyrings, &key).await?);
    }
    let mut foreign = VerifyError::UnknownForm;
    for entry in stored {
        let text = String::from_utf8_lossy(&entry.value).into_owned();
        match KeyRing::open(&Signed::from_text(text), root) {
            Ok(_) => return Ok(()),
            Err(error) => foreign = error,
        }
    }
    Err(FoundingError::ForeignStore(foreign))
}

async fn all(store: &dyn Store) -> Result<Vec<Entry>, StoreError> {
    let mut watch = store.watch(Bucket::Keyrings, &Prefix::ALL, None).await?;
    let mut entries = Vec::new();
    while let Some(change) = watch.next().await {
        match change? {
            Change::Put(entry) => entries.push(entry),
            Change::Deleted(..) | Change::Reached(_) => {}
            Change::CaughtUp(_) => break,
        }
    }
    Ok(entries)
}

#[cfg(test)]
#[cfg(feature = "embedded")]
mod tests {
    use super::*;
    use crate::auth::keys::{KeyUse, RingKey, SigningKey};
    use crate::backend::embedded::EmbeddedStore;
    use crate::clock::Timestamp;

    const AT: Timestamp = Timestamp::from_unix_millis(1_800_000_000_000);

    fn ring(root: &SigningKey, serial: u64) -> Signed<KeyRing> {
        let key = SigningKey::generate().public();
        KeyRing::issue(root, serial, AT, vec![RingKey { key, usage: KeyUse::Job }]).unwrap()
    }

    async fn texts(store: &EmbeddedStore) -> Vec<String> {
        let entries = all(store).await.unwrap();
        entries.iter().map(|entry| String::from_utf8(entry.value.to_vec()).unwrap()).collect()
    }

    #[tokio::test]
    async fn a_store_is_founded_once_and_keeps_its_rings() {
        let (store, root) = (EmbeddedStore::in_memory(), SigningKey::generate());
        let first = ring(&root, 3);
        found_key_ring(&store, &first, &root.public()).await.unwrap();
        for later in [first.clone(), ring(&root, 1), ring(&root, 4)] {
            found_key_ring(&store, &later, &root.public()).await.unwrap();
            assert_eq!(texts(&store).await, [first.as_str()]);
        }
        let entry = store.get(Bucket::Keyrings, &Key::of(&[&3])).await.unwrap();
        assert!(entry.is_some(), "a ring is found by its serial");
    }

    #[tokio::test]
    async fn a_store_or_a_ring_of_another_fleet_is_refused_and_nothing_is_written() {
        let (store, ours, theirs) =
            (EmbeddedStore::in_memory(), SigningKey::generate(), SigningKey::generate());
        let refused = found_key_ring(&store, &ring(&theirs, 1), &ours.public()).await;
        assert!(matches!(refused, Err(FoundingError::ForeignRing(_))));
        assert!(texts(&store).await.is_empty());
        found_key_ring(&store, &ring(&theirs, 1), &theirs.public()).await.unwrap();
        for serial in [1, 2] {
            let refused = found_key_ring(&store, &ring(&ours, serial), &ours.public()).await;
            assert!(matches!(refused, Err(FoundingError::ForeignStore(_))));
        }
        assert_eq!(texts(&store).await.len(), 1);
    }
}
