//! What a command is given: input, a user, a umask, limits, and what may go on when it has ended. Through the whole way, with a whole agent.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::world::{Machine, end_all_of, of_job};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_loop_over_hosts_keeps_its_input() {
    let machine = Machine::new();
    let _server = machine.start();
    let osapi = format!("osapi --data-dir {}", machine.data_dir().display());
    let line = format!(
        "printf 'a\\nb\\nc\\n' | while read -r host; do {osapi} exec -- sh -c 'cat; echo $0' $host; {osapi} shell 'cat; echo again'; done"
    );
    machine.typed(&line).run().exits(0).prints("a\nagain\nb\nagain\nc\nagain\n");
}

#[test]
fn input_is_read_where_it_is_asked_for_and_nowhere_else() {
    let machine = Machine::new();
    let server = machine.start();
    let osapi = |args: &[&str]| machine.osapi(args.iter().copied());
    let path = machine.path("input");
    let bytes: Vec<u8> = (0..256 * 1024).map(|n| (n % 251) as u8).collect();
    fs::write(&path, &bytes).unwrap();
    let path = path.to_str().unwrap();

    osapi(&["exec", "--", "wc", "-c"]).stdin("not for it").run().exits(0).prints("0\n");
    osapi(&["exec", "--stdin", "-", "--", "cat"]).stdin("for it").run().exits(0).prints("for it");
    osapi(&["shell", "--stdin", "-", "cat; cat"]).stdin("").run().exits(0).prints("");
    let ran = osapi(&["exec", "--stdin", path, "--", "cat"]).run().exits(0);
    assert!(ran.stdout == bytes, "every byte came back");
    let ran = osapi(&["shell", "--local", "--stdin", path, "md5sum; exit 5"]).run().exits(5);
    let ran_too = osapi(&["shell", "--stdin", path, "md5sum; exit 5"]).run().exits(5);
    assert_eq!(ran.out(), ran_too.out());
    let script = osapi(&["shell", "--file", "-", "--stdin", path]).stdin("head -c 1 | od -c").run();
    assert!(script.exits(0).out().contains("\\0"));

    // It belongs to the job: who may see it sees how much it is, and a retry gives it again.
    let job = server.api().jobs().first().cloned().unwrap();
    let shown = machine.osapi(["job", "get", &job]).run().exits(0);
    assert!(shown.out().contains("input") && shown.out().contains("262144 bytes"), "{shown}");
    let job = osapi(&["exec", "--detach", "--stdin", "-", "--", "sh", "-c", "cat; exit 3"])
        .stdin("twice")
        .run()
        .line();
    server.api().get(&format!("/v1/jobs/{job}?wait=60")).is(200);
    machine.osapi(["job", "retry", &job]).run().exits(3).prints("twice");
}

#[test]
fn input_that_cannot_be_given_is_refused_with_the_reason() {
    let machine = Machine::new();
    let server = machine.start();
    let osapi = |args: &[&str]| machine.osapi(args.iter().copied());
    let large = "x".repeat(256 * 1024 + 1);
    let ran = osapi(&["exec", "--stdin", "-", "--", "cat"]).stdin(large.as_str()).run();
    ran.exits(2).explains(&["--stdin must be at most 262144 bytes"]);
    let ran = osapi(&["exec", "--stdin", "/no/such", "--", "cat"]).run();
    ran.exits(2).explains(&["--stdin", "/no/such", "No such file"]);
    let ran = osapi(&["shell", "--file", "-", "--stdin", "-"]).stdin("true").run();
    ran.exits(2)
        .explains(&["--stdin must be a file where the script is what comes on standard input"]);

    let exec = |body| server.api().post("/v1/node/_any/command/exec", &body);
    let base64 = "eHh4".repeat(256 * 1024 / 3 + 1);
    let answer = exec(json!({"command": "cat", "stdin": base64})).refuses(422, "invalid_value");
    assert_eq!(answer.json()["field"], "stdin", "{answer}");
    for (field, value) in [("stdin", "no base64"), ("user", "0day"), ("umask", "999")] {
        let answer = exec(json!({"command": "cat", field: value})).refuses(422, "body_invalid");
        assert_eq!(answer.json()["field"], field, "{answer}");
    }
    assert!(server.api().jobs().is_empty());
}

