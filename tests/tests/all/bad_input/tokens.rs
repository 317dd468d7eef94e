//! Tokens that are no good.

use std::time::Duration;

use osapi_core::auth::token::{NewToken, issue};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_service::datadir::Layout;
use osapi_service::keystore::TokenKey;

use crate::world::{Api, Machine};

/// A token of `machine` with every permission, made two days ago for `life`.
fn old_token(machine: &Machine, life: Duration) -> String {
    let key = TokenKey::open(&Layout::at(machine.data_dir())).unwrap();
    let new = NewToken {
        subject: "user@example.com".into(),
        roles: vec!["admin".parse().unwrap()],
        permissions: Vec::new(),
        expires_in: life,
        now: SystemClock.wall() - Duration::from_secs(2 * 86_400),
    };
    issue(&key.key, key.fleet(), new).unwrap().as_str().to_owned()
}

fn made(machine: &Machine, role: &str) -> String {
    machine.osapi(["token", "generate", "-u", "user@example.com", "-r", role]).run().exits(0).line()
}

#[test]
fn no_bad_token_does_anything() {
    let (machine, other) = (Machine::new(), Machine::new());
    other.start().stop();
    let server = machine.start();
    let good = made(&machine, "admin");
    let altered = {
        // Another character in the middle of the signed part.
        let middle = good.len() / 2;
        let one = if good.as_bytes()[middle] == b'A' { "B" } else { "A" };
        format!("{}{one}{}", &good[..middle], &good[middle + 1..])
    };
    let footless = good.rsplit_once('.').unwrap().0.to_owned();
    let table = [
        ("malformed", "nonsense".to_owned(), "token_malformed"),
        ("of another kind", good.replace("v4.public", "v4.local"), "token_malformed"),
        ("without a footer", footless, "token_malformed"),
        ("altered", altered, "token_bad_signature"),
        ("expired", old_token(&machine, Duration::from_secs(86_400)), "token_expired"),
        ("signed with another key", made(&other, "admin"), "token_unknown_key"),
        ("oversized", format!("v4.public.{}", "A".repeat(4_090)), "token_too_long"),
    ];
    for (what, token, code) in &table {
        for path in ["/v1/node/_any/command/exec", "/v1/node/_any/command/shell"] {
            let answer = server.api().with_token(token).post_raw(path, br#"{"command":"true"}"#);
            let answer = answer.refuses(401, code);
            assert!(
                answer.head.to_ascii_lowercase().contains("www-authenticate: bearer"),
                "{what}: {answer}"
            );
            assert!(!answer.to_string().contains(token), "{what}: the token comes back");
        }
        let ran = machine.osapi(["exec", "--", "true"]).env("OSAPI_TOKEN", token).run();
        let ran = ran.exits(125).prints("").explains(&[code]);
        assert!(!ran.err().contains(token), "{what}: the token is printed");
        if *what != "expired" {
            machine.osapi(["token", "validate", "-t", token]).run().exits(1).prints("");
        }
    }
    server.api().without_token().shell("true").refuses(401, "token_missing");
    let basic = [("Authorization", "Basic dXNlcjpwYXNz"), ("Content-Type", "application/json")];
    let api: Api = server.api().without_token();
    let answer = api.send("POST", "/v1/node/_any/command/exec", &basic, br#"{"command":"true"}"#);
    assert_eq!(answer.status, 401, "{answer}");
    machine.osapi(["token", "validate", "-t", &table[4].1]).run().exits(1).explains(&["expired"]);

    let under = server.api().with_token(&made(&machine, "read"));
    let answer = under.shell("true").refuses(403, "permission_denied");
    assert_eq!(answer.json()["missing_permission"], "command:execute");
    // Who may not do it does not learn what is wrong with the body.
    under.post_raw("/v1/node/_any/command/exec", b"{").refuses(403, "permission_denied");
    assert!(server.api().jobs().is_empty(), "something was made");
    let long_lived = old_token(&machine, Duration::from_secs(3 * 86_400));
    server.api().with_token(&long_lived).shell("true").is(200);
}
