//! Messages that were altered on their way: bits, lengths, fields, parts of signed texts, and addresses.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use osapi_core::backend::faulty::Dice;
use osapi_core::message::MESSAGE_MAX;
use serde_json::Value;

use super::tally::{Deed, Missile};
use super::tape::{Heard, Kind, Tape, below, one_of};

/// How a signed text begins.
const SIGNED: &str = "v4.public.";
/// Bytes of a signature, which follow the body (PASETO v4, "Sign").
const SIGNATURE: usize = 64;

/// A recorded message, as it was or altered in one way, perhaps on another subject.
///
/// Hints that were altered are left out. They are not signed: who alters them can keep work from being done, and nothing more, which has
/// a test of its own.
pub(super) fn altered(dice: &Dice, tape: &Tape, subjects: &[String]) -> Option<Missile> {
    let heard = tape.pick(dice);
    let kind = heard.kind();
    let Heard { subject, payload: original } = heard;
    let other = match tape.pick_of(dice, kind).filter(|_| dice.chance(0.5)) {
        Some(same) => same.payload,
        None => tape.pick(dice).payload,
    };
    let (payload, deed) = match dice.below(100) {
        0..30 => (original.clone(), Deed::Repeated),
        30..45 => (flipped(dice, &original), Deed::Flipped),
        45..53 => (original.slice(..below(dice, original.len() + 1)), Deed::Cut),
        53 => (oversized(dice, &original), Deed::Lengthened),
        54..60 => ([original.as_ref(), other.as_ref()].concat().into(), Deed::Lengthened),
        60..78 => (with_field_of(dice, &original, &other), Deed::FieldSwapped),
        _ => (with_token_of(dice, &original, &other), Deed::TokenMixed),
    };
    let is_moved = dice.chance(0.3);
    let subject = if is_moved { one_of(dice, subjects).clone() } else { own(&subject) };
    let is_as_it_was = payload == original;
    let deed = match (is_as_it_was, is_moved) {
        (true, true) => Deed::Moved,
        (true, false) => Deed::Repeated,
        (false, _) => deed,
    };
    let message = Heard { subject, payload };
    (is_as_it_was || !message.is_hint()).then_some(Missile { message, kind, deed })
}

/// An order as it was, at a host that it may not be for.
pub(super) fn strayed(dice: &Dice, tape: &Tape, hosts: &[&str]) -> Option<Missile> {
    let Heard { subject: _, payload } = tape.pick_of(dice, Kind::Order)?;
    let subject = format!("osapi.to.{}", one_of(dice, hosts));
    Some(Missile { message: Heard { subject, payload }, kind: Kind::Order, deed: Deed::Moved })
}

/// The same subject under the namespace that is attacked.
fn own(subject: &str) -> String {
    let (_, rest) = subject.split_once('.').unwrap();
    format!("osapi.{rest}")
}

fn flipped(dice: &Dice, payload: &Bytes) -> Bytes {
    let mut bytes = payload.to_vec();
    for _ in 0..=dice.below(4) {
        if let Some(byte) = bytes.get_mut(below(dice, payload.len())) {
            *byte ^= 1 << dice.below(8);
        }
    }
    bytes.into()
}

/// Still a message, if its size were no matter; up to what the server takes.
fn oversized(dice: &Dice, payload: &Bytes) -> Bytes {
    let size = MESSAGE_MAX + 1 + below(dice, 4000);
    let mut bytes = payload.to_vec();
    bytes.resize(size.max(bytes.len()), b' ');
    bytes.truncate(size);
    bytes.into()
}

/// The message with one of its fields as it is in another message.
fn with_field_of(dice: &Dice, payload: &Bytes, other: &Bytes) -> Bytes {
    let (Ok(mut message), Ok(other)) = (parse(payload), parse(other)) else {
        return flipped(dice, payload);
    };
    let (own, others) = (fields(&message), fields(&other));
    let (at, name) = one_of(dice, &own).clone();
    let same: Vec<_> = others.iter().filter(|(_, other)| *other == name).collect();
    let from = if same.is_empty() { one_of(dice, &others) } else { *one_of(dice, &same) };
    let value = other.pointer(&from.0).cloned();
    if let (Some(field), Some(value)) = (message.pointer_mut(&at), value) {
        *field = value;
    }
    message.to_string().into()
}

fn parse(payload: &Bytes) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(payload)
}

/// Where each field of a message is (RFC 6901), with its name.
fn fields(message: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(message, String::new(), &mut found);
    found
}

fn collect(value: &Value, at: String, found: &mut Vec<(String, String)>) {
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(values) => {
            values.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    for (name, value) in entries {
        let at = format!("{at}/{name}");
        found.push((at.clone(), name));
        collect(value, at, found);
    }
}

/// The message with one of its signed texts altered by parts of one in another message.
fn with_token_of(dice: &Dice, payload: &Bytes, other: &Bytes) -> Bytes {
    let (Ok(mut message), Ok(other)) = (parse(payload), parse(other)) else {
        return flipped(dice, payload);
    };
    let (own, others) = (tokens(&message), tokens(&other));
    let Some(at) = (!own.is_empty()).then(|| one_of(dice, &own).0.clone()) else {
        return flipped(dice, payload);
    };
    let text = message.pointer(&at).and_then(Value::as_str).unwrap().to_owned();
    let donor = if others.is_empty() { text.clone() } else { one_of(dice, &others).1.clone() };
    let altered =
        Token::of(&text).zip(Token::of(&donor)).map(|(own, donor)| own.mixed(dice, donor));
    if let (Some(field), Some(altered)) = (message.pointer_mut(&at), altered) {
        *field = altered.into();
    }
    message.to_string().into()
}

/// Where each signed text is, and what it is.
fn tokens(message: &Value) -> Vec<(String, String)> {
    let all = fields(message).into_iter();
    let text = |at: &str| Some(message.pointer(at)?.as_str()?.to_owned());
    let texts = all.filter_map(|(at, _)| text(&at).map(|text| (at, text)));
    texts.filter(|(_, text)| text.starts_with(SIGNED)).collect()
}

/// The parts of a signed text.
#[derive(Clone)]
struct Token {
    body: Vec<u8>,
    signature: Vec<u8>,
    footer: String,
}

impl Token {
    fn of(text: &str) -> Option<Self> {
        let (payload, footer) = text.strip_prefix(SIGNED)?.split_once('.')?;
        let mut body = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let signature = body.split_off(body.len().checked_sub(SIGNATURE)?);
        Some(Self { body, signature, footer: footer.to_owned() })
    }

    fn mixed(mut self, dice: &Dice, donor: Self) -> String {
        match dice.below(6) {
            0 => self.body = donor.body,
            1 => self.signature = donor.signature,
            2 => self.footer = donor.footer,
            3 => (self.body, self.footer) = (donor.body, donor.footer),
            4 => self.body = flipped(dice, &self.body.into()).to_vec(),
            _ => self.body = with_field_of(dice, &self.body.into(), &donor.body.into()).to_vec(),
        }
        self.text()
    }

    fn text(&self) -> String {
        let payload = URL_SAFE_NO_PAD.encode([&*self.body, &*self.signature].concat());
        format!("{SIGNED}{payload}.{}", self.footer)
    }
}