#[test]
fn input_is_withheld_from_those_who_may_not_see_arguments() {
    let machine = Machine::new();
    let server = machine.start();
    let answer = server
        .api()
        .post("/v1/node/_any/command/exec", &json!({"command": "true", "stdin": "c2VjcmV0"}));
    let job = answer.is(200).json()["job_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/{job}");
    assert_eq!(server.api().get(&path).json()["operation"]["exec"]["stdin"], "c2VjcmV0");
    let token = machine.osapi(["token", "generate", "-u", "eve", "-r", "read"]).run().line();
    let seen = server.api().with_token(&token).get(&path).is(200);
    assert_eq!(seen.json()["redacted"], true);
    assert!(!seen.to_string().contains("c2VjcmV0"), "{seen}");
}

#[test]
fn a_command_runs_as_the_user_and_with_the_umask_that_were_asked_for() {
    let script = "id -u; umask; echo $USER $LOGNAME";
    let user = |machine: &Machine, user: &str| {
        machine.osapi(["shell", "--user", user, "--umask", "077", script]).run()
    };
    if is_root() {
        let machine = Machine::new();
        let server = machine.start();
        user(&machine, "61002").exits(0).prints("61002\n0077\n61002 61002\n");
        user(&machine, "root").exits(0).prints("0\n0077\nroot root\n");
        user(&machine, "nobody").exits(0);
        let job = server.api().jobs().first().cloned().unwrap();
        let shown = machine.osapi(["job", "get", &job]).run().exits(0).out();
        for (name, value) in [("user", "nobody"), ("umask", "0077")] {
            let is_it = |line: &str| line.split_whitespace().eq([name, value]);
            assert!(shown.lines().any(is_it), "{shown}");
        }
        let words = ["could not be started", "there is no user 'no-such-user' in /etc/passwd"];
        user(&machine, "no-such-user").exits(126).explains(&words);
        let closed = machine.path("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        let closed = closed.to_str().unwrap();
        let args = ["exec", "--user", "61002", "--cwd", closed, "--", "true"];
        let words = ["cannot enter", closed, "Permission denied"];
        machine.osapi(args).run().exits(126).explains(&words);
    }
    let machine = Machine::of_a_person();
    let server = machine.start();
    user(&machine, "root").exits(126).explains(&["cannot become root: Operation not permitted"]);
    let job = server.api().jobs().first().cloned().unwrap();
    let error = server.api().get(&format!("/v1/jobs/{job}")).is(200).host()["error"].clone();
    assert_eq!(
        (&error["code"], &error["step"], &error["errno"]),
        (&"start_failed".into(), &"user".into(), &1.into()),
        "{error}"
    );
    let own = rustix::process::geteuid().as_raw();
    let own = if own == 0 { "nobody".to_owned() } else { own.to_string() };
    user(&machine, &own).exits(0);
}

#[test]
fn a_command_uses_no_more_than_it_may() {
    let machine = Machine::new();
    let config = machine.path("osapi.yaml");
    fs::write(&config, "agent:\n  name: here\n  limits:\n    open-files: 100\n    core: 0\n")
        .unwrap();
    let server = machine.start_with(|start| start.args(["-f"]).args([&config]));
    let shell = |limit: &[&str], script: &str| {
        machine.osapi(["shell"]).args(limit).args(["--json", script]).run()
    };
    let ran =
        shell(&["--limit", "open-files=64", "--limit", "file-size=1M"], "ulimit -n -f; ulimit -n");
    assert!(ran.exits(0).json()["results"][0]["stdout"].as_str().unwrap().ends_with("64\n"));
    assert_eq!(
        shell(&[], "ulimit -n; ulimit -c").exits(0).json()["results"][0]["stdout"],
        "100\n0\n"
    );
    let job = server.api().jobs().last().cloned().unwrap();
    let shown = machine.osapi(["job", "get", &job]).run().exits(0).out();
    assert!(shown.contains("open-files=64 file-size=1MiB"), "{shown}");

    let error = |limit: &str| {
        let ran = shell(&["--limit", limit], "true").exits(126);
        let error = ran.json()["results"][0]["error"].clone();
        assert_eq!((&error["code"], &error["step"]), (&"start_failed".into(), &"limit".into()));
        error
    };
    let more = error("open-files=101");
    assert!(more["message"].as_str().unwrap().contains("open-files=100"), "{more}");
    for (limit, words) in
        [("memory", "NAME=AMOUNT"), ("stack=1", "known are open-files"), ("cpu=x", "0.5")]
    {
        machine
            .osapi(["exec", "--limit", limit, "--", "true"])
            .run()
            .exits(2)
            .explains(&["--limit", words]);
    }
    let body = json!({"command": "true", "limits": {"open_files": 1}});
    let answer =
        server.api().post("/v1/node/_any/command/exec", &body).refuses(422, "invalid_value");
    assert_eq!(answer.json()["field"], "limits.open_files");

    // What control groups can limit differs from host to host: it is told, and it is so.
    let agent = server.api().get("/v1/agents/here").is(200).json();
    let shown = machine.osapi(["agent", "get", "here"]).run().exits(0).out();
    let can = agent["facts"]["limits"].as_array().unwrap();
    for (key, limit, controller) in [
        ("memory_bytes", "memory=64M", "memory"),
        ("cpu_millis", "cpu=1.5", "cpu"),
        ("pids", "pids=20", "pids"),
    ] {
        let is_told =
            shown.lines().any(|line| line.starts_with("can limit") && line.contains(controller));
        assert_eq!(can.contains(&key.into()), is_told, "{shown}");
        if can.contains(&key.into()) {
            shell(&["--limit", limit], "true").exits(0);
        } else {
            let missing = error(limit);
            let words = format!("controller '{controller}' of cgroup v2");
            assert!(missing["message"].as_str().unwrap().contains(&words), "{missing}");
        }
    }
    if can.contains(&"memory_bytes".into()) {
        let ran =
            shell(&["--limit", "memory=32M"], "exec python3 -c \"x = 'x' * 10**9\"").exits(137);
        let row = ran.json()["results"][0].clone();
        assert_eq!((&row["signal"], &row["killed_for_memory"]), (&9.into(), &true.into()));
    }
}

#[test]
fn what_is_to_go_on_goes_on() {
    let machine = Machine::new();
    let _server = machine.start();
    let shell = |options: &[&str], script: &str| {
        machine.osapi(["shell"]).args(options).args([script]).run()
    };
    let script = "setsid sleep 300 >/dev/null 2>&1 & echo $OSAPI_JOB_ID";
    let kept = shell(&["--keep-children"], script).exits(0).line();
    let ended = shell(&[], script).exits(0).line();
    assert_eq!((of_job(&kept).len(), of_job(&ended).len()), (1, 0));
    shell(&["--timeout", "1"], "setsid sleep 300 & wait").exits(124);
    assert_eq!(of_job(&kept).len(), 1, "later jobs leave it alone");
    end_all_of(&kept);
    // What holds the output is not waited for, and the answer says so.
    let ran = shell(&["--keep-children"], "sleep 300 & echo $OSAPI_JOB_ID").exits(0);
    let job = ran.line();
    ran.explains(&["standard output may go on"]);
    assert_eq!(of_job(&job).len(), 1);
    end_all_of(&job);
    let script = "sleep 300 & echo $OSAPI_JOB_ID; wait";
    let job = shell(&["--keep-children", "--timeout", "1"], script).exits(124).line();
    assert_eq!(of_job(&job).len(), 0, "a timeout ends everything");
}
