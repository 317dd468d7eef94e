//! Command lines that are wrong. What can be known here is known before anything is sent.

use crate::world::Machine;

#[test]
fn a_wrong_command_line_exits_with_2_and_sends_nothing() {
    let machine = Machine::new();
    let server = machine.start();
    for (line, word) in [
        (&["exec", "--timeout", "0", "--", "true"][..], "1 to 300 seconds"),
        (&["exec", "--timeout", "301", "--", "true"], "1 to 300 seconds"),
        (&["exec", "--timeout", "abc", "--", "true"], "abc"),
        (&["exec", "-T", "", "--", "true"], "target is empty"),
        (&["exec", "-T", " ", "--", "true"], "target is empty"),
        (&["exec", "-T", "a/b", "--", "true"], "a/b"),
        (&["exec", "-T", "a b", "--", "true"], "a b"),
        (&["exec", "-T", "_some", "--", "true"], "_any"),
        (&["exec", "-T", "!", "--", "true"], "column 2: a name, a label or a pattern is missing"),
        (&["exec", "-T", "!web-07", "--", "true"], "write _all,!web-07"),
        (&["shell", "-T", "db,web-[9-1]", "true"], "column 8: range 9-1 ends before it begins"),
        (&["node", "get", "-T", "web-[01"], "column 5: '[' is not closed"),
        (&["node", "get", "-T", "web-01,,db"], "column 8: a name, a label"),
        (&["node", "get", "-T", "_any,db"], "'_any' stands alone"),
        (&["target", "preview", "web-[1-20001]"], "at most 20000"),
        (&["target", "preview", "(a,b)&c"], "write a&c,b&c"),
        (&["target", "preview"], "<TARGET>"),
        (&["exec", "-T", "@", "--", "true"], "after '@'"),
        (&["exec", "-T", "@/no/such/file", "--", "true"], "cannot read '/no/such/file': No such"),
        (&["exec", "-T", "@/", "--", "true"], "cannot read '/': Is a directory"),
        (&["exec", "-T", "@/dev/null", "--", "true"], "'/dev/null' names no hosts"),
        (&["exec", "-T", "@/dev/zero", "--", "true"], "'/dev/zero' is larger than 1048576 bytes"),
        (&["exec", "--", ""], "command"),
        (&["exec", "--"], "PROGRAM"),
        (&["shell", ""], "command"),
        (&["exec", "--cwd", "tmp", "--", "true"], "absolute"),
        (&["exec", "-e", "A", "--", "true"], "NAME=VALUE"),
        (&["exec", "-e", "=B", "--", "true"], "name"),
        (&["exec", "--no-such-option", "--", "true"], "--no-such-option"),
        (&["exec", "true"], "true"),
        (&["client", "node", "command", "exec", "--args", "a"], "--command"),
        (&["client", "node", "command", "exec", "--command", "a", "--args", "\"a"], "args"),
        (&["job", "get", "x"], "x"),
        (&["job", "list", "--limit", "0"], "limit"),
        (&["token", "generate", "-u", "u"], "--role"),
        (&["token", "generate", "-u", "u", "-p", "nonsense"], "nonsense"),
        (&["no-such-command"], "no-such-command"),
    ] {
        machine.osapi(line.iter().copied()).run().exits(2).prints("").explains(&[word]);
    }
    let target = "web-01,".repeat(600);
    let ran = machine.osapi(["exec", "-T", &target, "--", "true"]).run().exits(2).prints("");
    ran.explains(&["target has 4200 bytes: at most 4096 are allowed"]);
    let big = "a".repeat(128 * 1024 - 1);
    let most = ["exec", "--", "true", &big, &big, &big];
    machine.osapi(most).run().exits(2).prints("").explains(&["262144"]);
    assert!(server.api().jobs().is_empty(), "something was sent");
}

#[test]
fn what_the_server_refuses_exits_with_125_and_says_what_to_do() {
    let machine = Machine::new();
    let server = machine.start();
    let job = "01a0c4c0-9c00-7000-8000-000000000001";
    for (line, words) in [
        (&["exec", "-T", "no-such-host", "--", "true"][..], ["host_not_found", "agent list"]),
        (&["node", "get", "-T", "no-such-host"], ["host_not_found", "agent list"]),
        (&["exec", "-T", "db-*,group:web", "--", "true"], ["no_match", "agent list"]),
        (&["shell", "-y", "-T", "_all,!no-such-host", "true"], ["host_not_found", "agent list"]),
        (&["target", "preview", "no.such.host"], ["host_not_found", "agent list"]),
        (&["job", "get", job], ["job_not_found", "job list"]),
        (&["job", "cancel", job], ["job_not_found", "job list"]),
        (&["job", "delete", job], ["job_not_found", "job list"]),
        (&["agent", "get", "no-such-host"], ["agent_not_found", "agent list"]),
    ] {
        machine.osapi(line.iter().copied()).run().exits(125).prints("").explains(&words);
    }
    assert!(server.api().jobs().is_empty());
    let url = server.url().to_owned();
    let token = server.token();
    server.stop();
    let ran = machine
        .osapi(["exec", "--", "true"])
        .env("OSAPI_URL", &url)
        .env("OSAPI_TOKEN", token)
        .run();
    ran.exits(125).prints("").explains(&[url.strip_prefix("http://").unwrap(), "osapi start"]);
    machine.osapi(["exec", "--", "true"]).run().exits(125).explains(&["osapi start"]);
    machine.osapi(["health"]).env("OSAPI_URL", &url).run().exits(125);
    let ran = machine.osapi(["health"]).env("OSAPI_URL", "nowhere").run();
    ran.exits(2).explains(&["OSAPI_URL"]);
}

#[test]
fn a_command_that_cannot_start_says_which_step_failed() {
    let machine = Machine::new();
    let _server = machine.start();
    let run = |line: &[&str]| machine.osapi(line.iter().copied()).run().prints("");
    run(&["exec", "--", "no-such-program"]).exits(127).explains(&["no-such-program", "PATH is"]);
    run(&["exec", "--", "/etc/passwd"]).exits(126).explains(&["Permission denied"]);
    run(&["exec", "--cwd", "/no/such", "--", "true"])
        .exits(126)
        .explains(&["cannot enter /no/such"]);
}
