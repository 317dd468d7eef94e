//! Signed documents: PASETO v4.public over JSON, told apart by their implicit assertion, with the signer's key id in the footer.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use pasetors::{Public, keys::AsymmetricPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::keys::{KeyRing, SigningKey};
use crate::id::{Digest, KeyId, PublicKey};
use crate::job::{Report, limits};
use crate::message::order::{Answer, CancelOrder, ClaimRequest, Order, Registration};

/// How every token begins.
const HEADER: &str = "v4.public.";
/// Bytes of an Ed25519 signature, which follows the body.
const SIGNATURE: usize = 64;

/// A document that is signed. Its assertion is bound into the signature, so that one kind never passes for another.
pub trait Document: Serialize + DeserializeOwned {
    /// The implicit assertion (PASETO, "Implicit Assertions").
    const ASSERTION: &'static str;
    /// Largest body before encoding, in bytes.
    const MAX: usize;
}

impl Document for Order {
    const ASSERTION: &'static str = "osapi/job/v1";
    const MAX: usize = limits::ORDER_MAX;
}
impl Document for CancelOrder {
    const ASSERTION: &'static str = "osapi/cancel/v1";
    const MAX: usize = 16 * 1024;
}
impl Document for Registration {
    const ASSERTION: &'static str = "osapi/registration/v1";
    const MAX: usize = 64 * 1024;
}
impl Document for Report {
    const ASSERTION: &'static str = "osapi/report/v1";
    const MAX: usize = limits::REPORT_MAX;
}
impl Document for ClaimRequest {
    const ASSERTION: &'static str = "osapi/claim/v1";
    const MAX: usize = 4 * 1024;
}
impl Document for Answer {
    const ASSERTION: &'static str = "osapi/answer/v1";
    const MAX: usize = 16 * 1024;
}
impl Document for KeyRing {
    const ASSERTION: &'static str = "osapi/keyring/v1";
    const MAX: usize = 64 * 1024;
}

/// A document that could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Its body is larger than its kind allows.
    #[error("document has {size} bytes: at most {max} are allowed")]
    TooLarge {
        /// Bytes of the body.
        size: usize,
        /// [`Document::MAX`].
        max: usize,
    },
}

/// Why a signed document is not what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Larger than its kind allows.
    #[error("document is too large")]
    TooLarge,
    /// No PASETO v4.public token with a key id in its footer.
    #[error("document is malformed")]
    Malformed,
    /// Signed with another key.
    #[error("document is signed with another key")]
    OtherKey,
    /// The signature does not verify.
    #[error("signature does not verify")]
    BadSignature,
    /// Authentic, and its body is not what this build expects.
    #[error("document has an unknown form")]
    UnknownForm,
}

/// A signed document of kind `D`, not yet verified: whatever it says is the word of a stranger.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signed<D> {
    text: String,
    #[serde(skip)]
    kind: PhantomData<fn() -> D>,
}

#[derive(Serialize, Deserialize)]
struct Footer {
    kid: KeyId,
}

impl<D: Document> Signed<D> {
    /// Signs `document`.
    ///
    /// # Errors
    /// When its body is larger than [`Document::MAX`].
    pub fn sign(document: &D, key: &SigningKey) -> Result<Self, SignError> {
        let body = serde_json::to_vec(document)
            .expect("documents have text keys and no other way to fail");
        if body.len() > D::MAX {
            return Err(SignError::TooLarge { size: body.len(), max: D::MAX });
        }
        let text = sign_bytes(&body, key, D::ASSERTION);
        Ok(Self { text, kind: PhantomData })
    }

    /// The document, if it was signed with `key`.
    ///
    /// # Errors
    /// When it is too large, malformed, altered, of another kind, or signed with another key.
    pub fn verify(&self, key: &PublicKey) -> Result<D, VerifyError> {
        // base64 takes four characters for three bytes; header, signature and footer stay below 1 KiB.
        if self.text.len() > D::MAX.div_ceil(3) * 4 + 1024 {
            return Err(VerifyError::TooLarge);
        }
        let body = verify_bytes(&self.text, key, D::ASSERTION)?;
        serde_json::from_slice(&body).map_err(|_| VerifyError::UnknownForm)
    }

    /// What the document says, before anything has confirmed it: for finding out with which key to verify it.
    #[must_use]
    pub fn peek(&self) -> Option<D> {
        let text = self.text.strip_prefix(HEADER)?;
        let (body, _) = text.split_once('.')?;
        let body = URL_SAFE_NO_PAD.decode(body).ok()?;
        let (body, _) = body.split_at_checked(body.len().checked_sub(SIGNATURE)?)?;
        serde_json::from_slice(body).ok()
    }

    /// The key that the footer names. A hint for finding the key, until [`Signed::verify`] has confirmed it.
    ///
    /// # Errors
    /// When there is no such footer.
    pub fn key_id(&self) -> Result<KeyId, VerifyError> {
        key_id(&self.text)
    }

    /// A document as it was received or stored.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self { text, kind: PhantomData }
    }

    /// The signed text, which is what is stored, sent and hashed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the signed text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }
}

impl<D> Clone for Signed<D> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), kind: PhantomData }
    }
}
impl<D> PartialEq for Signed<D> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl<D> Eq for Signed<D> {}
impl<D> fmt::Debug for Signed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} bytes)", self.text.len())
    }
}

/// Signs raw bytes; the footer names the key.
pub(super) fn sign_bytes(body: &[u8], key: &SigningKey, assertion: &str) -> String {
    let footer = serde_json::to_vec(&Footer { kid: key.id() }).expect("a footer is one text");
    PublicToken::sign(key.secret(), body, Some(&footer), Some(assertion.as_bytes()))
        .expect("a body that is not empty can be signed")
}

/// The bytes that were signed with `key`.
pub(super) fn verify_bytes(
    text: &str,
    key: &PublicKey,
    assertion: &str,
) -> Result<Vec<u8>, VerifyError> {
    if key_id(text)? != super::keys::key_id(key).ok_or(VerifyError::OtherKey)? {
        return Err(VerifyError::OtherKey);
    }
    let token = UntrustedToken::<Public, V4>::try_from(text).map_err(|_| VerifyError::Malformed)?;
    let key = AsymmetricPublicKey::<V4>::from(key.as_bytes()).map_err(|_| VerifyError::OtherKey)?;
    let footer = token.untrusted_footer().to_vec();
    let token = PublicToken::verify(&key, &token, Some(&footer), Some(assertion.as_bytes()))
        .map_err(|_| VerifyError::BadSignature)?;
    Ok(token.payload().as_bytes().to_vec())
}

/// The key id in the footer of a token, which nothing has confirmed.
pub(super) fn key_id(text: &str) -> Result<KeyId, VerifyError> {
    let footer = text.strip_prefix(HEADER).and_then(|rest| rest.split_once('.'));
    let (_, footer) = footer.ok_or(VerifyError::Malformed)?;
    let footer = URL_SAFE_NO_PAD.decode(footer).map_err(|_| VerifyError::Malformed)?;
    let footer: Footer = serde_json::from_slice(&footer).map_err(|_| VerifyError::Malformed)?;
    Ok(footer.kid)
}

#[cfg(test)]
mod tests;
