//! Validated names and identifiers: nothing that has not been parsed here reaches a path, a key or a subject.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::clock::Timestamp;

mod sealing;

pub use sealing::SealingKey;

/// Why a text is not the identifier that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} '{}': {rule}", value.escape_debug())]
pub struct InvalidId {
    /// What was expected, e.g. `agent name`.
    pub what: &'static str,
    /// The rule that the text breaks.
    pub rule: &'static str,
    /// The text, cut to 80 characters.
    pub value: String,
}

impl InvalidId {
    pub(crate) fn new(what: &'static str, rule: &'static str, value: &str) -> Self {
        Self { what, rule, value: value.chars().take(80).collect() }
    }
}

/// Text form in serde for a type that has `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($ty:ty $(, $bound:ident)?) => {
        impl$(<$bound: IdKind>)? Serialize for $ty {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de $(, $bound: IdKind)?> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// A job's identifier: a UUID version 7 (RFC 9562), so that newer jobs sort after older ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Uuid);

impl JobId {
    /// A new identifier made at `at`, with 74 random bits.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(at.as_unix_millis(), &random()).into_uuid())
    }

    /// The moment that the identifier carries. It is the maker's word, nothing more.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        let bytes = self.0.as_bytes();
        let millis = bytes[..6].iter().fold(0_u64, |millis, byte| millis << 8 | u64::from(*byte));
        Timestamp::from_unix_millis(millis)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let err = || InvalidId::new("job id", "must be a lower-case UUID version 7", text);
        let uuid = Uuid::try_parse(text).map_err(|_| err())?;
        // One text per identifier: keys and journals compare texts.
        if uuid.get_version_num() != 7 || uuid.hyphenated().to_string() != text {
            return Err(err());
        }
        Ok(Self(uuid))
    }
}
serde_as_text!(JobId);

/// The name under which an agent is known in its fleet: 1 to 63 of `[A-Za-z0-9_-]`, starting with a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName(String);

impl AgentName {
    /// Longest name, in bytes: one DNS label (RFC 1035 §2.3.4).
    pub const MAX: usize = 63;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name for a machine whose host name is `hostname`: its first label, other characters as `-`, `local` if nothing is left.
    #[must_use]
    pub fn from_hostname(hostname: &str) -> Self {
        let label = hostname.split('.').next().unwrap_or_default();
        let text: String = label
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' })
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(Self::MAX)
            .collect();
        text.parse().unwrap_or_else(|_| Self("local".into()))
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AgentName {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        let starts_well = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if starts_well && text.len() <= Self::MAX && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            let rule =
                "must be 1 to 63 letters, digits, '_' or '-', and start with a letter or a digit";
            Err(InvalidId::new("agent name", rule, text))
        }
    }
}
serde_as_text!(AgentName);

/// What an [`Id128`] identifies.
pub trait IdKind {
    /// The noun in error messages.
    const NOUN: &'static str;
}

/// A 128-bit identifier, written as 32 lower-case hexadecimal digits.
pub struct Id128<K>([u8; 16], PhantomData<fn() -> K>);

impl<K> Id128<K> {
    /// A new random identifier.
    #[must_use]
    pub fn random() -> Self {
        Self(random(), PhantomData)
    }

    /// The identifier made of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes, PhantomData)
    }
}

impl<K> Clone for Id128<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id128<K> {}
impl<K> PartialEq for Id128<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id128<K> {}
impl<K> PartialOrd for Id128<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id128<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> std::hash::Hash for Id128<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K> fmt::Display for Id128<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}
impl<K: IdKind> fmt::Debug for Id128<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", K::NOUN)
    }
}
impl<K: IdKind> FromStr for Id128<K> {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_hex(text).map(Self::from_bytes).ok_or_else(|| {
            InvalidId::new(K::NOUN, "must be 32 lower-case hexadecimal digits", text)
        })
    }
}
serde_as_text!(Id128<K>, K);

