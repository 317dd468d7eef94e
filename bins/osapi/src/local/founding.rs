//! A fleet begins with its first key ring in the store. A store that begins with another fleet's is not ours to write to.

use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::KeyRing;
use osapi_core::backend::{Bucket, Key, Store};
use osapi_core::clock::Timestamp;
use osapi_core::controller::found_key_ring;
use osapi_service::keystore::Keys;

use super::error::NodeError;

/// Writes the first key ring of the fleet of `keys` into `store`, unless one is there, and sees to it that it is this fleet's.
///
/// # Errors
/// When the store fails, or is another fleet's. Nothing was written to it then.
pub(crate) async fn found(store: &dyn Store, keys: &Keys, at: Timestamp) -> Result<(), NodeError> {
    found_key_ring(store, &keys.first_ring(at)?).await?;
    let first = store.get_latest(Bucket::Keyrings, &Key::of(&[&1])).await?;
    // No document is empty: a ring that has gone does not verify either.
    let text = first.map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
    KeyRing::open(&Signed::from_text(text.unwrap_or_default()), &keys.root.public())
        .map(drop)
        .map_err(NodeError::ForeignStore)
}

#[cfg(test)]
mod tests {
    use osapi_core::backend::embedded::EmbeddedStore;
    use osapi_core::clock::{Clock as _, SystemClock};
    use osapi_service::datadir::Layout;

    use super::*;

    #[tokio::test]
    async fn a_store_is_founded_once_and_for_one_fleet() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [ours, theirs] =
            dirs.each_ref().map(|dir| Keys::open_or_create(&Layout::at(dir.path())).unwrap());
        let (store, now) = (EmbeddedStore::in_memory(), SystemClock.wall());
        for _ in 0..2 {
            found(&store, &ours, now).await.unwrap();
        }
        let refused = found(&store, &theirs, now).await.unwrap_err();
        assert!(matches!(refused, NodeError::ForeignStore(_)), "{refused}");
    }
}
