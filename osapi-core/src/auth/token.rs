//! Access tokens: PASETO v4.public, with the signer's key id in the footer and their own implicit assertion. They always expire.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::envelope::{VerifyError, key_id, sign_bytes, verify_bytes};
use super::keys::{KeyRing, KeyUse, SigningKey};
use super::permission::Permission;
use super::role::RoleName;
use crate::clock::Timestamp;
use crate::id::{FleetId, KeyId, PublicKey, TokenId};
use crate::job::limits::Invalid;

/// Longest text of a token, in bytes: what HTTP servers and proxies accept in one header.
pub const TEXT_MAX: usize = 4 * 1024;
/// Longest subject, in characters.
pub const SUBJECT_MAX: usize = 256;
/// Most roles of one token.
pub const ROLES_MAX: usize = 32;
/// Most direct permissions of one token.
pub const PERMISSIONS_MAX: usize = 64;
/// How long a token is valid by default: 90 days.
pub const EXPIRES_IN_DEFAULT: Duration = Duration::from_secs(90 * 86_400);
/// Shortest validity.
pub const EXPIRES_IN_MIN: Duration = Duration::from_secs(1);
/// Longest validity: ten years of 365 days.
pub const EXPIRES_IN_MAX: Duration = Duration::from_secs(3_650 * 86_400);
/// How far the issuer's clock may be ahead. It softens `iat` and `nbf`, never `exp`.
pub const LEEWAY: Duration = Duration::from_secs(60);

const ASSERTION: &str = "osapi/token/v1";
const VERSION: u8 = 1;

/// The text of an access token. It is a secret: `Debug` hides it, its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Zeroizing<String>);

impl AccessToken {
    /// A token as somebody gave it; nothing is checked.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for an `Authorization: Bearer` header or for a person.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

/// What a token says. Unknown claims are refused: one that restricts must not be overlooked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Version of the claims.
    pub v: u8,
    /// The fleet that it is for.
    pub fleet: FleetId,
    /// Who holds it, e.g. `user@example.com`.
    pub sub: String,
    /// Its own id.
    pub jti: TokenId,
    /// When it was issued.
    pub iat: Timestamp,
    /// Before this it is not valid.
    pub nbf: Timestamp,
    /// From this moment on it is no longer valid.
    pub exp: Timestamp,
    /// Its roles, by name: servers expand them at each request.
    pub roles: Vec<RoleName>,
    /// Permissions beside those of its roles.
    pub permissions: Vec<Permission>,
}

/// What is asked for a new token.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Who will hold it: 1 to [`SUBJECT_MAX`] characters without control characters.
    pub subject: String,
    /// At most [`ROLES_MAX`] roles.
    pub roles: Vec<RoleName>,
    /// At most [`PERMISSIONS_MAX`] permissions beside those of the roles.
    pub permissions: Vec<Permission>,
    /// How long it is valid: [`EXPIRES_IN_MIN`] to [`EXPIRES_IN_MAX`].
    pub expires_in: Duration,
    /// The issuer's wall clock.
    pub now: Timestamp,
}

/// Issues a token for `fleet`, signed with a token key.
///
/// # Errors
/// When a bound of [`NewToken`] is broken, or the text would be longer than [`TEXT_MAX`].
pub fn issue(key: &SigningKey, fleet: FleetId, new: NewToken) -> Result<AccessToken, Invalid> {
    check(&new)?;
    let NewToken { subject, roles, permissions, expires_in, now } = new;
    let claims = Claims {
        v: VERSION,
        fleet,
        sub: subject,
        jti: TokenId::random(),
        iat: now,
        nbf: now,
        exp: now + expires_in,
        roles,
        permissions,
    };
    let body = serde_json::to_vec(&claims).expect("claims are texts and have no way to fail");
    let text = sign_bytes(&body, key, ASSERTION);
    if text.len() > TEXT_MAX {
        let bound = format!("at most {TEXT_MAX} bytes long with all its roles and permissions");
        return Err(Invalid::new("token", bound, format!("{} bytes", text.len())));
    }
    Ok(AccessToken::from_text(text))
}

