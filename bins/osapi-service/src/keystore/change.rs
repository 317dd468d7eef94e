//! Changing which keys are valid: the next key beside the present one, a ring that lists both, and then the next one in place.
//!
//! Each step can be done again. What an attempt that was cut off has left is found, and gone on with.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::{KeyRing, KeyUse, RingKey, SigningKey};
use osapi_core::clock::Timestamp;
use osapi_core::id::PublicKey;

use super::fleet::{JOB, RING, ROOT, TOKEN, read_ring};
use super::{KeyError, exists, read_secret};
use crate::datadir::Layout;
use crate::private_file;

/// The root key, and the ring that was signed with it last. Nobody else changes the keys while one is there.
#[derive(Debug)]
pub struct RootKey {
    dir: PathBuf,
    root: SigningKey,
    ring: Signed<KeyRing>,
    _lock: File,
}

impl RootKey {
    /// The root key in `layout`. A server that runs there goes on.
    ///
    /// # Errors
    /// When there is none, it cannot be read or is open to others, or somebody else is changing the keys.
    pub fn open(layout: &Layout) -> Result<Self, KeyError> {
        let dir = layout.keys();
        if !exists(&dir)? {
            return Err(KeyError::None(dir));
        }
        let lock = lock(&dir)?;
        let root = read_secret(&dir.join(ROOT))?;
        let ring = read_ring(&dir, &root.public())?;
        Ok(Self { dir, root, ring, _lock: lock })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.root.public()
    }

    /// The later of the ring here and the one that is `published`. The one here is the later one if it could not be published.
    ///
    /// # Errors
    /// When the published one is not of this fleet.
    pub fn latest(&self, published: &Signed<KeyRing>) -> Result<KeyRing, KeyError> {
        let open = |ring| KeyRing::open(ring, &self.public());
        let published = open(published).map_err(KeyError::OtherRing)?;
        let here = open(&self.ring);
        let here = here.map_err(|source| KeyError::NoRing { path: self.dir.join(RING), source })?;
        Ok(if here.serial > published.serial { here } else { published })
    }

    /// The key of this use that is in place.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn present(&self, usage: KeyUse) -> Result<SigningKey, KeyError> {
        read_secret(&self.path(usage))
    }

    /// The key that is to follow the present one, beside it.
    ///
    /// # Errors
    /// When it cannot be made, or the one that an earlier attempt has left cannot be read.
    pub fn successor(&self, usage: KeyUse) -> Result<SigningKey, KeyError> {
        let path = successor_of(&self.path(usage));
        if exists(&path)? {
            return read_secret(&path);
        }
        let key = SigningKey::generate();
        private_file::create_new(&path, &key.to_paserk())?;
        Ok(key)
    }

    /// Another key that is to follow the present one. One that an earlier attempt has left is dropped: it may have been published.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn unknown_successor(&self, usage: KeyUse) -> Result<SigningKey, KeyError> {
        let key = SigningKey::generate();
        private_file::replace(&successor_of(&self.path(usage)), &key.to_paserk())?;
        Ok(key)
    }

    /// Signs a ring and keeps it, so that no serial is ever used for two.
    ///
    /// # Errors
    /// When it breaks a rule of rings, or cannot be kept.
    pub fn issue(
        &mut self,
        serial: u64,
        at: Timestamp,
        keys: Vec<RingKey>,
    ) -> Result<Signed<KeyRing>, KeyError> {
        self.keep(KeyRing::issue(&self.root, serial, at, keys)?)
    }

    /// The same for a ring that accepts a store which went back in time.
    ///
    /// # Errors
    /// As for [`RootKey::issue`].
    pub fn issue_after_restore(
        &mut self,
        serial: u64,
        at: Timestamp,
        keys: Vec<RingKey>,
    ) -> Result<Signed<KeyRing>, KeyError> {
        self.keep(KeyRing::issue_after_restore(&self.root, serial, at, keys)?)
    }

    fn keep(&mut self, ring: Signed<KeyRing>) -> Result<Signed<KeyRing>, KeyError> {
        private_file::replace(&self.dir.join(RING), ring.as_str())?;
        self.ring = ring.clone();
        Ok(ring)
    }

    /// Puts the successor in the place of the present key.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn succeed(&self, usage: KeyUse) -> Result<(), KeyError> {
        let path = self.path(usage);
        Ok(private_file::rename(&successor_of(&path), &path)?)
    }

    fn path(&self, usage: KeyUse) -> PathBuf {
        self.dir.join(match usage {
            KeyUse::Job => JOB,
            KeyUse::Token => TOKEN,
        })
    }
}

fn successor_of(path: &Path) -> PathBuf {
    path.with_extension("key.next")
}

/// Locks the directory itself (flock(2)): the kernel unlocks it when the process ends.
fn lock(dir: &Path) -> Result<File, KeyError> {
    let failed = |error| private_file::failed("lock", dir)(error);
    let lock = File::open(dir).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(KeyError::Busy(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error).into()),
    }
}
