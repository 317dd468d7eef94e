use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::id::{FleetId, JobId};
use crate::job::record::{ClaimRule, Submitter};
use crate::job::{Exec, Operation};
use crate::message::order::HostSet;

const AT: Timestamp = Timestamp::from_unix_millis(1_800_000_000_000);

fn submitter() -> Submitter {
    Submitter { subject: "a".into(), token_id: "b".into(), roles: Vec::new() }
}

fn order(args: Vec<String>) -> Order {
    Order {
        v: 1,
        fleet: FleetId::from_bytes([1; 16]),
        job: JobId::new(AT),
        wave: 0,
        iat: AT,
        not_after: AT,
        claim: ClaimRule::None,
        hosts: HostSet { root: Digest::of(b""), count: 1 },
        submitter: submitter(),
        operation: Operation::Exec(Exec { args, ..Exec::new("true") }),
        asked: Digest::of(b"asked"),
        retry_of: None,
    }
}

fn cancel() -> CancelOrder {
    let Order { v, fleet, job, not_after, submitter: by, .. } = order(Vec::new());
    CancelOrder { v, fleet, job, not_after, by, at: AT }
}

#[test]
fn what_is_signed_comes_back() {
    let key = SigningKey::generate();
    let order = order(vec!["x".into()]);
    let signed = Signed::sign(&order, &key).unwrap();
    assert_eq!(signed.verify(&key.public()), Ok(order));
    assert_eq!(signed.key_id(), Ok(key.id()));
    let text = serde_json::to_string(&signed).unwrap();
    assert_eq!(serde_json::from_str::<Signed<Order>>(&text).unwrap(), signed);
}

#[test]
fn another_key_is_told_from_a_wrong_signature() {
    let (key, other) = (SigningKey::generate(), SigningKey::generate());
    let signed = Signed::sign(&cancel(), &key).unwrap();
    assert_eq!(signed.verify(&other.public()), Err(VerifyError::OtherKey));
    // A footer that names the right key does not help a wrong signature.
    let forged = Signed::sign(&cancel(), &other).unwrap();
    let (body, _) = forged.as_str().rsplit_once('.').unwrap();
    let (_, footer) = signed.as_str().rsplit_once('.').unwrap();
    let forged = Signed::<CancelOrder>::from_text(format!("{body}.{footer}"));
    assert_eq!(forged.verify(&key.public()), Err(VerifyError::BadSignature));
}

/// Every kind of document under its own name, so that a new one is not forgotten here.
fn assertions() -> [&'static str; 6] {
    [
        Order::ASSERTION,
        CancelOrder::ASSERTION,
        Registration::ASSERTION,
        Report::ASSERTION,
        Answer::ASSERTION,
        KeyRing::ASSERTION,
    ]
}

#[test]
fn kinds_have_assertions_of_their_own_and_none_passes_for_another() {
    let key = SigningKey::generate();
    for kind in assertions() {
        let text = sign_bytes(b"{}", &key, kind);
        for other in assertions().into_iter().chain(["", "osapi/token/v1"]) {
            let expected =
                if other == kind { Ok(b"{}".to_vec()) } else { Err(VerifyError::BadSignature) };
            assert_eq!(verify_bytes(&text, &key.public(), other), expected, "{kind} as {other}");
        }
    }
    let signed = Signed::sign(&order(Vec::new()), &key).unwrap();
    let as_cancel = Signed::<CancelOrder>::from_text(signed.as_str().to_owned());
    assert_eq!(as_cancel.verify(&key.public()), Err(VerifyError::BadSignature));
}

#[test]
fn a_body_of_another_form_is_refused() {
    let key = SigningKey::generate();
    let mut body = serde_json::to_value(cancel()).unwrap();
    body["only_on"] = serde_json::json!("tuesdays");
    let text = sign_bytes(&serde_json::to_vec(&body).unwrap(), &key, CancelOrder::ASSERTION);
    let signed = Signed::<CancelOrder>::from_text(text);
    assert_eq!(signed.verify(&key.public()), Err(VerifyError::UnknownForm));
}

#[test]
fn size_is_bounded_before_signing_and_before_parsing() {
    let key = SigningKey::generate();
    let empty = serde_json::to_vec(&order(vec![String::new()])).unwrap().len();
    let room = Order::MAX - empty;
    let largest = Signed::sign(&order(vec!["x".repeat(room)]), &key).unwrap();
    assert!(largest.verify(&key.public()).is_ok());
    let refused = Signed::sign(&order(vec!["x".repeat(room + 1)]), &key).unwrap_err();
    let text = format!("document has {} bytes: at most {} are allowed", Order::MAX + 1, Order::MAX);
    assert_eq!(refused.to_string(), text);
    let long = Signed::<CancelOrder>::from_text(largest.as_str().to_owned());
    assert_eq!(long.verify(&key.public()), Err(VerifyError::TooLarge));
}

#[test]
fn a_text_that_ends_early_is_refused() {
    let key = SigningKey::generate();
    let signed = Signed::sign(&cancel(), &key).unwrap();
    for size in 0..signed.as_str().len() {
        let short = Signed::<CancelOrder>::from_text(signed.as_str()[..size].to_owned());
        assert!(short.verify(&key.public()).is_err(), "{size} bytes");
    }
}

/// The last character of base64 may hold bits that decode to nothing: a second text for the same bytes would have another hash.
#[test]
fn a_document_has_one_text() {
    let key = SigningKey::generate();
    for length in 0..3 {
        let by = Submitter { subject: "a".repeat(length), ..submitter() };
        let signed = Signed::sign(&CancelOrder { by, ..cancel() }, &key).unwrap();
        let (body, footer) = signed.as_str().rsplit_once('.').unwrap();
        let ends = |part: &str| part[..part.len() - 1].to_owned();
        for c in ('a'..='z').chain('A'..='Z').chain('0'..='9').chain(['-', '_', '=']) {
            for text in
                [format!("{}{c}.{footer}", ends(body)), format!("{body}.{}{c}", ends(footer))]
            {
                let other = Signed::<CancelOrder>::from_text(text.clone());
                assert_eq!(other.verify(&key.public()).is_ok(), text == signed.as_str(), "{text}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_change_of_one_byte_makes_a_document_invalid(at in any::<prop::sample::Index>(), byte in 0_u8..128) {
        static SIGNED: LazyLock<(SigningKey, String)> = LazyLock::new(|| {
            let key = SigningKey::generate();
            let text = Signed::sign(&cancel(), &key).unwrap().as_str().to_owned();
            (key, text)
        });
        let (key, text) = &*SIGNED;
        let mut bytes = text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let changed = Signed::<CancelOrder>::from_text(String::from_utf8(bytes).unwrap());
        prop_assert!(changed.verify(&key.public()).is_err());
    }
}