fn check(new: &NewToken) -> Result<(), Invalid> {
    if !is_subject(&new.subject) {
        let bound = format!("1 to {SUBJECT_MAX} characters without control characters");
        let value = if new.subject.is_empty() { "empty" } else { &new.subject };
        return Err(Invalid::new("subject", bound, value));
    }
    for (field, count, max) in [
        ("roles", new.roles.len(), ROLES_MAX),
        ("permissions", new.permissions.len(), PERMISSIONS_MAX),
    ] {
        if count > max {
            return Err(Invalid::new(field, format!("at most {max}"), count));
        }
    }
    if !(EXPIRES_IN_MIN..=EXPIRES_IN_MAX).contains(&new.expires_in) {
        let value = format!("{:?}", new.expires_in);
        return Err(Invalid::new("expires_in", "1 second to 3650 days", value));
    }
    Ok(())
}

fn is_subject(text: &str) -> bool {
    (1..=SUBJECT_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// Why a token is not accepted. None of the texts says anything about keys or about other tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No PASETO v4.public with a key id in its footer, or its claims are not those of this version.
    #[error("token is malformed")]
    Malformed,
    /// Longer than [`TEXT_MAX`]; nothing of it was read.
    #[error("token is longer than {TEXT_MAX} bytes")]
    TooLong,
    /// Signed with a key that is not a valid token key.
    #[error("token is signed with an unknown key")]
    UnknownKey,
    /// Altered, or no access token.
    #[error("token has a wrong signature")]
    BadSignature,
    /// No longer valid.
    #[error("token expired at {at}")]
    Expired {
        /// Its end.
        at: Timestamp,
    },
    /// Not yet valid: it was made for later, or by a clock that is ahead by more than [`LEEWAY`].
    #[error("token is not valid before {at}")]
    NotYetValid {
        /// Its start.
        at: Timestamp,
    },
    /// Made for another fleet.
    #[error("token is for another fleet")]
    OtherFleet,
    /// Withdrawn.
    #[error("token is revoked")]
    Revoked,
}

impl From<VerifyError> for TokenError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::TooLarge => Self::TooLong,
            VerifyError::Malformed | VerifyError::UnknownForm => Self::Malformed,
            VerifyError::OtherKey => Self::UnknownKey,
            VerifyError::BadSignature => Self::BadSignature,
        }
    }
}

/// The keys with which tokens may be signed.
pub trait TokenKeys {
    /// The valid token key with this id.
    fn token_key(&self, id: &KeyId) -> Option<PublicKey>;
}

impl TokenKeys for KeyRing {
    fn token_key(&self, id: &KeyId) -> Option<PublicKey> {
        self.find(id, KeyUse::Token).copied()
    }
}

/// One token key and no ring: what a machine that only issues tokens has.
impl TokenKeys for PublicKey {
    fn token_key(&self, id: &KeyId) -> Option<PublicKey> {
        (super::keys::key_id(self).as_ref() == Some(id)).then_some(*self)
    }
}

/// Which tokens were withdrawn before they expired.
pub trait Revocations {
    /// Whether the token with this `jti` was.
    fn is_revoked(&self, token: &TokenId) -> bool;
}

/// No token is revoked.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoneRevoked;

impl Revocations for NoneRevoked {
    fn is_revoked(&self, _: &TokenId) -> bool {
        false
    }
}

/// What tokens are checked against.
#[derive(Clone, Copy)]
pub struct Verifier<'a> {
    /// The valid token keys.
    pub keys: &'a dyn TokenKeys,
    /// The fleet that the token must be for.
    pub fleet: FleetId,
    /// The tokens that are withdrawn.
    pub revocations: &'a dyn Revocations,
}

impl Verifier<'_> {
    /// What the token in `text` says, if it is authentic, for this fleet, valid at `now` and not revoked.
    ///
    /// # Errors
    /// The first reason not to accept it. Times and fleet are told only of an authentic token.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if text.len() > TEXT_MAX {
            return Err(TokenError::TooLong);
        }
        let key = self.keys.token_key(&key_id(text)?).ok_or(TokenError::UnknownKey)?;
        let body = verify_bytes(text, &key, ASSERTION)?;
        let claims: Claims = serde_json::from_slice(&body).map_err(|_| TokenError::Malformed)?;
        if claims.v != VERSION || !is_subject(&claims.sub) {
            return Err(TokenError::Malformed);
        }
        if claims.fleet != self.fleet {
            return Err(TokenError::OtherFleet);
        }
        check_times(&claims, now)?;
        if self.revocations.is_revoked(&claims.jti) {
            return Err(TokenError::Revoked);
        }
        Ok(claims)
    }
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
    let start = claims.nbf.max(claims.iat);
    if now >= claims.exp {
        Err(TokenError::Expired { at: claims.exp })
    } else if now + LEEWAY < start {
        Err(TokenError::NotYetValid { at: start })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
