//! The documents of NATS operator mode, made without a server: an operator vouches for accounts, an account for users. A server
//! that has the operator's and the accounts' documents lets in every user that an account vouches for, without being told of it.
//!
//! They are JSON Web Tokens signed with Ed25519 under an algorithm name of their own (github.com/nats-io/jwt, version 2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::id::Digest;

/// Most subscriptions of a limited user: more than its patterns, so that it may subscribe anew before the old ones have ended.
const LIMITED_SUBSCRIPTIONS: u32 = 8;
/// Largest message of a limited user, in bytes: what a server takes by default.
const LIMITED_PAYLOAD: u32 = 1 << 20;
/// A limit that does not limit.
const UNLIMITED: i64 = -1;

/// Who signs or is signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Vouches for accounts.
    Operator,
    /// Vouches for users, and is a space of subjects of its own.
    Account,
    /// Connects.
    User,
}

impl Kind {
    fn of(self) -> KeyPairType {
        match self {
            Self::Operator => KeyPairType::Operator,
            Self::Account => KeyPairType::Account,
            Self::User => KeyPairType::User,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Operator => "an operator",
            Self::Account => "an account",
            Self::User => "a user",
        }
    }
}

/// A secret key in the form of NATS. `Debug` shows its public half only.
pub struct Nkey(KeyPair);

/// A text that is no such key. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the nkeys seed of {}", .0.noun())]
pub struct InvalidSeed(pub Kind);

impl Nkey {
    /// A new random key.
    #[must_use]
    pub fn generate(kind: Kind) -> Self {
        Self(KeyPair::new(kind.of()))
    }

    /// The key of this kind in a seed, which begins with `SO`, `SA` or `SU`.
    ///
    /// # Errors
    /// When the text is no such key.
    pub fn from_seed(text: &str, kind: Kind) -> Result<Self, InvalidSeed> {
        let key = KeyPair::from_seed(text).ok().filter(|key| key.key_pair_type() == kind.of());
        key.map(Self).ok_or(InvalidSeed(kind))
    }

    /// The seed, for a file that only its owner can read.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.seed().expect("it was made with its seed"))
    }

    /// The public half, which begins with `O`, `A` or `U`.
    #[must_use]
    pub fn public(&self) -> String {
        self.0.public_key()
    }
}

impl fmt::Debug for Nkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nkey({})", self.public())
    }
}

/// What a user may do. Nothing else is allowed: neither list is ever empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Where it may publish.
    pub publish: Vec<String>,
    /// Where it may listen.
    pub subscribe: Vec<String>,
}

/// An account.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// What people see.
    pub name: &'a str,
    /// Its public key, which is what it is to the server: its streams belong to this key.
    pub id: &'a str,
    /// The public key that vouches for its users. It can be replaced, and the account stays.
    pub signer: &'a str,
    /// Whether it may have streams.
    pub streams: Streams,
}

/// Whether an account may have streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// As many bytes as the server has room for.
    Allowed,
    /// None.
    Refused,
}

/// A user of an account.
#[derive(Debug, Clone)]
pub struct User<'a> {
    /// What people see, in the server's log and monitoring.
    pub name: &'a str,
    /// Its public key.
    pub key: &'a str,
    /// The account.
    pub account: &'a str,
    /// What it may do.
    pub permissions: Permissions,
    /// How much.
    pub bounds: Bounds,
}

/// How much a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// A few subscriptions and ordinary messages: what one agent needs.
    Limited,
    /// As the account.
    Unlimited,
}

/// The document of the operator, which vouches for itself. `system` is the account of the servers themselves.
#[must_use]
pub fn operator(operator: &Nkey, name: &str, system: &str, at: Timestamp) -> String {
    let nats = json!({ "type": "operator", "version": 2, "system_account": system });
    sign(operator, name, &operator.public(), nats, at)
}

