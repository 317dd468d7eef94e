//! The keys of a fleet, whole where the fleet is kept, and in parts where less is needed.

use std::path::Path;

use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::{KeyRing, KeyUse, RingError, RingKey, SigningKey};
use osapi_core::clock::Timestamp;
use osapi_core::id::{FleetId, PublicKey};
use zeroize::Zeroizing;

use super::{KeyError, exists, read, read_public, read_secret};
use crate::datadir::Layout;
use crate::private_file;

pub(super) const ROOT: &str = "root.key";
const ROOT_PUBLIC: &str = "root.pub";
pub(super) const TOKEN: &str = "token.key";
pub(super) const JOB: &str = "job.key";
pub(super) const RING: &str = "ring";

/// All keys of a fleet, and the ring that says which are valid.
#[derive(Debug)]
pub struct Keys {
    /// Signs key rings, and is the fleet.
    pub root: SigningKey,
    /// Signs access tokens.
    pub token: SigningKey,
    /// Signs orders, cancels and answers.
    pub job: SigningKey,
    /// The latest ring that was signed here.
    pub ring: Signed<KeyRing>,
}

impl Keys {
    /// The keys in `layout`; made `at` this time if there are none. The caller holds the data directory.
    ///
    /// # Errors
    /// When they cannot be read or made, are open to others, or are incomplete.
    pub fn open_or_create(layout: &Layout, at: Timestamp) -> Result<Self, KeyError> {
        let dir = layout.keys();
        if exists(&dir)? { Self::read(&dir, at) } else { Self::create(&dir, at) }
    }

    fn read(dir: &Path, at: Timestamp) -> Result<Self, KeyError> {
        let root = read_secret(&dir.join(ROOT))?;
        let (token, job) = (read_secret(&dir.join(TOKEN))?, read_secret(&dir.join(JOB))?);
        if read_public(&dir.join(ROOT_PUBLIC))? != root.public() {
            return Err(KeyError::OtherHalf(dir.join(ROOT_PUBLIC)));
        }
        let ring = match read_ring(dir, &root.public()) {
            // Keys that an earlier build made have none beside them. It can be signed again, and a store keeps the later one.
            Err(KeyError::Missing(path)) => {
                let ring = first_ring(&root, &token, &job, at)?;
                private_file::replace(&path, ring.as_str())?;
                ring
            }
            ring => ring?,
        };
        Ok(Self { root, token, job, ring })
    }

    fn create(dir: &Path, at: Timestamp) -> Result<Self, KeyError> {
        let [root, token, job] = std::array::from_fn(|_| SigningKey::generate());
        let ring = first_ring(&root, &token, &job, at)?;
        let keys = Self { root, token, job, ring };
        let secrets = [(ROOT, keys.root.to_paserk()), (TOKEN, keys.token.to_paserk())];
        let files = secrets.into_iter().chain(keys.for_server());
        private_file::create_dir(dir, &files.collect::<Vec<_>>())?;
        Ok(keys)
    }

    /// The public half of the root key in `layout`. Nothing is locked or written.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn root_of(layout: &Layout) -> Result<PublicKey, KeyError> {
        let dir = layout.keys();
        if !exists(&dir)? {
            return Err(KeyError::None(dir));
        }
        read_public(&dir.join(ROOT_PUBLIC))
    }

    /// The job key that is in `layout` now.
    ///
    /// # Errors
    /// When it cannot be read, or is open to others.
    pub fn job_key(layout: &Layout) -> Result<SigningKey, KeyError> {
        ServerKeys::job_key(&layout.keys())
    }

    /// The files that an API server needs, as [`ServerKeys::open`] reads them: name and text.
    #[must_use]
    pub fn for_server(&self) -> Vec<(&'static str, Zeroizing<String>)> {
        vec![
            (JOB, self.job.to_paserk()),
            (ROOT_PUBLIC, self.root.public().to_string().into()),
            (RING, self.ring.as_str().to_owned().into()),
        ]
    }

    /// The fleet of the root key.
    #[must_use]
    pub fn fleet(&self) -> FleetId {
        self.root.public().fleet()
    }
}

/// The first key ring, with serial 1, of the token and the job key.
fn first_ring(
    root: &SigningKey,
    token: &SigningKey,
    job: &SigningKey,
    at: Timestamp,
) -> Result<Signed<KeyRing>, RingError> {
    let keys = vec![
        RingKey { key: job.public(), usage: KeyUse::Job },
        RingKey { key: token.public(), usage: KeyUse::Token },
    ];
    KeyRing::issue(root, 1, at, keys)
}

/// What an API server needs, and no more: neither the root nor the token secret.
#[derive(Debug)]
pub struct ServerKeys {
    /// Signs orders, cancels and answers.
    pub job: SigningKey,
    /// The fleet's root key.
    pub root: PublicKey,
    /// The ring with which a store begins that has none.
    pub ring: Signed<KeyRing>,
}

impl ServerKeys {
    /// The keys in `dir`. Nothing is locked or written.
    ///
    /// # Errors
    /// When one is missing, cannot be read, or is open to others.
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        if !exists(dir)? {
            return Err(KeyError::None(dir.to_owned()));
        }
        let root = read_public(&dir.join(ROOT_PUBLIC))?;
        Ok(Self { job: Self::job_key(dir)?, root, ring: read_ring(dir, &root)? })
    }

    /// The job key that is in `dir` now.
    ///
    /// # Errors
    /// When it cannot be read, or is open to others.
    pub fn job_key(dir: &Path) -> Result<SigningKey, KeyError> {
        read_secret(&dir.join(JOB))
    }

    /// Whether `dir` holds what no API server needs: whoever takes the server over would take the fleet over.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn has_root_secret(dir: &Path) -> Result<bool, KeyError> {
        exists(&dir.join(ROOT))
    }
}

pub(super) fn read_ring(dir: &Path, root: &PublicKey) -> Result<Signed<KeyRing>, KeyError> {
    let path = dir.join(RING);
    let text = String::from_utf8_lossy(&read(&path)?).trim_ascii_end().to_owned();
    let ring = Signed::from_text(text);
    match KeyRing::open(&ring, root) {
        Ok(_) => Ok(ring),
        Err(source) => Err(KeyError::NoRing { path, source }),
    }
}

/// What issuing and checking access tokens takes, and no more: the token key and the public half of the root key.
#[derive(Debug)]
pub struct TokenKey {
    /// Signs access tokens.
    pub key: SigningKey,
    /// The fleet's root key.
    pub root: PublicKey,
}

impl TokenKey {
    /// The token key in `layout`. Nothing is locked or written.
    ///
    /// # Errors
    /// When there is none, or it cannot be read or is open to others.
    pub fn open(layout: &Layout) -> Result<Self, KeyError> {
        let dir = layout.keys();
        if !exists(&dir)? {
            return Err(KeyError::None(dir));
        }
        let key = read_secret(&dir.join(TOKEN))?;
        Ok(Self { key, root: read_public(&dir.join(ROOT_PUBLIC))? })
    }

    /// The fleet for which it signs.
    #[must_use]
    pub fn fleet(&self) -> FleetId {
        self.root.fleet()
    }
}
