//! What a person types at a terminal, line by line, against a running `osapi start`. Nothing is configured and no token is pasted.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::world::{Machine, Ran, Server, Terminal, finish, until};

/// A machine on which somebody has typed `osapi start`.
fn started() -> (Machine, Server) {
    let machine = Machine::of_a_person();
    let server = Server::start(machine.typed("exec osapi start"), machine.data_dir());
    (machine, server)
}

/// The only row of an answer in JSON.
#[track_caller]
fn only_row(ran: &Ran) -> Value {
    let results = ran.json()["results"].as_array().cloned().unwrap_or_default();
    assert_eq!(results.len(), 1, "{ran}");
    results[0].clone()
}

#[test]
fn commands_just_work_beside_a_running_start() {
    let (machine, _server) = started();
    let here = |line: &str| machine.typed(line).run();
    here("osapi exec -- ls -la /tmp").exits(0).quietly();
    let passwd = here("ls -la /etc/passwd").out();
    here("osapi exec -- ls -la /etc/passwd").exits(0).prints(&passwd).quietly();

    let line = "tail -n 3 syslog";
    let alone = here(&format!("cd /var/log && LANG=C {line}"));
    let ran = here(&format!("osapi exec --timeout 5s --cwd /var/log -e LANG=C -- {line}"));
    assert_eq!((ran.code(), ran.out(), ran.err()), (alone.code(), alone.out(), alone.err()));
    here("osapi exec --timeout 5s --cwd /var/log -e LANG=C -- sh -c 'pwd; echo $LANG'")
        .exits(0)
        .prints("/var/log\nC\n");

    let ran =
        here(r#"osapi client node command exec --command ls --args "-la,/tmp" --target _any"#);
    assert!(ran.exits(0).quietly().out().starts_with("total "));
    here(r#"osapi client node command exec --command printf --args '%s;,"a,b",c d'"#)
        .exits(0)
        .prints("a,b;c d;");

    let release = here("uname -r").out();
    let ran =
        here("osapi client node command shell --command 'uname -r' --timeout 10 --json").exits(0);
    let row = only_row(&ran);
    assert_eq!((&row["stdout"], &row["exit_code"]), (&release.into(), &0.into()), "{ran}");
    assert_eq!(ran.json()["status"], "completed");
}

#[test]
fn a_run_on_all_hosts_is_confirmed_first() {
    let (machine, server) = started();
    let line = "osapi shell -t _all 'ps aux | grep ssh | wc -l'";
    let before = server.api().jobs();
    machine.typed(line).run().exits(2).prints("").explains(&["all hosts", "--yes"]);
    assert_eq!(server.api().jobs(), before, "it was refused");

    let answers = |answer: &str| {
        let (mut terminal, child) = Terminal::run(&machine, line);
        terminal.until_shown("[y/N] ", 1);
        terminal.types(answer);
        finish(child, format!("{line}, answered {answer:?}"))
    };
    let no = answers("n\n").exits(2).prints("");
    assert_eq!(server.api().jobs(), before, "the answer was no: {no}");
    let yes = answers("y\n").exits(0);
    assert!(yes.line().trim().parse::<u32>().is_ok(), "{yes}");
    let ran = machine.typed("osapi shell --yes -t _all 'ps aux | grep ssh | wc -l'").run().exits(0);
    assert!(ran.line().trim().parse::<u32>().is_ok(), "{ran}");
    assert_eq!(server.api().jobs().len(), before.len() + 2);
}

#[test]
fn tokens_are_made_and_checked_without_a_server() {
    let (machine, server) = started();
    server.stop();
    let line = "osapi token generate -r read -u user@example.com -p command:execute";
    let ran = machine.typed(line).run().exits(0);
    let token = ran.line();
    assert!(token.starts_with("v4.public."), "{ran}");
    let ran = ran.explains(&["user@example.com", "read", "command:execute"]);
    assert!(!ran.err().contains("v4.public."), "the token is on standard output only");

    let check = |line: &str| machine.typed(line).env("TOKEN", &token);
    let ran = check(r#"osapi token validate -t "$TOKEN""#).run().exits(0);
    assert!(ran.out().contains("user@example.com") && !ran.out().contains(&token), "{ran}");
    let piped = check("osapi token validate -t -").stdin(&format!("{token}\n")).run().exits(0);
    assert!(piped.out().contains("user@example.com"), "{piped}");
    machine
        .typed("osapi token validate -t -")
        .stdin("v4.public.nonsense")
        .run()
        .exits(1)
        .prints("");

    let made = machine.typed(&format!("{line} --json")).run().exits(0).json();
    assert_eq!((&made["sub"], &made["valid"]), (&"user@example.com".into(), &true.into()));
    let json = check("osapi token validate -t - --json").stdin(made["token"].as_str().unwrap());
    let grants = json.run().exits(0).json()["grants"].clone();
    for permission in ["command:execute", "job:read", "agent:read", "node:read", "health:read"] {
        assert!(grants.as_array().unwrap().contains(&permission.into()), "{permission}: {grants}");
    }
}

#[test]
fn jobs_agents_hosts_and_health_are_shown() {
    let (machine, server) = started();
    let here = |line: &str| machine.typed(line).run();
    here("osapi exec -- echo hello").exits(0);
    let list = here("osapi job list").exits(0);
    let job = server.api().jobs()[0].clone();
    assert!(
        list.out().lines().any(|line| line.starts_with(&job) && line.contains("completed")),
        "{list}"
    );
    assert_eq!(here("osapi job list --json").exits(0).json()["jobs"][0]["job_id"], *job);
    let shown = here(&format!("osapi job get {job}")).exits(0).out();
    for word in [job.as_str(), "exec -- echo hello", "succeeded", "created", "hello"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }

    let running = here("osapi exec --detach -- sleep 60").exits(0).line();
    here(&format!("osapi job delete {running}")).exits(125).explains(&["job_unfinished", "cancel"]);
    here(&format!("osapi job cancel {running}")).exits(0);
    let after = until("the job is cancelled", || {
        let job = here(&format!("osapi job get --json {running}")).exits(0).json();
        (job["results"][0]["final"] == true).then_some(job)
    });
    assert_eq!(
        (&after["status"], &after["results"][0]["status"]),
        (&"cancelled".into(), &"cancelled".into())
    );
    here(&format!("osapi job retry {job}")).exits(125).explains(&["nothing_to_retry", "--all"]);
    let again = here(&format!("osapi job retry {job} --all --json")).exits(0).json();
    assert_eq!(again["results"][0]["stdout"], "hello\n");
    let again = again["job_id"].as_str().unwrap().to_owned();
    let shown = here(&format!("osapi job get {again}")).exits(0).out();
    assert!(shown.contains("retry of") && shown.contains(&job), "{shown}");
    let shown = here(&format!("osapi job get {job}")).exits(0).out();
    assert!(shown.contains("retried by") && shown.contains(&again), "{shown}");
    here(&format!("osapi job delete {again}")).exits(0);
    let again = here(&format!("osapi job retry {running} --detach")).exits(0).line();
    here(&format!("osapi job retry {again}")).exits(125).explains(&["job_unfinished", "--wait"]);
    here(&format!("osapi job cancel {again}")).exits(0);
    until("the retry is cancelled", || {
        let job = here(&format!("osapi job get --json {again}")).exits(0).json();
        (job["results"][0]["final"] == true).then_some(())
    });
    here(&format!("osapi job delete {again}")).exits(0);
    here(&format!("osapi job delete {running}")).exits(0);
    here(&format!("osapi job get {running}")).exits(125).explains(&["job_not_found"]);
    assert_eq!(server.api().jobs(), [job]);

    let agents = here("osapi agent list --json").exits(0).json();
    let name = agents["agents"][0]["name"].as_str().unwrap().to_owned();
    let list = here("osapi agent list").exits(0).out();
    let row = list.lines().find(|line| line.split_whitespace().next() == Some(&name));
    assert!(row.is_some_and(|row| row.contains(" ready ")), "{list}");
    assert!(here(&format!("osapi agent get {name}")).exits(0).out().contains("ready"));
    let kernel = here("uname -r").line();
    assert!(here("osapi node get").exits(0).out().contains(&kernel));
    assert_eq!(
        only_row(&here("osapi node get --json").exits(0))["value"]["kernel"],
        kernel.as_str()
    );
    assert!(here("osapi health").exits(0).out().contains(server.url()));
    for line in ["osapi client job list", "osapi client agent list", "osapi client health"] {
        here(line).exits(0);
    }
}

#[test]
fn another_machine_needs_only_an_address_and_a_token() {
    let (machine, server) = started();
    let token = machine.typed("osapi token generate -r admin -u ann@example.com").run().line();
    let elsewhere = Machine::of_a_person();
    let there = |line: &str| elsewhere.typed(line).env("OSAPI_URL", server.url());
    let ran = there("osapi exec -- echo hello").env("OSAPI_TOKEN", &token).run();
    ran.exits(0).prints("hello\n").quietly();
    there("osapi health").run().exits(0);
    there("osapi exec -- echo hello").run().exits(125).explains(&["OSAPI_TOKEN"]);
    assert!(!elsewhere.data_dir().exists(), "asking needs no data directory");
    let listed = server.api().get("/v1/jobs").is(200).json();
    assert_eq!(listed["jobs"][0]["submitter"], "ann@example.com");
}

#[test]
fn keys_and_credential_are_for_their_owner_alone_and_the_credential_goes_with_the_server() {
    let (machine, server) = started();
    let mut dirs = vec![machine.data_dir()];
    let mut keys = 0;
    while let Some(dir) = dirs.pop() {
        let mode =
            |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700, "{}", dir.display());
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            keys += usize::from(path.extension().is_some_and(|kind| kind == "key"));
        }
    }
    assert_eq!(keys, 5, "root, token and job key, the agent's and its sealing key");
    let credential = machine.data_dir().join("cli.json");
    assert!(credential.exists());
    let (status, said) = server.stop();
    assert!(status.success(), "{said}");
    assert!(said.contains("stopped: every request was answered; nothing is left to do"), "{said}");
    assert!(!credential.exists());
    machine.typed("osapi exec -- true").run().exits(125).explains(&["osapi start"]);
}

#[test]
fn a_host_that_may_be_down_is_waited_for() {
    let (machine, server) = started();
    let here = |line: &str| machine.typed(line).run();
    let agents = here("osapi agent list --json").exits(0).json();
    let name = agents["agents"][0]["name"].as_str().unwrap().to_owned();
    // It is up: nothing has to be waited for, and it is claimed all the same.
    let exec = format!("osapi exec -T {name} --queue-for 2h -- echo hello");
    here(&exec).exits(0).prints("hello\n").quietly();
    let job = server.api().jobs()[0].clone();
    let details = here(&format!("osapi job get --json {job}")).exits(0).json();
    assert_eq!(details["claim"], "host", "{details}");
    let shown = here(&format!("osapi job get {job}")).exits(0).out();
    for word in ["waits", "for hosts that are down", "claimed", "succeeded"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    here(&format!("osapi node get -T {name} --queue-for 30")).exits(0);
    let detached = here("osapi shell -T _all -y --queue-for 90m --detach 'echo later'");
    let job = detached.exits(0).line();
    here(&format!("osapi job get --wait 30 {job}")).exits(0);

    here("osapi exec --queue-for 2h -- uptime").exits(2).explains(&["--queue-for", "-T", "_any"]);
    here(&format!("osapi exec -T {name} --queue-for 2d -- uptime"))
        .exits(2)
        .explains(&["--queue-for", "24 hours"]);
    let body = serde_json::json!({ "command": "true" });
    let any = server.api().post("/v1/node/_any/command/exec?queue_for=60", &body);
    assert_eq!(any.refuses(400, "invalid_parameter").json()["field"], "queue_for");
}
