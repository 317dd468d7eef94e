//! Coverage by subtraction: each endpoint of the table without a token, and with every permission but its own.

use osapi_core::api::endpoints::table;
use osapi_core::api::{Access, Code, Entry};
use osapi_core::auth::permission::{Permission, Permissions};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::id::JobId;

use super::fleet::Fleet;
use super::world::Ask;

/// A request that is good but for its caller.
fn ask<'a>(entry: &Entry) -> Ask<'a> {
    let id = JobId::new(SystemClock.wall()).to_string();
    let value = |name: &str| match name {
        "target" => "_any".to_owned(),
        "id" => id.clone(),
        "host" | "name" => "web-01".to_owned(),
        "stream" => "stdout".to_owned(),
        other => panic!("{} has a parameter that this test does not know: {other}", entry.info.id),
    };
    let fill =
        |path: String, name: &'static str| path.replace(&format!("{{{name}}}"), &value(name));
    let path = entry.path.iter().map(|param| param.name).fold(entry.info.path.to_owned(), fill);
    let ask = Ask { method: entry.info.method.as_str(), path, ..Ask::default() };
    if entry.body.is_some() { ask.json(r#"{"command":"true"}"#) } else { ask }
}

#[tokio::test]
async fn no_endpoint_but_the_open_ones_answers_without_a_token() {
    let fleet = Fleet::start().await;
    for entry in table() {
        let reply = fleet.world.ask(&ask(&entry)).await;
        if entry.info.access == Access::Open {
            assert_eq!(reply.status, 200, "{}", entry.info.id);
        } else {
            assert_eq!(reply.problem().code, Code::TokenMissing, "{}", entry.info.id);
        }
    }
}

#[tokio::test]
async fn every_other_permission_together_is_not_enough() {
    let mut fleet = Fleet::start().await;
    let all = Permissions::built_in();
    for entry in table() {
        let lacks = |permission: &Permission| match &entry.info.access {
            Access::Open => false,
            Access::Permission(needed) => permission == needed,
            Access::Operation => all.operations().contains(permission),
            Access::OwnOr(needed) => permission == needed || all.operations().contains(permission),
        };
        let others: Vec<_> =
            all.all().iter().filter(|permission| !lacks(permission)).cloned().collect();
        if others.len() == all.all().iter().count() {
            continue; // open: nothing is missing
        }
        let token = fleet.world.token(&others);
        let problem = fleet.world.ask(&ask(&entry).token(&token)).await.problem();
        assert_eq!(problem.code, Code::PermissionDenied, "{}", entry.info.id);
        let missing: Permission = problem.missing_permission.unwrap().parse().unwrap();
        assert!(lacks(&missing), "{}: {missing}", entry.info.id);
    }
    let nothing = fleet.agent.given();
    assert!(nothing.is_none(), "no job was made: {nothing:?}");
}

#[tokio::test]
async fn every_endpoint_lets_its_permission_through() {
    let fleet = Fleet::start().await;
    for entry in table() {
        let needed = match &entry.info.access {
            Access::Open => continue,
            Access::Permission(needed) | Access::OwnOr(needed) => needed.clone(),
            Access::Operation => Permission::COMMAND_EXECUTE,
        };
        let token = fleet.world.token(&[needed]);
        let ask = ask(&entry).header("prefer", "respond-async").token(&token);
        let reply = fleet.world.ask(&ask).await;
        assert!(![401, 403].contains(&reply.status), "{}: {reply:?}", entry.info.id);
    }
}
