//! Keys: the ones that sign, and the ring that says which are valid.

use std::fmt;

use pasetors::keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::envelope::{Signed, VerifyError};
use crate::clock::Timestamp;
use crate::id::{FleetId, KeyId, PublicKey};
use crate::job::record::VERSION;

/// An Ed25519 secret key. `Debug` shows its id only; its memory is wiped when it is dropped.
pub struct SigningKey {
    secret: AsymmetricSecretKey<V4>,
    public: PublicKey,
    id: KeyId,
}

/// A text that is no secret key. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a PASERK k4.secret key")]
pub struct InvalidSecretKey;

impl SigningKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        let pair = AsymmetricKeyPair::<V4>::generate()
            .expect("the kernel's random source works once the system is up");
        Self::from_secret(pair.secret).expect("a generated pair is a valid pair")
    }

    /// The key in a PASERK `k4.secret.` text.
    ///
    /// # Errors
    /// When the text is no such key.
    pub fn from_paserk(text: &str) -> Result<Self, InvalidSecretKey> {
        AsymmetricSecretKey::<V4>::try_from(text)
            .ok()
            .and_then(Self::from_secret)
            .ok_or(InvalidSecretKey)
    }

    /// The PASERK `k4.secret.` text, for a file that only its owner can read.
    #[must_use]
    pub fn to_paserk(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        self.secret.fmt(&mut *text).expect("writing to a string does not fail");
        text
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The id of the public half.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id.clone()
    }

    pub(super) fn secret(&self) -> &AsymmetricSecretKey<V4> {
        &self.secret
    }

    fn from_secret(secret: AsymmetricSecretKey<V4>) -> Option<Self> {
        let public = AsymmetricPublicKey::<V4>::try_from(&secret).ok()?;
        let public = PublicKey::from_bytes(public.as_bytes().try_into().ok()?);
        let id = key_id(&public)?;
        Some(Self { secret, public, id })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// The PASERK id of a public key; `None` if it is none.
#[must_use]
pub fn key_id(key: &PublicKey) -> Option<KeyId> {
    let key = AsymmetricPublicKey::<V4>::from(key.as_bytes()).ok()?;
    let mut text = String::new();
    Id::from(&key).fmt(&mut text).ok()?;
    text.parse().ok()
}

/// What a key of the ring is for. A key is never valid for two uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// Signs orders, cancels and answers.
    Job,
    /// Signs access tokens.
    Token,
}

/// One valid key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingKey {
    /// The public key.
    pub key: PublicKey,
    /// What it is for.
    #[serde(rename = "use")]
    pub usage: KeyUse,
}

/// Which keys are valid, signed with the fleet's root key. A ring with a higher serial replaces one with a lower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRing {
    /// Version of the ring.
    pub v: u8,
    /// The fleet.
    pub fleet: FleetId,
    /// Grows by one with every change, from 1.
    pub serial: u64,
    /// When it was made.
    pub at: Timestamp,
    /// The valid keys.
    pub keys: Vec<RingKey>,
}

impl KeyRing {
    /// The ring in `signed`, if the root key `root` signed it for its own fleet.
    ///
    /// # Errors
    /// When it does not verify, or is for another fleet or of another version.
    pub fn open(signed: &Signed<Self>, root: &PublicKey) -> Result<Self, VerifyError> {
        let ring = signed.verify(root)?;
        let ours = ring.fleet == root.fleet() && ring.v == VERSION;
        if ours { Ok(ring) } else { Err(VerifyError::UnknownForm) }
    }

    /// The valid key with this id, if it is for this use.
    #[must_use]
    pub fn find(&self, id: &KeyId, usage: KeyUse) -> Option<&PublicKey> {
        let mut keys = self.keys.iter().filter(|key| key.usage == usage).map(|key| &key.key);
        keys.find(|key| key_id(key).as_ref() == Some(id))
    }

    /// The document in `signed`, if a key of this ring that is for `usage` signed it.
    ///
    /// # Errors
    /// When the key is unknown or for another use, or the document does not verify.
    pub fn verify<D: super::envelope::Document>(
        &self,
        signed: &Signed<D>,
        usage: KeyUse,
    ) -> Result<D, VerifyError> {
        let key = self.find(&signed.key_id()?, usage).ok_or(VerifyError::OtherKey)?;
        signed.verify(key)
    }
}
