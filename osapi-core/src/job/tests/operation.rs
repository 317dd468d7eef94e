//! Every bound of an operation, at the bound and one beyond.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::auth::permission::Permission;
use crate::job::limits::{ARGUMENT_MAX, COMMAND_MAX, STDIN_MAX};
use crate::job::{Custom, Exec, Invalid, Operation, Shell, Stdin};

fn exec(change: impl FnOnce(&mut Exec)) -> Operation {
    let mut exec = Exec::new("ls");
    change(&mut exec);
    Operation::Exec(exec)
}

fn shell(change: impl FnOnce(&mut Shell)) -> Operation {
    let mut shell = Shell::new("ls | wc");
    change(&mut shell);
    Operation::Shell(shell)
}

fn custom(change: impl FnOnce(&mut Custom)) -> Operation {
    let permission = Permission::NODE_READ;
    let mut custom =
        Custom { name: "reboot".to_owned(), permission, input: Value::Null, timeout: 30 };
    change(&mut custom);
    Operation::Custom(custom)
}

fn env(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

fn text(size: usize) -> String {
    "x".repeat(size)
}

#[track_caller]
fn accepted(operation: Operation) {
    operation.validate().unwrap();
}

/// Refused because of `field`, with its bound and the value in words.
#[track_caller]
fn refused(operation: Operation, field: &str, bound: &str, value: &str) {
    let Invalid { field: of, bound: must_be, value: was } = operation.validate().unwrap_err();
    assert_eq!((of.as_str(), was.as_str()), (field, value));
    assert!(must_be.contains(bound), "{must_be}");
}

#[test]
fn a_timeout_is_1_to_300_seconds() {
    for seconds in [1, 300] {
        accepted(exec(|exec| exec.timeout = seconds));
        accepted(shell(|shell| shell.timeout = seconds));
        accepted(custom(|custom| custom.timeout = seconds));
    }
    for seconds in [0, 301] {
        let value = seconds.to_string();
        refused(exec(|exec| exec.timeout = seconds), "timeout", "1 to 300 seconds", &value);
        refused(shell(|shell| shell.timeout = seconds), "timeout", "1 to 300 seconds", &value);
        refused(custom(|custom| custom.timeout = seconds), "timeout", "1 to 300 seconds", &value);
    }
}

#[test]
fn one_argument_is_bounded() {
    let (most, more) = (text(ARGUMENT_MAX), text(ARGUMENT_MAX + 1));
    let (bound, value) = ("at most 131071 bytes", "131072 bytes");
    accepted(exec(|exec| exec.command = most.clone()));
    accepted(exec(|exec| exec.args = vec![String::new(), most.clone()]));
    accepted(shell(|shell| shell.command = most.clone()));
    accepted(exec(|exec| exec.cwd = Some(format!("/{}", text(ARGUMENT_MAX - 1)))));
    refused(exec(|exec| exec.command = more.clone()), "command", bound, value);
    refused(exec(|exec| exec.args = vec![String::new(), more.clone()]), "args[1]", bound, value);
    refused(shell(|shell| shell.command = more.clone()), "command", bound, value);
    refused(exec(|exec| exec.cwd = Some(format!("/{}", text(ARGUMENT_MAX)))), "cwd", bound, value);
}

#[test]
fn a_variable_is_bounded_with_its_name() {
    accepted(exec(|exec| exec.env = env("A", &text(ARGUMENT_MAX - 2))));
    let one_more = env("A", &text(ARGUMENT_MAX - 1));
    let (bound, value) = ("at most 131071 bytes", "131072 bytes");
    refused(exec(|exec| exec.env = one_more.clone()), "env.A", bound, value);
    refused(shell(|shell| shell.env = one_more.clone()), "env.A", bound, value);
}

#[test]
fn a_command_is_bounded_with_all_that_belongs_to_it() {
    let half = COMMAND_MAX / 2;
    let args = |more| vec![text(half - 4), text(half - 4 + more)];
    accepted(exec(|exec| {
        (exec.command, exec.args, exec.env) = ("ls".into(), args(0), env("AB", "12"));
    }));
    let beyond = |more: usize, env| {
        exec(|exec| (exec.command, exec.args, exec.env) = ("ls".into(), args(more), env))
    };
    let bound = "at most 262144 bytes with its arguments and environment";
    refused(beyond(1, env("AB", "12")), "command", bound, "262145 bytes");
    refused(beyond(0, env("AB", "123")), "command", bound, "262145 bytes");
    let input = |size| custom(|custom| custom.input = Value::String(text(size)));
    accepted(input(COMMAND_MAX - 2));
    refused(input(COMMAND_MAX - 1), "command", bound, "262145 bytes");
}

#[test]
fn input_is_bounded_by_itself() {
    let input = |size| Some(Stdin::from(vec![0; size]));
    accepted(exec(|exec| exec.stdin = input(STDIN_MAX)));
    let (bound, value) = ("at most 262144 bytes", "262145 bytes");
    refused(exec(|exec| exec.stdin = input(STDIN_MAX + 1)), "stdin", bound, value);
    refused(shell(|shell| shell.stdin = input(STDIN_MAX + 1)), "stdin", bound, value);
}

/// Agents refuse fields that they do not know: what is not asked for must not be there.
#[test]
fn what_is_not_asked_for_is_not_written() {
    for (operation, fields) in [
        (exec(|_| ()), vec!["args", "command", "env", "timeout"]),
        (shell(|_| ()), vec!["command", "env", "timeout"]),
    ] {
        let written = serde_json::to_value(&operation).unwrap();
        let written = written[operation.kind()].as_object().unwrap();
        assert_eq!(written.keys().collect::<Vec<_>>(), fields);
    }
}

#[test]
fn nothing_holds_a_nul() {
    let (nul, at_1) = ("a\0b".to_owned(), "NUL at byte 1");
    refused(exec(|exec| exec.command = nul.clone()), "command", "NUL", at_1);
    refused(exec(|exec| exec.args = vec![nul.clone()]), "args[0]", "NUL", at_1);
    refused(exec(|exec| exec.cwd = Some("/\0".into())), "cwd", "NUL", at_1);
    refused(exec(|exec| exec.env = env("A", "1\x002")), "env.A", "NUL", at_1);
    refused(exec(|exec| exec.env = env("A\0", "")), "env", "NUL", "'A\\u{0}'");
    refused(shell(|shell| shell.command = nul.clone()), "command", "NUL", at_1);
}

#[test]
fn a_command_is_not_empty() {
    refused(exec(|exec| exec.command.clear()), "command", "a program", "empty");
    refused(shell(|shell| shell.command.clear()), "command", "a script", "empty");
    refused(shell(|shell| shell.command = " \n".into()), "command", "a script", "empty");
    accepted(exec(|exec| exec.args = vec![String::new()]));
}

#[test]
fn a_working_directory_is_absolute() {
    for cwd in ["", ".", "var/log", "~"] {
        let value = format!("'{cwd}'");
        refused(exec(|exec| exec.cwd = Some(cwd.into())), "cwd", "absolute", &value);
        refused(shell(|shell| shell.cwd = Some(cwd.into())), "cwd", "absolute", &value);
    }
    accepted(exec(|exec| exec.cwd = Some("/".into())));
}

#[test]
fn a_variable_has_a_name() {
    refused(exec(|exec| exec.env = env("", "1")), "env", "named", "''");
    refused(exec(|exec| exec.env = env("A=B", "1")), "env", "named", "'A=B'");
    accepted(exec(|exec| exec.env = env("A", "B=C")));
}

#[test]
fn a_custom_operation_has_a_short_plain_name() {
    for name in ["a", "disk.usage_2-x", &text(64)] {
        accepted(custom(|custom| custom.name = name.to_owned()));
    }
    for name in ["", "a b", "a/b", "é", "a\0"] {
        assert!(custom(|custom| custom.name = name.to_owned()).validate().is_err(), "{name:?}");
    }
    assert!(custom(|custom| custom.name = text(65)).validate().is_err());
}

#[test]
fn facts_have_no_bounds() {
    accepted(Operation::Facts);
}

#[test]
fn a_value_is_shown_short_and_harmless() {
    let cwd = format!("\u{1b}[2J{}", text(1000));
    let shown = exec(|exec| exec.cwd = Some(cwd)).validate().unwrap_err().to_string();
    assert!(shown.len() < 200 && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn what_is_left_out_has_a_default() {
    let read: Operation = serde_json::from_value(json!({"exec": {"command": "ls"}})).unwrap();
    assert_eq!(read, Operation::Exec(Exec::new("ls")));
    assert_eq!(read.timeout_s(), 30);
    let read: Operation = serde_json::from_value(json!({"shell": {"command": "ls"}})).unwrap();
    assert_eq!(read, Operation::Shell(Shell::new("ls")));
}

#[test]
fn operations_are_read_as_they_are_written() {
    let full = exec(|exec| {
        exec.args = vec!["|>*$HOME".into(), "\"é\n".into()];
        (exec.cwd, exec.env, exec.timeout) = (Some("/tmp".into()), env("A", "1"), 5);
        exec.stdin = Some(b"\xff\0".into());
        (exec.user, exec.umask) = ("web".parse().ok(), "0027".parse().ok());
    });
    let input = json!({"b": [1, null], "a": "x"});
    for operation in [full, shell(|_| ()), Operation::Facts, custom(|custom| custom.input = input)]
    {
        let text = serde_json::to_string(&operation).unwrap();
        assert_eq!(serde_json::from_str::<Operation>(&text).unwrap(), operation, "{text}");
    }
}

#[test]
fn unknown_fields_are_refused() {
    for bad in [
        json!({"exec": {"command": "ls", "group": "root"}}),
        json!({"shell": {"command": "ls", "args": []}}),
        json!({"custom": {"name": "x", "permission": "node:read", "x": 1}}),
        json!({"facts": {"x": 1}}),
        json!({"exec": {"command": "ls"}, "shell": {"command": "ls"}}),
        json!({"reboot": {}}),
        json!({"exec": {"args": []}}),
        json!({"exec": {"command": "ls", "timeout": -1}}),
        json!({"exec": {"command": "ls", "timeout": "10"}}),
        json!({"exec": {"command": "ls", "user": 0}}),
        json!({"exec": {"command": "ls", "user": "0day"}}),
        json!({"exec": {"command": "ls", "umask": 22}}),
        json!({"exec": {"command": "ls", "umask": "0999"}}),
        json!({"shell": {"command": "ls", "stdin": "no base64"}}),
    ] {
        assert!(serde_json::from_value::<Operation>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_name_stands_once() {
    for (bad, named) in [
        (r#"{"exec": {"command": "ls", "env": {"A": "1", "A": "2"}}}"#, "duplicate key `A`"),
        (r#"{"shell": {"command": "ls", "env": {"A": "1", "A": "1"}}}"#, "duplicate key `A`"),
        (r#"{"exec": {"command": "ls", "command": "rm"}}"#, "duplicate field `command`"),
    ] {
        let err = serde_json::from_str::<Operation>(bad).unwrap_err().to_string();
        assert!(err.contains(named), "{err}");
    }
}

#[test]
fn permissions_follow_the_operation() {
    assert_eq!(exec(|_| ()).permission(), Permission::COMMAND_EXECUTE);
    assert_eq!(shell(|_| ()).permission(), Permission::COMMAND_EXECUTE);
    assert_eq!(Operation::Facts.permission(), Permission::NODE_READ);
    let own: Permission = "disk:wipe".parse().unwrap();
    assert_eq!(custom(|custom| custom.permission = own.clone()).permission(), own);
}
