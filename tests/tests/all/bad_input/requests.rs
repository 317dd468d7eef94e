//! Requests that are wrong in their target, their body or their headers.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::world::{Api, Machine, answer, until};

const EXEC: &str = "/v1/node/_any/command/exec";
const SHELL: &str = "/v1/node/_any/command/shell";
const NO_JOB: &str = "01a0c4c0-9c00-7000-8000-000000000001";

#[test]
fn targets_that_name_nobody_are_refused() {
    let machine = Machine::new();
    let server = machine.start();
    let long = "a".repeat(4_097);
    for (target, status, code) in [
        ("no-such-host", 404, "host_not_found"),
        ("no.such.host", 404, "host_not_found"),
        ("no-such-*,group:web", 404, "no_match"),
        ("_all,!no-such-host", 404, "host_not_found"),
        ("!", 400, "invalid_parameter"),
        ("!web-07", 400, "invalid_parameter"),
        ("%5B9-1%5D", 400, "invalid_parameter"),
        ("web-%5B1-20001%5D", 400, "invalid_parameter"),
        ("_any,web-01", 400, "invalid_parameter"),
        ("@hosts.txt", 400, "invalid_parameter"),
        ("%20", 400, "invalid_parameter"),
        ("a%2Fb", 400, "invalid_parameter"),
        ("a%20b", 400, "invalid_parameter"),
        ("_some", 400, "invalid_parameter"),
        ("%FF", 400, "invalid_parameter"),
        ("..", 400, "invalid_parameter"),
        (&long, 400, "invalid_parameter"),
        ("", 404, "not_found"),
        ("a/b", 404, "not_found"),
    ] {
        let path = format!("/v1/node/{target}/command/exec");
        let answer = server.api().post(&path, &json!({"command": "true"})).refuses(status, code);
        if code == "invalid_parameter" {
            assert!(
                answer.json()["detail"].as_str().is_some_and(|text| text.contains("target")),
                "{answer}"
            );
        }
    }
    let place = server.api().get("/v1/targets/db,web-%5B9-1%5D").refuses(400, "invalid_parameter");
    let said = "column 8: range 9-1 ends before it begins: write 1-9";
    assert!(place.json()["bound"].as_str().is_some_and(|text| text.contains(said)), "{place}");
    assert!(server.api().jobs().is_empty());
}

#[test]
fn values_out_of_bounds_are_refused_with_field_bound_and_value() {
    let machine = Machine::new();
    let server = machine.start();
    let (argument, script) = ("a".repeat(128 * 1024), "a".repeat(256 * 1024 + 1));
    let most: Vec<_> = (0..3).map(|_| "a".repeat(100 * 1024)).collect();
    for (path, body, field) in [
        (EXEC, json!({"command": "true", "timeout": 0}), "timeout"),
        (SHELL, json!({"command": "true", "timeout": 301}), "timeout"),
        (EXEC, json!({"command": ""}), "command"),
        (SHELL, json!({"command": ""}), "command"),
        (EXEC, json!({"command": "a\0b"}), "command"),
        (EXEC, json!({"command": "echo", "args": ["a", "b\0c"]}), "args[1]"),
        (SHELL, json!({"command": "echo \0"}), "command"),
        (EXEC, json!({"command": "true", "env": {"A": "b\0"}}), "env"),
        (EXEC, json!({"command": "true", "env": {"A=B": "c"}}), "env"),
        (EXEC, json!({"command": "true", "env": {"": "c"}}), "env"),
        (EXEC, json!({"command": "true", "cwd": "relative/path"}), "cwd"),
        (EXEC, json!({"command": "true", "cwd": ""}), "cwd"),
        (EXEC, json!({"command": "true", "args": [argument]}), "args[0]"),
        (EXEC, json!({"command": "true", "args": most}), ""),
        (SHELL, json!({"command": script}), "command"),
    ] {
        let answer = server.api().post(path, &body).refuses(422, "invalid_value");
        let problem = answer.json();
        assert!(
            problem["field"].as_str().is_some_and(|found| found.starts_with(field)),
            "{field}: {answer}"
        );
        for member in ["bound", "value", "detail", "request_id"] {
            assert!(problem[member].is_string(), "{member}: {answer}");
        }
        assert!(answer.body.len() < 2_000, "the value is shown in full");
    }
    assert!(server.api().jobs().is_empty());
}

