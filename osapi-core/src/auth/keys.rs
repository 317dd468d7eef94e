//! Keys: the ones that sign, and the ring that says which are valid.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pasetors::keys::{AsymmetricKeyPair, AsymmetricPublicKey, AsymmetricSecretKey, Generate};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::envelope::{SignError, Signed, VerifyError};
pub use super::usage::KeyUse;
use crate::clock::Timestamp;
use crate::id::{FleetId, KeyId, PublicKey};
use crate::job::record::VERSION;

/// An Ed25519 secret key. `Debug` shows its id only; its memory is wiped when it is dropped.
pub struct SigningKey {
    secret: AsymmetricSecretKey<V4>,
    public: PublicKey,
    id: KeyId,
}

const SECRET_HEADER: &str = "k4.secret.";
/// Room for the 64 bytes of a secret key (seed and public half), and for the decoder's estimate.
const SECRET_BUFFER: usize = 66;

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

    /// The key in a PASERK `k4.secret.` text. No copy of the secret stays behind in freed memory.
    ///
    /// # Errors
    /// When the text is no such key.
    pub fn from_paserk(text: &str) -> Result<Self, InvalidSecretKey> {
        let body = text.strip_prefix(SECRET_HEADER).ok_or(InvalidSecretKey)?;
        let mut bytes = Zeroizing::new([0; SECRET_BUFFER]);
        let size = URL_SAFE_NO_PAD.decode_slice(body, &mut *bytes).ok();
        let bytes = size.and_then(|size| bytes.get(..size)).ok_or(InvalidSecretKey)?;
        // The library panics on a seed of zeros instead of refusing it.
        if bytes.iter().take(32).all(|byte| *byte == 0) {
            return Err(InvalidSecretKey);
        }
        AsymmetricSecretKey::<V4>::from(bytes)
            .ok()
            .and_then(Self::from_secret)
            .ok_or(InvalidSecretKey)
    }

    /// The PASERK `k4.secret.` text, for a file that only its owner can read.
    #[must_use]
    pub fn to_paserk(&self) -> Zeroizing<String> {
        // The text never grows beyond its first allocation, so that growing leaves no copies behind.
        let mut text =
            Zeroizing::new(String::with_capacity(SECRET_HEADER.len() + SECRET_BUFFER * 2));
        text.push_str(SECRET_HEADER);
        URL_SAFE_NO_PAD.encode_string(self.secret.as_bytes(), &mut text);
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
    /// Whether with this ring a person accepted a store that went back in time. Of jobs that were ordered under keys of earlier rings the
    /// store may have lost whose they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_after_restore: bool,
}

/// Why a ring was not signed.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// Serials start at 1.
    #[error("serial of a key ring must be at least 1")]
    Serial,
    /// A key is listed twice, or is the root key: no key has two uses.
    #[error("key {0} would have two uses")]
    KeyTwice(PublicKey),
    /// Too many keys.
    #[error(transparent)]
    TooLarge(#[from] SignError),
}

impl KeyRing {
    /// Signs a ring for the fleet of `root`.
    ///
    /// # Errors
    /// When the ring breaks one of its rules: a serial from 1, each key listed once, the root key not among them.
    pub fn issue(
        root: &SigningKey,
        serial: u64,
        at: Timestamp,
        keys: Vec<RingKey>,
    ) -> Result<Signed<Self>, RingError> {
        let fleet = root.public().fleet();
        Self { v: VERSION, fleet, serial, at, keys, is_after_restore: false }.sign(root)
    }

    /// The same for a ring with which a store that went back in time is accepted.
    ///
    /// # Errors
    /// As for [`KeyRing::issue`].
    pub fn issue_after_restore(
        root: &SigningKey,
        serial: u64,
        at: Timestamp,
        keys: Vec<RingKey>,
    ) -> Result<Signed<Self>, RingError> {
        let fleet = root.public().fleet();
        Self { v: VERSION, fleet, serial, at, keys, is_after_restore: true }.sign(root)
    }

    fn sign(&self, root: &SigningKey) -> Result<Signed<Self>, RingError> {
        self.check(&root.public())?;
        Ok(Signed::sign(self, root)?)
    }

    /// The ring in `signed`, if the root key `root` signed it for its own fleet.
    ///
    /// # Errors
    /// When it does not verify, is for another fleet or of another version, or breaks a rule of [`KeyRing::issue`].
    pub fn open(signed: &Signed<Self>, root: &PublicKey) -> Result<Self, VerifyError> {
        let ring = signed.verify(root)?;
        let ours = ring.fleet == root.fleet() && ring.v == VERSION;
        if ours && ring.check(root).is_ok() { Ok(ring) } else { Err(VerifyError::UnknownForm) }
    }