/// Declares the kinds of [`Id128`].
macro_rules! id128 {
    ($($(#[$doc:meta])* $name:ident = $kind:ident, $noun:literal;)*) => {
        $(
            #[doc = concat!("Marks a ", $noun, ".")]
            pub enum $kind {}
            impl IdKind for $kind {
                const NOUN: &'static str = $noun;
            }
            $(#[$doc])*
            pub type $name = Id128<$kind>;
        )*
    };
}

id128! {
    /// Names a fleet: the first 128 bits of the SHA-256 of its root public key.
    FleetId = Fleet, "fleet id";
    /// Made with a journal: a wiped or re-imaged host is another identity.
    JournalId = JournalKind, "journal id";
    /// One run of an agent or a controller process.
    InstanceId = Instance, "instance id";
    /// Made with a store: another id means that the store was replaced.
    StoreId = StoreKind, "store id";
    /// Settles whose write or claim it was when an answer was lost.
    Nonce = NonceKind, "nonce";
    /// One access token (its `jti`), by which it is revoked.
    TokenId = TokenKind, "token id";
    /// One HTTP request, from the edge to the log line.
    RequestId = RequestKind, "request id";
}

/// A SHA-256 (FIPS 180-4), written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A hash that was computed elsewhere.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
impl FromStr for Digest {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_hex(text).map(Self).ok_or_else(|| {
            InvalidId::new("digest", "must be 64 lower-case hexadecimal digits", text)
        })
    }
}
serde_as_text!(Digest);

/// An Ed25519 public key, written as a PASERK `k4.public.`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    const HEADER: &'static str = "k4.public.";

    /// The key made of these bytes. Whether they are a point of the curve shows when a signature is checked.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The fleet whose root key this is.
    #[must_use]
    pub fn fleet(&self) -> FleetId {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&Digest::of(&self.0).as_bytes()[..16]);
        FleetId::from_bytes(bytes)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::HEADER, URL_SAFE_NO_PAD.encode(self.0))
    }
}
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for PublicKey {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.strip_prefix(Self::HEADER)
            .and_then(|body| URL_SAFE_NO_PAD.decode(body).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| InvalidId::new("public key", "must be a PASERK k4.public key", text))
    }
}
serde_as_text!(PublicKey);

/// A public key's PASERK id, `k4.pid.` and 44 characters of base64url.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for KeyId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let body = text.strip_prefix("k4.pid.").filter(|body| body.len() == 44);
        match body.and_then(|body| URL_SAFE_NO_PAD.decode(body).ok()) {
            Some(bytes) if bytes.len() == 33 => Ok(Self(text.to_owned())),
            _ => Err(InvalidId::new("key id", "must be a PASERK k4.pid id", text)),
        }
    }
}
serde_as_text!(KeyId);

/// Whom an execution is addressed to. A name that is set up again is another identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The agent's name.
    pub name: AgentName,
    /// The key with which the agent signs its reports.
    pub key: PublicKey,
    /// The journal that remembers what the agent has started.
    pub journal: JournalId,
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random source works once the system is up");
    bytes
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_carries_its_time_and_one_text() {
        let at = Timestamp::from_unix_millis(1_790_000_000_123);
        let id = JobId::new(at);
        assert_eq!(id.created_at(), at);
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        assert!(id.to_string().to_uppercase().parse::<JobId>().is_err());
        assert!("3b241101-e2bb-4255-8caf-4136c566a962".parse::<JobId>().is_err(), "version 4");
    }

    #[test]
    fn agent_names_are_one_token() {
        for good in ["a", "web-01", "DB_3", &"x".repeat(63)] {
            assert_eq!(good.parse::<AgentName>().unwrap().as_str(), good);
        }
        for bad in ["", "_any", "-x", "a.b", "a/b", "a b", "é", "*", &"x".repeat(64)] {
            assert!(bad.parse::<AgentName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn host_names_become_agent_names() {
        for (hostname, name) in [
            ("web-01.example.com", "web-01"),
            ("a b", "a-b"),
            ("", "local"),
            ("..", "local"),
            ("-é-x", "x"),
        ] {
            assert_eq!(AgentName::from_hostname(hostname).as_str(), name);
        }
    }

    #[test]
    fn texts_round_trip() {
        let digest = Digest::of(b"abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        let key = PublicKey::from_bytes([7; 32]);
        assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
        let nonce = Nonce::random();
        assert_eq!(nonce.to_string().parse::<Nonce>().unwrap(), nonce);
        assert!("K4.public.x".parse::<PublicKey>().is_err());
    }
}