/// The document of an account, which `operator` vouches for.
#[must_use]
pub fn account(operator: &Nkey, account: &Account<'_>, at: Timestamp) -> String {
    let Account { name, id, signer, streams } = *account;
    let stored = if streams == Streams::Allowed { UNLIMITED } else { 0 };
    let nothing = json!({ "deny": [">"] });
    let nats = json!({
        "type": "account",
        "version": 2,
        "signing_keys": [signer],
        // Holds for a user whose document does not say what it may do.
        "default_permissions": { "pub": nothing, "sub": nothing },
        "limits": {
            "subs": UNLIMITED,
            "data": UNLIMITED,
            "payload": UNLIMITED,
            "conn": UNLIMITED,
            "leaf": 0,
            "imports": 0,
            "exports": 0,
            "mem_storage": stored,
            "disk_storage": stored,
            "streams": stored,
            "consumer": stored,
        },
    });
    sign(operator, name, id, nats, at)
}

/// The document of a user, which `signer` vouches for in the name of the account.
#[must_use]
pub fn user(signer: &Nkey, user: &User<'_>, at: Timestamp) -> String {
    let Permissions { publish, subscribe } = &user.permissions;
    let (subscriptions, payload) = match user.bounds {
        Bounds::Limited => (LIMITED_SUBSCRIPTIONS.into(), LIMITED_PAYLOAD.into()),
        Bounds::Unlimited => (UNLIMITED, UNLIMITED),
    };
    let nats = json!({
        "type": "user",
        "version": 2,
        "issuer_account": user.account,
        "pub": { "allow": publish },
        "sub": { "allow": subscribe },
        "subs": subscriptions,
        "data": UNLIMITED,
        "payload": payload,
        // Neither as a leaf node, which would be a server of its own, nor by another protocol.
        "allowed_connection_types": ["STANDARD"],
    });
    sign(signer, user.name, user.key, nats, at)
}

/// The text of a credentials file: a user's document and its seed.
#[must_use]
pub fn credentials(document: &str, key: &Nkey) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "-----BEGIN NATS USER JWT-----\n{document}\n------END NATS USER JWT------\n\n\
         Whoever has the lines below is this user: keep them secret.\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        *key.seed()
    ))
}

#[derive(Serialize)]
struct Claims<'a> {
    jti: String,
    iat: u64,
    iss: String,
    name: &'a str,
    sub: &'a str,
    nats: Value,
}