    fn check(&self, root: &PublicKey) -> Result<(), RingError> {
        if self.serial == 0 {
            return Err(RingError::Serial);
        }
        let mut seen = BTreeSet::from([*root]);
        match self.keys.iter().find(|key| !seen.insert(key.key)) {
            Some(twice) => Err(RingError::KeyTwice(twice.key)),
            None => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{JobId, TokenId};
    use crate::job::Submitter;
    use crate::message::order::CancelOrder;

    const AT: Timestamp = Timestamp::from_unix_millis(1_800_000_000_000);

    struct Fleet {
        root: SigningKey,
        token: SigningKey,
        job: SigningKey,
    }

    fn fleet() -> Fleet {
        let key = SigningKey::generate;
        Fleet { root: key(), token: key(), job: key() }
    }

    impl Fleet {
        fn keys(&self) -> Vec<RingKey> {
            vec![
                RingKey { key: self.token.public(), usage: KeyUse::Token },
                RingKey { key: self.job.public(), usage: KeyUse::Job },
            ]
        }

        fn ring(&self) -> Signed<KeyRing> {
            KeyRing::issue(&self.root, 1, AT, self.keys()).unwrap()
        }

        fn cancel(&self, key: &SigningKey) -> Signed<CancelOrder> {
            let by = Submitter {
                subject: "a".into(),
                token_id: TokenId::random().to_string(),
                roles: Vec::new(),
            };
            let fleet = self.root.public().fleet();
            let cancel =
                CancelOrder { v: VERSION, fleet, job: JobId::new(AT), not_after: AT, by, at: AT };
            Signed::sign(&cancel, key).unwrap()
        }
    }

    #[test]
    fn a_secret_key_survives_its_text() {
        let key = SigningKey::generate();
        let text = key.to_paserk();
        let again = SigningKey::from_paserk(&text).unwrap();
        assert_eq!((again.public(), again.id()), (key.public(), key.id()));
        assert_eq!(*again.to_paserk(), *text);
        assert_eq!(
            *AsymmetricSecretKey::<V4>::try_from(text.as_str()).unwrap().as_bytes(),
            *key.secret().as_bytes()
        );
    }

    #[test]
    fn texts_that_are_no_secret_key_are_refused_without_repeating_them() {
        let (key, other) = (SigningKey::generate().to_paserk(), SigningKey::generate().to_paserk());
        let zeros = format!("k4.secret.{}", URL_SAFE_NO_PAD.encode([0; 64]));
        let short = format!("k4.secret.{}", URL_SAFE_NO_PAD.encode([7; 32]));
        let mixed = format!("{}{}", &key[..53], &other[53..]);
        let long = format!("{}AAAAAAAAAAAA", *key);
        for bad in ["", "k4.secret.", &key[..95], &key[3..], &zeros, &short, &mixed, &long] {
            let refused = SigningKey::from_paserk(bad).unwrap_err();
            assert_eq!(refused.to_string(), "must be a PASERK k4.secret key");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SigningKey::generate();
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.id()));
    }

    #[test]
    fn a_ring_is_read_by_those_who_trust_its_root() {
        let fleet = fleet();
        let ring = KeyRing::open(&fleet.ring(), &fleet.root.public()).unwrap();
        assert_eq!((ring.serial, ring.fleet), (1, fleet.root.public().fleet()));
        let other = SigningKey::generate().public();
        assert_eq!(KeyRing::open(&fleet.ring(), &other), Err(VerifyError::OtherKey));
    }

    #[test]
    fn a_ring_for_another_fleet_or_of_another_version_is_refused() {
        let fleet = fleet();
        let good = KeyRing::open(&fleet.ring(), &fleet.root.public()).unwrap();
        let elsewhere = KeyRing { fleet: FleetId::from_bytes([1; 16]), ..good.clone() };
        for bad in [elsewhere, KeyRing { v: 2, ..good }] {
            let signed = Signed::sign(&bad, &fleet.root).unwrap();
            let refused = KeyRing::open(&signed, &fleet.root.public());
            assert_eq!(refused, Err(VerifyError::UnknownForm));
        }
    }

    #[test]
    fn a_key_has_one_use_and_the_root_key_no_other() {
        let fleet = fleet();
        let twice = vec![
            RingKey { key: fleet.job.public(), usage: KeyUse::Job },
            RingKey { key: fleet.job.public(), usage: KeyUse::Token },
        ];
        let root = vec![RingKey { key: fleet.root.public(), usage: KeyUse::Job }];
        for keys in [twice, root] {
            let refused = KeyRing::issue(&fleet.root, 1, AT, keys.clone());
            assert!(matches!(refused, Err(RingError::KeyTwice(_))));
            let good = KeyRing::open(&fleet.ring(), &fleet.root.public()).unwrap();
            let signed = Signed::sign(&KeyRing { keys, ..good }, &fleet.root).unwrap();
            let refused = KeyRing::open(&signed, &fleet.root.public());
            assert_eq!(refused, Err(VerifyError::UnknownForm));
        }
        let refused = KeyRing::issue(&fleet.root, 0, AT, fleet.keys());
        assert!(matches!(refused, Err(RingError::Serial)));
    }

    #[test]
    fn each_key_signs_only_what_it_is_for() {
        let fleet = fleet();
        let ring = KeyRing::open(&fleet.ring(), &fleet.root.public()).unwrap();
        assert!(ring.verify(&fleet.cancel(&fleet.job), KeyUse::Job).is_ok());
        for key in [&fleet.token, &fleet.root, &SigningKey::generate()] {
            let refused = ring.verify(&fleet.cancel(key), KeyUse::Job);
            assert_eq!(refused, Err(VerifyError::OtherKey));
        }
        assert_eq!(ring.find(&fleet.job.id(), KeyUse::Job), Some(&fleet.job.public()));
        assert_eq!(ring.find(&fleet.job.id(), KeyUse::Token), None);
    }
}
