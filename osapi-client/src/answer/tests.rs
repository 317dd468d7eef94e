use osapi_core::api::Endpoint;
use osapi_core::api::endpoints::{CommandExec, JobDelete};
use osapi_core::api::params::{RunQuery, TargetPath};
use osapi_core::job::{Exec, Target};

use super::*;
use crate::request::Outgoing;

fn place() -> Place {
    let base = "http://127.0.0.1:1".parse().unwrap();
    let path = TargetPath { target: Target::Any };
    let (query, body) = (RunQuery::default(), Exec::new("ls"));
    Outgoing::to::<CommandExec>(&base, None, &path, &query, &body).unwrap().place
}

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let status = StatusCode::from_u16(status).unwrap();
    Reply { status, headers: HeaderMap::new(), body: body.into() }
}

fn problem(code: Code) -> Reply {
    let problem = Problem::new(code, "what is wrong here");
    reply(code.status(), serde_json::to_vec(&problem).unwrap())
}

fn setback(reply: Reply) -> Setback {
    reply.accept(&place()).unwrap_err()
}

#[test]
fn a_problem_is_told_with_its_code_place_and_detail() {
    let err = setback(problem(Code::InvalidValue)).error;
    assert_eq!(
        err.to_string(),
        "command_exec at http://127.0.0.1:1 answered invalid_value: what is wrong here"
    );
    assert_eq!(err.kind(), ErrorKind::InvalidRequest);
    assert_eq!(err.problem().unwrap().code, Code::InvalidValue);
}

#[test]
fn only_faults_that_pass_are_repeated() {
    for code in Code::ALL {
        let setback = setback(problem(*code));
        let passes = matches!(
            code,
            Code::OutcomeUnknown | Code::BackendUnavailable | Code::NotReady | Code::ShuttingDown
        );
        let expected = if passes { Repeat::Paced } else { Repeat::Never };
        assert_eq!(setback.repeat, expected, "{code}");
        let possible = *code == Code::OutcomeUnknown;
        assert_eq!(setback.trace == Trace::Possible, possible, "{code}");
    }
}

#[test]
fn client_errors_are_never_of_the_servers_kinds() {
    for code in Code::ALL {
        let kind = setback(problem(*code)).error.kind();
        let of_server =
            matches!(kind, ErrorKind::Server | ErrorKind::Unavailable | ErrorKind::OutcomeUnknown);
        assert_eq!(of_server, code.status() >= 500, "{code}");
    }
}

#[test]
fn retry_after_is_heeded_where_a_repetition_may_help() {
    for (status, value, expected) in [
        (429, "7", Repeat::After(Duration::from_secs(7))),
        (503, "0", Repeat::After(Duration::ZERO)),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", Repeat::Paced),
        (429, "soon", Repeat::Never),
        (400, "7", Repeat::Never),
        (500, "7", Repeat::Never),
    ] {
        let mut reply = reply(status, "");
        reply.headers.insert(RETRY_AFTER, value.parse().unwrap());
        assert_eq!(setback(reply).repeat, expected, "{status} {value}");
    }
}

#[test]
fn what_is_not_from_an_osapi_server_says_so_and_is_not_shown() {
    for (status, kind, says) in [
        (302, ErrorKind::Protocol, "redirect"),
        (404, ErrorKind::Protocol, "is this the URL of an OSAPI server?"),
        (502, ErrorKind::Unavailable, "in front of the server"),
        (500, ErrorKind::Server, "in front of the server"),
        (401, ErrorKind::Unauthorized, "problem document"),
    ] {
        let setback = setback(reply(status, "<html>a page</html>"));
        let text = setback.error.to_string();
        assert_eq!(setback.error.kind(), kind, "{status}");
        assert!(text.contains(says) && !text.contains("html"), "{text}");
    }
}

#[test]
fn a_gateway_may_have_passed_the_request_on() {
    for status in [502, 503, 504] {
        assert_eq!(setback(reply(status, "")).trace, Trace::Possible, "{status}");
    }
}

#[test]
fn a_code_of_a_newer_server_is_judged_by_its_status() {
    let body = r#"{"type":"x","title":"t","status":403,"code":"newer","detail":"d"}"#;
    assert_eq!(setback(reply(403, body)).error.kind(), ErrorKind::PermissionDenied);
}

#[test]
fn answers_are_decoded_and_what_cannot_be_read_says_where() {
    let place = place();
    reply(204, "").decode::<<JobDelete as Endpoint>::Answer>(&place).unwrap();
    let err = reply(200, "{").decode::<<CommandExec as Endpoint>::Answer>(&place).unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Protocol);
    assert!(err.to_string().starts_with("command_exec at http://127.0.0.1:1 answered 200"));
}
