//! The local policy of a host, as who asks for commands meets it. Only root can write one: for everybody else it is refused.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::world::{Machine, Ran, built};

/// A policy on this machine, root's or not.
fn written(machine: &Machine, rules: &str) -> PathBuf {
    let path = machine.path("policy.yaml");
    fs::write(&path, format!("rules:\n{rules}")).unwrap();
    path
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn real(path: &str) -> String {
    fs::canonicalize(path).unwrap().to_str().unwrap().to_owned()
}

fn start_refused(machine: &Machine, policy: &Path) -> Ran {
    machine.osapi(["start"]).env("OSAPI_AGENT_POLICY", policy).run().exits(2).prints("")
}

#[test]
fn only_what_a_rule_allows_is_run_and_a_refusal_names_the_rule() {
    let machine = Machine::new();
    let rules = format!(
        "  - name: greet\n    operations: [exec]\n    programs: ['{}']\n    args: [hello, \"*\"]\n    env: [LANG]\n",
        real("/bin/echo")
    );
    let policy = written(&machine, &rules);
    if !is_root() {
        start_refused(&machine, &policy).explains(&["policy.yaml", "not to root"]);
        return;
    }
    let _server = machine.start_with(|start| start.env("OSAPI_AGENT_POLICY", &policy));
    let exec = |args: &[&str]| machine.osapi(["exec"]).args(args).run();
    exec(&["--", "echo", "hello", "you"]).exits(0).prints("hello you\n");
    exec(&["-e", "LANG=C", "--", "/bin/echo", "hello", "you"]).exits(0).prints("hello you\n");

    let hidden = machine.path("hidden");
    fs::create_dir(&hidden).unwrap();
    symlink("/bin/sh", hidden.join("echo")).unwrap();
    let hidden = hidden.to_str().unwrap();
    let (path, link) = (format!("PATH={hidden}"), format!("{hidden}/echo"));
    for (args, why) in [
        (&["--", "echo", "bye", "you"][..], "rule 'greet': argument 1 may not be 'bye'"),
        (&["--", "echo", "hello", "--help"], "rule 'greet': argument 2 may not be '--help'"),
        (&["--", "echo", "hello"], "rule 'greet': 2 arguments are needed"),
        (&["-e", "LD_PRELOAD=/x.so", "--", "echo", "hello", "you"], "variable 'LD_PRELOAD'"),
        (&["--cwd", "/etc", "--", "echo", "hello", "you"], "'/etc' is not among its directories"),
        (&["--", "sh", "-c", "echo hello you"], "no rule allows it"),
        (&["--", "env", "echo", "hello", "you"], "no rule allows it"),
        (&["-e", path.as_str(), "--", "echo", "hello", "you"], "no rule allows it"),
        (&["--", link.as_str(), "hello", "you"], "no rule allows it"),
        (&["--cwd", hidden, "--", "./echo", "hello", "you"], "no rule allows it"),
    ] {
        exec(args).exits(125).prints("").explains(&["policy", why]);
    }
    let shell = machine.osapi(["shell", "echo hello you"]).run();
    shell.exits(125).prints("").explains(&["policy", "no rule allows it"]);
    machine.osapi(["node", "get"]).run().explains(&["policy", "no rule allows it"]);
    let shown = machine.osapi(["exec", "--json", "--", "sh", "-c", "x"]).run().json();
    let row = &shown["results"][0];
    assert_eq!((&row["status"], &row["error"]["code"]), (&"rejected".into(), &"policy".into()));
}

#[test]
fn of_the_output_as_much_is_kept_as_the_rule_allows() {
    let machine = Machine::new();
    let rules = format!(
        "  - name: bounded\n    operations: [exec]\n    programs: ['{}']\n    args: [\"*\", \"*\"]\n    max_output: 1KiB\n  - name: scripts\n    operations: [shell]\n",
        real("/bin/seq")
    );
    let policy = written(&machine, &rules);
    if !is_root() {
        start_refused(&machine, &policy).explains(&["policy.yaml", "not to root"]);
        return;
    }
    let _server = machine.start_with(|start| start.env("OSAPI_AGENT_POLICY", &policy));
    let seq: String = (1..=2000).map(|n| format!("{n}\n")).collect();
    let ran = machine.osapi(["exec", "--", "seq", "1", "2000"]).run().exits(0);
    assert_eq!(ran.stdout, [&seq.as_bytes()[..512], &seq.as_bytes()[seq.len() - 512..]].concat());
    ran.explains(&[&(seq.len() - 1024).to_string(), "were not kept"]);
    machine.osapi(["shell", "seq 1 2000"]).run().exits(0).prints(&seq);
}

#[test]
fn a_policy_that_is_not_understood_lets_nothing_start() {
    let machine = Machine::new();
    let missing = machine.path("none.yaml");
    start_refused(&machine, &missing).explains(&["none.yaml", "No such file"]);
    let policy = written(&machine, "  - name: a\n    operations: [facts]\n    groups: [root]\n");
    if is_root() {
        start_refused(&machine, &policy).explains(&["policy.yaml:4:5", "groups"]);
    }
    assert!(!machine.data_dir().join("keys").exists(), "something was made");
}

#[test]
fn a_decision_is_explained() {
    let machine = Machine::new();
    let echo = real("/bin/echo");
    let policy = written(
        &machine,
        &format!(
            "  - {{name: greet, operations: [exec], roles: [ops], programs: ['{echo}'], args: [hello]}}\n  - {{name: facts, operations: [facts]}}\n"
        ),
    );
    let policy = policy.to_str().unwrap();
    let check = |args: &[&str]| {
        let check = machine.run(&built("osapi-agent"), ["policy", "check", "--policy", policy]);
        check.args(args).run()
    };
    if !is_root() {
        check(&[]).exits(2).explains(&["not to root"]);
        return;
    }
    check(&[]).exits(0).shows(&["valid: 2 rules"]);
    check(&["--role", "ops", "--", "echo", "hello"]).exits(0).shows(&[
        "allowed by rule 'greet'\n",
        &echo,
        "rule 'facts': it is not about 'exec'",
    ]);
    check(&["--", "echo", "hello"]).exits(1).shows(&["refused", "rule 'greet': it is for roles"]);
    check(&["--role", "ops", "--shell", "--", "echo hello"]).exits(1).shows(&[
        "refused: the local policy refuses it: no rule allows it",
        "rule 'greet': it is not about 'shell'",
    ]);
    check(&["--", "no-such-program"]).exits(1).shows(&["cannot find no-such-program"]);
    check(&["--timeout", "1h", "--", "echo"]).exits(2).explains(&["timeout"]);
    let none = machine.run(&built("osapi-agent"), ["--join", "x", "policy", "check"]).run();
    none.exits(2);
}
