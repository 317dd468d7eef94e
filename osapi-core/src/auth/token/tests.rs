use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::envelope::Signed;
use super::super::keys::RingKey;
use super::*;
use crate::message::order::CancelOrder;

const NOW: Timestamp = Timestamp::from_unix_millis(1_800_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn fleet() -> FleetId {
    FleetId::from_bytes([7; 16])
}

fn new_token() -> NewToken {
    NewToken {
        subject: "user@example.com".into(),
        roles: vec![RoleName::READ],
        permissions: vec![Permission::COMMAND_EXECUTE],
        expires_in: EXPIRES_IN_DEFAULT,
        now: NOW,
    }
}

fn verify(text: &str, key: &SigningKey, now: Timestamp) -> Result<Claims, TokenError> {
    Verifier { keys: &key.public(), fleet: fleet(), revocations: &NoneRevoked }.verify(text, now)
}

fn signed(claims: &Value, key: &SigningKey) -> String {
    sign_bytes(&serde_json::to_vec(claims).unwrap(), key, ASSERTION)
}

fn some_claims() -> Value {
    json!({
        "v": 1, "fleet": fleet(), "sub": "a", "jti": TokenId::random(), "iat": NOW, "nbf": NOW,
        "exp": NOW + SECOND, "roles": ["read"], "permissions": [],
    })
}

#[test]
fn a_token_says_what_it_was_issued_with() {
    let key = SigningKey::generate();
    let token = issue(&key, fleet(), new_token()).unwrap();
    let claims = verify(token.as_str(), &key, NOW).unwrap();
    assert_eq!(claims.sub, "user@example.com");
    assert_eq!(claims.roles, [RoleName::READ]);
    assert_eq!(claims.permissions, [Permission::COMMAND_EXECUTE]);
    assert_eq!((claims.iat, claims.nbf), (NOW, NOW));
    assert_eq!(claims.exp, NOW + EXPIRES_IN_DEFAULT);
    let again = issue(&key, fleet(), new_token()).unwrap();
    assert_ne!(verify(again.as_str(), &key, NOW).unwrap().jti, claims.jti);
}

#[test]
fn the_end_is_strict_and_the_start_has_a_minute_of_leeway() {
    let key = SigningKey::generate();
    let token = issue(&key, fleet(), NewToken { expires_in: SECOND, ..new_token() }).unwrap();
    let at = |now| verify(token.as_str(), &key, now).map(|_| ());
    let tick = Duration::from_millis(1);
    assert_eq!(at(NOW + SECOND - tick), Ok(()));
    assert_eq!(at(NOW + SECOND), Err(TokenError::Expired { at: NOW + SECOND }));
    assert_eq!(at(NOW - LEEWAY), Ok(()));
    assert_eq!(at(NOW - LEEWAY - tick), Err(TokenError::NotYetValid { at: NOW }));

    for later in ["iat", "nbf"] {
        let mut claims = some_claims();
        claims[later] = json!(NOW + LEEWAY + tick);
        claims["exp"] = json!(NOW + LEEWAY + SECOND);
        let refused = verify(&signed(&claims, &key), &key, NOW);
        assert_eq!(refused, Err(TokenError::NotYetValid { at: NOW + LEEWAY + tick }), "{later}");
    }
}

#[test]
fn another_fleet_another_key_and_a_revoked_token_are_refused() {
    struct All;
    impl Revocations for All {
        fn is_revoked(&self, _: &TokenId) -> bool {
            true
        }
    }
    let (key, other) = (SigningKey::generate(), SigningKey::generate());
    let token = issue(&key, fleet(), new_token()).unwrap();
    assert_eq!(verify(token.as_str(), &other, NOW), Err(TokenError::UnknownKey));

    let elsewhere = issue(&key, FleetId::from_bytes([8; 16]), new_token()).unwrap();
    assert_eq!(verify(elsewhere.as_str(), &key, NOW), Err(TokenError::OtherFleet));

    let all = Verifier { keys: &key.public(), fleet: fleet(), revocations: &All };
    assert_eq!(all.verify(token.as_str(), NOW), Err(TokenError::Revoked));
}

#[test]
fn a_ring_accepts_tokens_of_its_token_keys_only() {
    let (root, token, job) =
        (SigningKey::generate(), SigningKey::generate(), SigningKey::generate());
    let keys = vec![
        RingKey { key: token.public(), usage: KeyUse::Token },
        RingKey { key: job.public(), usage: KeyUse::Job },
    ];
    let ring = KeyRing::issue(&root, 1, NOW, keys).unwrap();
    let ring = KeyRing::open(&ring, &root.public()).unwrap();
    let verifier = Verifier { keys: &ring, fleet: ring.fleet, revocations: &NoneRevoked };
    let verify = |key: &SigningKey| {
        let text = issue(key, ring.fleet, new_token()).unwrap();
        verifier.verify(text.as_str(), NOW).map(|_| ())
    };
    assert_eq!(verify(&token), Ok(()));
    assert_eq!(verify(&job), Err(TokenError::UnknownKey));
    assert_eq!(verify(&root), Err(TokenError::UnknownKey));
}

#[test]
fn a_token_is_no_document_and_a_document_no_token() {
    let key = SigningKey::generate();
    let token = issue(&key, fleet(), new_token()).unwrap();
    let cancel = Signed::<CancelOrder>::from_text(token.as_str().to_owned());
    assert_eq!(cancel.verify(&key.public()), Err(VerifyError::BadSignature));

    let document = sign_bytes(&serde_json::to_vec(&some_claims()).unwrap(), &key, "osapi/job/v1");
    assert_eq!(verify(&document, &key, NOW), Err(TokenError::BadSignature));
}

#[test]
fn claims_of_another_form_are_refused() {
    let key = SigningKey::generate();
    assert!(verify(&signed(&some_claims(), &key), &key, NOW).is_ok());
    for (name, value) in [
        ("v", json!(2)),
        ("targets", json!(["web-01"])),
        ("sub", json!("")),
        ("sub", json!("a\nb")),
        ("exp", json!("soon")),
        ("roles", json!(["no role"])),
        ("permissions", json!(["everything"])),
    ] {
        let mut claims = some_claims();
        claims[name] = value;
        let refused = verify(&signed(&claims, &key), &key, NOW);
        assert_eq!(refused, Err(TokenError::Malformed), "{name}: {}", claims[name]);
    }
    for missing in ["fleet", "exp", "jti", "roles"] {
        let mut claims = some_claims();
        claims.as_object_mut().unwrap().remove(missing);
        let refused = verify(&signed(&claims, &key), &key, NOW);
        assert_eq!(refused, Err(TokenError::Malformed), "{missing}");
    }
}

#[test]
fn texts_that_are_no_tokens_are_malformed_or_too_long() {
    let key = SigningKey::generate();
    let token = issue(&key, fleet(), new_token()).unwrap();
    let text = token.as_str();
    let (body, footer) = text.rsplit_once('.').unwrap();
    for bad in [
        "",
        "x",
        "v4.public.",
        "v4.public..",
        body,
        &format!("v4.local.{footer}"),
        &format!(" {text}"),
        &format!("{text}="),
        &format!("{text}.{footer}"),
    ] {
        assert_eq!(verify(bad, &key, NOW), Err(TokenError::Malformed), "{bad}");
    }
    let long = "a".repeat(TEXT_MAX + 1);
    assert_eq!(verify(&long, &key, NOW), Err(TokenError::TooLong));
    assert_eq!(verify(&long[1..], &key, NOW), Err(TokenError::Malformed));
}

#[test]
fn bounds_of_a_new_token_name_field_bound_and_value() {
    let refused = |new| issue(&SigningKey::generate(), fleet(), new).unwrap_err().to_string();
    let subject = |subject: &str| refused(NewToken { subject: subject.into(), ..new_token() });
    let rule = "subject must be 1 to 256 characters without control characters, not";
    assert_eq!(subject(""), format!("{rule} empty"));
    assert!(subject(&"é".repeat(257)).starts_with(rule));
    assert_eq!(subject("a\u{7}b"), format!(r"{rule} a\u{{7}}b"));

    let roles = vec![RoleName::READ; 33];
    assert_eq!(refused(NewToken { roles, ..new_token() }), "roles must be at most 32, not 33");
    let permissions = vec![Permission::JOB_READ; 65];
    assert_eq!(
        refused(NewToken { permissions, ..new_token() }),
        "permissions must be at most 64, not 65"
    );
    for expires_in in [Duration::ZERO, EXPIRES_IN_MAX + SECOND] {
        let text = refused(NewToken { expires_in, ..new_token() });
        assert!(text.starts_with("expires_in must be 1 second to 3650 days, not "), "{text}");
    }
    let long: Permission = format!("{}:read", "a".repeat(120)).parse().unwrap();
    let text = refused(NewToken { permissions: vec![long; 64], ..new_token() });
    assert!(text.starts_with("token must be at most 4096 bytes long"), "{text}");
}

#[test]
fn every_bound_is_inclusive() {
    let key = SigningKey::generate();
    for new in [
        NewToken { subject: "é".repeat(256), ..new_token() },
        NewToken { roles: vec![RoleName::READ; 32], ..new_token() },
        NewToken { permissions: vec![Permission::JOB_READ; 64], ..new_token() },
        NewToken { expires_in: EXPIRES_IN_MAX, ..new_token() },
        NewToken { expires_in: EXPIRES_IN_MIN, ..new_token() },
    ] {
        let token = issue(&key, fleet(), new).unwrap();
        assert!(verify(token.as_str(), &key, NOW).is_ok());
    }
}

#[test]
fn debug_hides_the_text() {
    let token = issue(&SigningKey::generate(), fleet(), new_token()).unwrap();
    assert_eq!(format!("{token:?}"), "AccessToken(..)");
}

proptest! {
    #[test]
    fn any_change_of_one_byte_makes_a_token_invalid(at in any::<prop::sample::Index>(), byte in 0_u8..128) {
        let key = SigningKey::generate();
        let mut bytes = issue(&key, fleet(), new_token()).unwrap().as_str().as_bytes().to_vec();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        prop_assert!(verify(&text, &key, NOW).is_err());
    }

    #[test]
    fn no_text_makes_the_verifier_panic(text in "(v4\\.public\\.)?[A-Za-z0-9_.-]{0,200}") {
        let key = SigningKey::generate();
        prop_assert!(verify(&text, &key, NOW).is_err());
    }
}
