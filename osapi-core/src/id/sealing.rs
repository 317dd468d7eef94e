//! Public keys to which secrets are sealed, in the text form of NATS' nkeys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::InvalidId;

/// An X25519 public key, written as an nkey: `X` and 55 more characters of base32 (RFC 4648 §6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealingKey([u8; 32]);

/// What the text of a curve key begins with: 23 in the upper five bits, so that its first character is `X`.
const PREFIX: u8 = 23 << 3;
/// Bytes behind the text: the prefix, the key, and a checksum.
const RAW: usize = 1 + 32 + 2;
/// Characters of the text.
const TEXT: usize = RAW * 8 / 5;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl SealingKey {
    /// The key made of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = [0; RAW];
        raw[0] = PREFIX;
        raw[1..33].copy_from_slice(&self.0);
        let checksum = checksum(&raw[..33]);
        raw[33..].copy_from_slice(&checksum.to_le_bytes());
        f.write_str(std::str::from_utf8(&encode(&raw)).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SealingKey {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse(text).map(Self).ok_or_else(|| {
            InvalidId::new(
                "sealing key",
                "must be an nkey of 56 characters that begins with X",
                text,
            )
        })
    }
}

impl Serialize for SealingKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SealingKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let raw = decode(text)?;
    let (body, sum) = raw.split_at(33);
    let (prefix, key) = body.split_first()?;
    let is_whole = *prefix == PREFIX && checksum(body).to_le_bytes() == *sum;
    key.try_into().ok().filter(|_| is_whole)
}

/// Five bytes are eight characters, and the length is a multiple: no padding, and one text per key.
fn encode(raw: &[u8; RAW]) -> [u8; TEXT] {
    let mut text = [0; TEXT];
    for (chars, bytes) in text.chunks_exact_mut(8).zip(raw.chunks_exact(5)) {
        let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for (n, c) in chars.iter_mut().enumerate() {
            *c = ALPHABET[(bits >> (35 - 5 * n) & 31) as usize];
        }
    }
    text
}

fn decode(text: &str) -> Option<[u8; RAW]> {
    let chars: &[u8; TEXT] = text.as_bytes().try_into().ok()?;
    let mut raw = [0; RAW];
    for (bytes, chars) in raw.chunks_exact_mut(5).zip(chars.chunks_exact(8)) {
        let mut bits = 0_u64;
        for c in chars {
            bits = bits << 5 | ALPHABET.iter().position(|known| known == c)? as u64;
        }
        bytes.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(raw)
}

/// CRC-16/XMODEM, as nkeys have it.
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_nkeys_write_it() {
        // Of a pair that the nkeys library in Go made.
        let text = "XBUJMZHVOPQ2SK5VD3TY4VNBPVU2YFGRLK6EFPEPSMVDUYEBSROWZCEA";
        let key: SealingKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
        assert_eq!(SealingKey::from_bytes(*key.as_bytes()), key);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<SealingKey>(&json).unwrap(), key);
    }

    #[test]
    fn what_is_altered_is_no_key() {
        let text = SealingKey::from_bytes([7; 32]).to_string();
        for n in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[n] = if altered[n] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(altered.parse::<SealingKey>().is_err(), "{altered}");
        }
        for bad in ["", "X", &text.to_lowercase(), &text[1..], &format!("{text}A"), &"é".repeat(28)]
        {
            assert!(bad.parse::<SealingKey>().is_err(), "{bad:?}");
        }
    }
}