fn sign(issuer: &Nkey, name: &str, subject: &str, nats: Value, at: Timestamp) -> String {
    let iss = issuer.public();
    let iat = at.as_unix_millis() / 1_000;
    // Names the document, and nothing more; so it may be made of what it says.
    let jti = Digest::of(format!("{iss} {subject} {iat} {nats}").as_bytes()).to_string();
    let claims = Claims { jti, iat, iss, name, sub: subject, nats };
    let part = |value: Vec<u8>| URL_SAFE_NO_PAD.encode(value);
    let claims = serde_json::to_vec(&claims).expect("claims are texts and numbers under text keys");
    let header = br#"{"typ":"JWT","alg":"ed25519-nkey"}"#;
    let signed = format!("{}.{}", part(header.to_vec()), part(claims));
    let signature = issuer.0.sign(signed.as_bytes()).expect("it was made with its seed");
    format!("{signed}.{}", part(signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_unix_millis(1_800_000_000_123);

    /// What a document says, if `issuer` signed it.
    fn claims(document: &str, issuer: &Nkey) -> Value {
        let (signed, signature) = document.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        issuer.0.verify(signed.as_bytes(), &signature).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let header: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        assert_eq!(header, json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    }

    fn permissions() -> Permissions {
        Permissions { publish: vec!["a.>".into()], subscribe: vec!["b".into()] }
    }

    fn user_of(bounds: Bounds) -> (Nkey, Value) {
        let (signer, key) = (Nkey::generate(Kind::Account), Nkey::generate(Kind::User).public());
        let user =
            User { name: "web-01", key: &key, account: "A", permissions: permissions(), bounds };
        let document = super::user(&signer, &user, AT);
        let claims = claims(&document, &signer);
        assert_eq!((&claims["sub"], &claims["name"]), (&json!(key), &json!("web-01")));
        (signer, claims)
    }

    #[test]
    fn a_key_survives_its_seed_and_is_of_one_kind() {
        for (kind, letter) in [(Kind::Operator, 'O'), (Kind::Account, 'A'), (Kind::User, 'U')] {
            let key = Nkey::generate(kind);
            assert!(
                key.public().starts_with(letter) && key.seed().starts_with(&format!("S{letter}"))
            );
            assert_eq!(Nkey::from_seed(&key.seed(), kind).unwrap().public(), key.public());
            for other in [Kind::Operator, Kind::Account, Kind::User] {
                assert_eq!(Nkey::from_seed(&key.seed(), other).is_ok(), other == kind);
            }
            assert_eq!(format!("{key:?}"), format!("Nkey({})", key.public()));
        }
    }

    #[test]
    fn texts_that_are_no_seed_are_refused_without_repeating_them() {
        let seed = Nkey::generate(Kind::Account).seed();
        let other = if seed[10..].starts_with('A') { "B" } else { "A" };
        let changed = format!("{}{other}{}", &seed[..10], &seed[11..]);
        for bad in ["", "SA", &seed[1..], &changed, &seed.to_lowercase()] {
            let refused = Nkey::from_seed(bad, Kind::Account).unwrap_err();
            assert_eq!(refused.to_string(), "must be the nkeys seed of an account");
        }
    }

    #[test]
    fn an_operator_vouches_for_itself_and_names_the_system_account() {
        let key = Nkey::generate(Kind::Operator);
        let claims = claims(&operator(&key, "OSAPI", "ASYS", AT), &key);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(key.public()), &json!(key.public())));
        assert_eq!(
            claims["nats"],
            json!({ "type": "operator", "version": 2, "system_account": "ASYS" })
        );
        assert_eq!(claims["iat"], 1_800_000_000);
    }

    #[test]
    fn an_account_has_streams_only_where_they_are_allowed() {
        let key = Nkey::generate(Kind::Operator);
        for (streams, limit) in [(Streams::Allowed, -1), (Streams::Refused, 0)] {
            let account = Account { name: "x", id: "A1", signer: "A2", streams };
            let nats = claims(&super::account(&key, &account, AT), &key)["nats"].take();
            assert_eq!(nats["signing_keys"], json!(["A2"]));
            for name in ["mem_storage", "disk_storage", "streams", "consumer"] {
                assert_eq!(nats["limits"][name], limit, "{name}");
            }
            assert_eq!(nats["default_permissions"]["pub"]["deny"], json!([">"]));
        }
    }

    #[test]
    fn a_user_may_do_what_stands_in_its_document() {
        let (signer, claims) = user_of(Bounds::Limited);
        assert_eq!(claims["iss"], signer.public());
        assert_eq!(
            claims["nats"],
            json!({
                "type": "user", "version": 2, "issuer_account": "A",
                "pub": { "allow": ["a.>"] }, "sub": { "allow": ["b"] },
                "subs": 8, "data": -1, "payload": 1_048_576,
                "allowed_connection_types": ["STANDARD"],
            })
        );
        let (_, claims) = user_of(Bounds::Unlimited);
        assert_eq!((&claims["nats"]["subs"], &claims["nats"]["payload"]), (&json!(-1), &json!(-1)));
    }

    #[test]
    fn two_documents_have_two_ids() {
        let ids =
            [Bounds::Limited, Bounds::Unlimited].map(|bounds| user_of(bounds).1["jti"].clone());
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn credentials_hold_the_document_and_the_seed() {
        let key = Nkey::generate(Kind::User);
        let text = credentials("a.b.c", &key);
        assert!(text.contains("\na.b.c\n") && text.contains(&format!("\n{}\n", *key.seed())));
    }
}
