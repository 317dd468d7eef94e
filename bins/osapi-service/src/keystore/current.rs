//! A key that a running program signs with, as it changes on disk.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use osapi_core::auth::keys::{KeyRing, KeyUse, SigningKey};
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use super::KeyError;

/// Time between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

type Read = Arc<dyn Fn() -> Result<SigningKey, KeyError> + Send + Sync>;

/// A key on disk, and the one that is in use.
pub struct CurrentKey {
    usage: KeyUse,
    read: Read,
    key: watch::Sender<Arc<SigningKey>>,
    /// What was said last, so that it is not said again and again.
    said: Option<String>,
}

impl CurrentKey {
    /// A key of this use, which is in use now. `read` reads the one that is on disk.
    pub fn new(
        key: SigningKey,
        usage: KeyUse,
        read: impl Fn() -> Result<SigningKey, KeyError> + Send + Sync + 'static,
    ) -> Self {
        let (read, key) = (Arc::new(read), watch::Sender::new(Arc::new(key)));
        Self { usage, read, key, said: None }
    }

    /// The key that is in use, as it changes.
    #[must_use]
    pub fn key(&self) -> watch::Receiver<Arc<SigningKey>> {
        self.key.subscribe()
    }

    /// Takes a key that was put in place on disk, as soon as the ring says that it is valid. It looks now and then, when the ring
    /// changes, and when `reload` says so.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub async fn follow(
        &mut self,
        mut ring: watch::Receiver<Option<Arc<KeyRing>>>,
        mut reload: Option<Signal>,
    ) -> Infallible {
        loop {
            let asked = async {
                match &mut reload {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            // Whatever comes first: each only says that it is time to look.
            tokio::select! {
                _ = asked => tracing::info!("looking for keys that have changed"),
                changed = ring.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await; // the controller has ended
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let valid = ring.borrow_and_update().clone();
            self.look(valid.as_deref()).await;
        }
    }

    async fn look(&mut self, ring: Option<&KeyRing>) {
        let read = Arc::clone(&self.read);
        let found = match tokio::task::spawn_blocking(move || read()).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return self.say(format!("the key on disk cannot be read: {error}")),
            Err(panic) => return self.say(panic.to_string()),
        };
        let id = found.id();
        if id == self.key.borrow().id() {
            self.said = None;
        } else if ring.is_some_and(|ring| ring.find(&id, self.usage).is_some()) {
            tracing::info!(key = %id, "signing {}s with another key", self.what());
            self.said = None;
            self.key.send_replace(Arc::new(found));
        } else {
            self.say(format!(
                "key {id} on disk is not in the key ring: the former one stays in use"
            ));
        }
    }

    fn what(&self) -> &'static str {
        match self.usage {
            KeyUse::Job => "order",
            KeyUse::Token => "token",
        }
    }

    fn say(&mut self, what: String) {
        if self.said.as_ref() != Some(&what) {
            tracing::warn!("{what}");
        }
        self.said = Some(what);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use osapi_core::auth::keys::RingKey;
    use osapi_core::clock::Timestamp;

    use super::*;

    fn copy(key: &SigningKey) -> SigningKey {
        SigningKey::from_paserk(&key.to_paserk()).unwrap()
    }

    fn ring(root: &SigningKey, serial: u64, keys: &[&SigningKey]) -> Option<Arc<KeyRing>> {
        let keys = keys.iter().map(|key| RingKey { key: key.public(), usage: KeyUse::Job });
        let at = Timestamp::from_unix_millis(0);
        let signed = KeyRing::issue(root, serial, at, keys.collect()).unwrap();
        Some(Arc::new(KeyRing::open(&signed, &root.public()).unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_taken_from_disk_once_the_ring_has_it() {
        let [root, old, new] = std::array::from_fn(|_| SigningKey::generate());
        let disk = Arc::new(Mutex::new(copy(&old)));
        let read = {
            let disk = Arc::clone(&disk);
            move || Ok(copy(&disk.lock().unwrap()))
        };
        let mut current = CurrentKey::new(copy(&old), KeyUse::Job, read);
        let mut key = current.key();
        let rings = watch::Sender::new(ring(&root, 1, &[&old]));
        let mut follow = std::pin::pin!(current.follow(rings.subscribe(), None));
        *disk.lock().unwrap() = copy(&new);
        tokio::time::timeout(Duration::from_secs(30), &mut follow).await.unwrap_err();
        assert_eq!(key.borrow_and_update().id(), old.id());
        rings.send_replace(ring(&root, 2, &[&old, &new]));
        tokio::time::timeout(Duration::from_millis(10), &mut follow).await.unwrap_err();
        assert!(key.has_changed().unwrap());
        assert_eq!(key.borrow_and_update().id(), new.id());
        *disk.lock().unwrap() = copy(&old);
        tokio::time::timeout(Duration::from_secs(3), &mut follow).await.unwrap_err();
        assert_eq!(key.borrow_and_update().id(), old.id(), "whatever is in place");
    }
}
