//! What tokens may do, with the real server and the real programs.

use std::fs;

use crate::world::{Machine, Ran, Server};

/// Custom roles, as the documentation shows them.
const OPS: &str = "\
api:
  server:
    security:
      roles:
        ops:
          permissions: [command:execute, node:read, health:read]
";

/// A running server with the role `ops`, whose file stays on the machine.
fn with_ops(machine: &Machine) -> Server {
    let file = machine.path("osapi.yaml");
    fs::write(&file, OPS).unwrap();
    machine.start_with(|start| start.args(["-f".as_ref(), file.as_os_str()]))
}

fn token(machine: &Machine, args: &[&str]) -> String {
    let words = ["token", "generate", "-u", "user@example.com"].iter().chain(args).copied();
    machine.osapi(words).run().exits(0).line()
}

/// Runs a line of arguments with `token` alone.
fn as_holder(machine: &Machine, server: &Server, token: &str, line: &str) -> Ran {
    let words: Vec<_> = line.split(' ').collect();
    machine.bare(words).env("OSAPI_URL", server.url()).env("OSAPI_TOKEN", token).run()
}

#[test]
fn a_custom_role_grants_what_it_names_and_nothing_else() {
    let machine = Machine::new();
    let server = with_ops(&machine);
    let foreign = server.api().shell("true").is(200).json()["job_id"].as_str().unwrap().to_owned();
    let token = token(&machine, &["-r", "ops"]);
    let ops = |line: &str| as_holder(&machine, &server, &token, line);
    ops("exec -- echo hello").exits(0).prints("hello\n");
    ops("shell true").exits(0);
    ops("node get").exits(0);
    ops("health status").exits(0);

    let jobs = server.api().jobs();
    for (line, missing) in [
        ("agent list", "agent:read"),
        ("job list", "job:read"),
        (&format!("job delete {foreign}"), "job:write"),
    ] {
        ops(line).exits(125).prints("").explains(&["permission_denied", missing]);
    }
    let api = server.api().with_token(&token);
    let refused = api.get("/v1/agents").refuses(403, "permission_denied");
    assert_eq!(refused.json()["missing_permission"], "agent:read");
    let refused = api.send("DELETE", &format!("/v1/jobs/{foreign}"), &[], b"");
    assert_eq!(refused.refuses(403, "permission_denied").json()["missing_permission"], "job:write");
    assert_eq!(server.api().jobs(), jobs, "nothing was made or removed");
}

#[test]
fn a_role_grants_what_the_server_says_now() {
    let machine = Machine::new();
    with_ops(&machine).stop();
    let token = token(&machine, &["-r", "ops"]);
    let server = machine.start();
    let refused = server.api().with_token(&token).shell("true").refuses(403, "permission_denied");
    assert_eq!(
        refused.json()["missing_permission"],
        "command:execute",
        "an unknown role grants nothing"
    );
    assert!(server.api().jobs().is_empty());
}

#[test]
fn only_admin_and_the_permission_itself_run_commands() {
    let machine = Machine::new();
    let server = machine.start();
    for (args, may) in [
        (&["-r", "read"][..], false),
        (&["-r", "write"], false),
        (&["-r", "read", "-r", "write"], false),
        (&["-p", "job:write"], false),
        (&["-r", "admin"], true),
        (&["-p", "command:execute"], true),
        (&["-r", "read", "-p", "command:execute"], true),
    ] {
        let token = token(&machine, args);
        let before = server.api().jobs();
        let ran = as_holder(&machine, &server, &token, "exec -- true");
        if may {
            ran.exits(0);
        } else {
            ran.exits(125).explains(&["permission_denied", "command:execute"]);
            assert_eq!(server.api().jobs(), before, "{args:?}");
        }
    }
}

#[test]
fn output_is_for_the_submitter_and_for_who_may_run_it() {
    let machine = Machine::new();
    let server = machine.start();
    let job =
        server.api().shell("echo secret").is(200).json()["job_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/{job}");
    let reader = server.api().with_token(&token(&machine, &["-r", "write"]));
    let seen = reader.get(&path).is(200);
    assert_eq!(seen.json()["redacted"], true);
    assert_eq!(seen.json()["results"][0]["status"], "succeeded");
    assert!(!seen.to_string().contains("secret"), "{seen}");
    let output =
        reader.get(&format!("{path}/output/{}/stdout", seen.host()["hostname"].as_str().unwrap()));
    assert!(output.status >= 400 && !output.to_string().contains("secret"), "{output}");
    let runner =
        server.api().with_token(&token(&machine, &["-r", "read", "-p", "command:execute"]));
    assert_eq!(runner.get(&path).is(200).host()["stdout"], "secret\n");
    let cancelled = reader.send("POST", &format!("{path}/cancel"), &[], b"");
    assert_eq!(
        cancelled.refuses(403, "permission_denied").json()["missing_permission"],
        "command:execute"
    );
}