#[test]
fn bodies_that_are_no_command_are_refused() {
    let machine = Machine::new();
    let server = machine.start();
    let huge = format!(r#"{{"command":"{}"}}"#, "a".repeat(2 << 20));
    let deep = format!(r#"{{"command":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (body, status, code) in [
        (&b"{"[..], 400, "body_not_json"),
        (b"", 400, "body_not_json"),
        (b"{\"command\":\"\xff\"}", 400, "body_not_json"),
        (br#"{"command":"true"} x"#, 400, "body_not_json"),
        (b"[]", 422, "body_invalid"),
        (b"{}", 422, "body_invalid"),
        (br#"{"command":1}"#, 422, "body_invalid"),
        (br#"{"command":null}"#, 422, "body_invalid"),
        (br#"{"command":"true","timeout":"abc"}"#, 422, "body_invalid"),
        (br#"{"command":"true","timeout":1.5}"#, 422, "body_invalid"),
        (br#"{"command":"true","timeout":-1}"#, 422, "body_invalid"),
        (br#"{"command":"true","args":"-l"}"#, 422, "body_invalid"),
        (br#"{"command":"true","shell":true}"#, 422, "body_invalid"),
        (br#"{"command":"true","command":"false"}"#, 422, "body_invalid"),
        (br#"{"command":"true","env":{"A":"1","A":"2"}}"#, 422, "body_invalid"),
        (huge.as_bytes(), 413, "body_too_large"),
    ] {
        let answer = server.api().post_raw(EXEC, body).refuses(status, code);
        assert!(answer.json()["detail"].as_str().is_some_and(|text| text.len() > 10), "{answer}");
    }
    let answer = server.api().post_raw(EXEC, deep.as_bytes());
    assert!([400, 422].contains(&answer.status), "{answer}");
    let unknown = server.api().post_raw(EXEC, br#"{"command":"true","shell":true}"#);
    assert!(unknown.to_string().contains("shell"), "the field is named: {unknown}");
    let text = [("Content-Type", "text/plain")];
    let answer = server.api().send("POST", EXEC, &text, br#"{"command":"true"}"#);
    answer.refuses(415, "unsupported_media_type");
    assert!(server.api().jobs().is_empty());
}

#[test]
fn a_body_that_is_too_slow_or_never_ends_is_refused() {
    let machine = Machine::new();
    let server = machine.start_with(|start| start.env("OSAPI_API_SERVER_BODY_TIMEOUT", "1s"));
    let json = [("Content-Type", "application/json")];
    let mut stream = server.api().open("POST", EXEC, &json, 1_000);
    stream.write_all(br#"{"command":"#).unwrap();
    answer(stream).refuses(408, "body_timeout");
    // One that says beforehand that it is too large is not even read.
    answer(server.api().open("POST", EXEC, &json, 3 << 20)).refuses(413, "body_too_large");
    assert!(server.api().jobs().is_empty());
    server.api().shell("true").is(200);
}

#[test]
fn headers_and_parameters_out_of_bounds_are_refused() {
    let machine = Machine::new();
    let server = machine.start();
    let long = "k".repeat(256);
    for (name, value) in [("Idempotency-Key", long.as_str()), ("Idempotency-Key", "")] {
        let headers = [("Content-Type", "application/json"), (name, value)];
        let answer = server.api().send("POST", EXEC, &headers, br#"{"command":"true"}"#);
        answer.refuses(400, "invalid_header");
    }
    for path in ["/v1/jobs?limit=0", "/v1/jobs?limit=abc", "/v1/jobs?cursor=x", "/v1/jobs?nope=1"] {
        server.api().get(path).refuses(400, "invalid_parameter");
    }
    server
        .api()
        .post(&format!("{EXEC}?wait=3601"), &json!({"command": "true"}))
        .refuses(400, "invalid_parameter");
    server.api().get("/v2/jobs").refuses(404, "not_found");
    server.api().send("PUT", EXEC, &[], b"").refuses(405, "method_not_allowed");
    assert!(server.api().jobs().is_empty());
}

#[test]
fn jobs_that_are_not_there_or_not_over_are_refused() {
    let machine = Machine::new();
    let server = machine.start();
    let api = server.api();
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/cancel")] {
        api.send(method, &format!("/v1/jobs/{NO_JOB}{path}"), &[], b"")
            .refuses(404, "job_not_found");
        api.send(method, &format!("/v1/jobs/x{path}"), &[], b"").refuses(400, "invalid_parameter");
    }
    api.get("/v1/agents/no-such-host").refuses(404, "agent_not_found");
    let job = running(&api);
    let path = format!("/v1/jobs/{job}");
    let refused = api.send("DELETE", &path, &[], b"").refuses(409, "job_unfinished");
    assert_eq!(refused.json()["job_id"], *job);
    assert_eq!(api.jobs(), [job.as_str()], "it is still there");
    api.cancel(&job).is(200);
    assert_eq!(api.get(&format!("{path}?wait=60")).is(200).json()["status"], "cancelled");
    // The same word again is no mistake; one that comes too late is.
    api.cancel(&job).is(200);
    let over = api.shell("true").is(200).json()["job_id"].as_str().unwrap().to_owned();
    api.cancel(&over).refuses(409, "job_settled");
    api.send("DELETE", &format!("/v1/jobs/{over}"), &[], b"").is(204);
    api.send("DELETE", &path, &[], b"").is(204);
    api.send("DELETE", &path, &[], b"").refuses(404, "job_not_found");
    assert!(api.jobs().is_empty());
}

/// A job that goes on for long.
fn running(api: &Api) -> String {
    let headers = [("Content-Type", "application/json"), ("Prefer", "respond-async")];
    let body = json!({"command": "sleep", "args": ["300"], "timeout": 300}).to_string();
    let answer = api.send("POST", EXEC, &headers, body.as_bytes()).is(202);
    let job = answer.json()["job_id"].as_str().unwrap().to_owned();
    assert!(
        answer.head.to_ascii_lowercase().contains(&format!("location: /v1/jobs/{job}")),
        "{answer}"
    );
    until("it runs", || {
        (api.get(&format!("/v1/jobs/{job}")).is(200).json()["status"] == "running").then_some(())
    });
    job
}

#[test]
fn what_a_host_cannot_start_is_an_answer_with_step_and_errno() {
    let machine = Machine::new();
    let server = machine.start();
    for (body, step, errno) in [
        (json!({"command": "no-such-program"}), "program", 2),
        (json!({"command": "/no/such/program"}), "program", 2),
        (json!({"command": "/etc/passwd"}), "program", 13),
        (json!({"command": "true", "cwd": "/no/such/directory"}), "cwd", 2),
        (json!({"command": "true", "cwd": "/etc/passwd"}), "cwd", 20),
    ] {
        let answer = server.api().post(EXEC, &body).is(200);
        let row = answer.host();
        assert_eq!(
            (&row["status"], &row["final"]),
            (&"rejected".into(), &Value::Bool(true)),
            "{answer}"
        );
        assert_eq!(
            (&row["error"]["step"], &row["error"]["errno"]),
            (&step.into(), &errno.into()),
            "{answer}"
        );
        assert_eq!(row["exit_code"], Value::Null);
    }
}
