//! Joining a fleet: what is wrong is said at the command that it comes from, and nothing half done is left.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use super::{Site, admin};
use crate::world::{Daemon, Machine, Ran, built};

/// `osapi-agent --join` with this file on a host of its own, which is to fail and to leave nothing.
#[track_caller]
fn refused(fleet: &Site, host: &str, file: &Path, code: i32, words: &[&str]) -> Ran {
    let join = fleet.agent(host, ["--join", file.to_str().unwrap()]);
    let ran = join.run().exits(code).prints("").explains(words);
    for secret in ["SUA", "BEGIN USER NKEY"] {
        assert!(!ran.err().contains(secret), "a secret is in {ran}");
    }
    assert!(!fleet.host_dir(host).join("agent").exists(), "something half done is left by {ran}");
    ran
}

#[test]
fn a_file_that_is_no_good_is_refused_with_its_fault_and_nothing_is_made() {
    let fleet = Site::start();
    let file = fleet.invite("web-01");
    let good = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = good.lines().collect();
    let last = lines.len();
    let seed_at = good.find("SUA").unwrap();
    let changed = format!("{}Z{}", &good[..seed_at + 20], &good[seed_at + 21..]);
    for (text, words) in [
        (changed, vec!["damaged", "checksum", "copy it again"]),
        (good.replace("web-01", "web-02"), vec!["damaged"]),
        (lines[..last - 1].join("\n"), vec!["cut off", "copy it again"]),
        (lines[..4].join("\n"), vec!["cut off", "line 4"]),
        ("hello\n".into(), vec!["is not a join file", "osapi agent invite"]),
        (good.replacen("version 1", "version 7", 1), vec!["version 7", "version 1"]),
    ] {
        fs::write(&file, text).unwrap();
        refused(&fleet, "a", &file, 2, &[&[file.to_str().unwrap()], &words[..]].concat());
    }
    fs::write(&file, &good).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    refused(&fleet, "a", &file, 2, &["open to others", "chmod 600"]);
    refused(&fleet, "a", &fleet.machine().path("none"), 2, &["none", "No such file"]);

    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let join = fleet.agent("a", ["--join", file.to_str().unwrap()]).env("OSAPI_AGENT_NAME", "x");
    join.run().exits(2).prints("").explains(&["'web-01', not 'x'", "agent.name"]);
    assert!(!fleet.host_dir("a").join("agent").exists());
    let join = fleet.agent("a", ["--join", file.to_str().unwrap()]);
    let joined = Daemon::until(join, "'web-01' has joined fleet");
    assert!(joined.stop().0.success());
}

#[test]
fn a_file_is_used_once_and_a_directory_has_one_agent_of_one_fleet() {
    let (fleet, other) = (Site::start(), Site::start());
    let file = fleet.invite("web-01");
    let join = || fleet.agent("a", ["--join", file.to_str().unwrap()]);
    let running = Daemon::until(join(), "has joined fleet");
    join().run().exits(125).prints("").explains(&["in use by another process", "--data-dir"]);
    assert!(running.stop().0.success());
    let identity = fs::read(fleet.host_dir("a").join("agent/identity.json")).unwrap();

    let again = join().run().exits(2).prints("");
    again.explains(&["there is an agent", "'web-01'", "osapi-agent --data-dir"]);
    let elsewhere = other.invite("web-01");
    let foreign = fleet.agent("a", ["--join", elsewhere.to_str().unwrap()]).run();
    foreign.exits(2).prints("").explains(&["another fleet", "--data-dir"]);

    assert_eq!(fs::read(fleet.host_dir("a").join("agent/identity.json")).unwrap(), identity);
    let again = Daemon::until(fleet.agent("a", []), "takes jobs");
    assert!(again.stop().0.success());
}

#[test]
fn a_name_that_another_host_has_is_refused_and_nothing_is_left() {
    let fleet = Site::start();
    let first = fleet.join("web-01");
    let file = fleet.invite("web-01");
    let words = ["another host is registered", "osapi agent remove web-01", "used again"];
    refused(&fleet, "b", &file, 125, &words);
    let ran = fleet.osapi(["exec", "-T", "web-01", "--", "true"]).run();
    ran.exits(0);
    assert!(first.stop().0.success());
}

#[test]
fn a_broker_that_cannot_be_reached_or_refuses_ends_it_and_the_file_can_be_used_again() {
    let (fleet, other) = (Site::start(), Site::start());
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("nats://{gone}");
    let file = fleet.machine().tmp().join("gone.join");
    let args = ["agent", "invite", "web-01", "--server", &url, "--out", file.to_str().unwrap()];
    admin(fleet.machine(), &args).run().exits(0);
    let words = [
        url.as_str(),
        "cannot be reached",
        "check the address",
        "nats.servers",
        "nothing was made",
    ];
    refused(&fleet, "a", &file, 125, &words);

    // The credential is one of the other broker's.
    let foreign = other.machine().tmp().join("foreign.join");
    let url = fleet.broker_url();
    let args = ["agent", "invite", "web-01", "--server", &url, "--out", foreign.to_str().unwrap()];
    admin(other.machine(), &args).run().exits(0);
    refused(&fleet, "a", &foreign, 125, &[&url, "refuses the login", "can be used again"]);

    let old = OldBroker::start();
    let join = fleet.agent("a", ["--join", file.to_str().unwrap()]);
    let ran = join.env("OSAPI_NATS_SERVERS", &old.url).run().exits(125).prints("");
    ran.explains(&["version 2.10.4", "2.11", "security fixes"]);
    assert!(!fleet.host_dir("a").join("agent").exists());

    let join = fleet.agent("a", ["--join", file.to_str().unwrap()]);
    let joined = Daemon::until(join.env("OSAPI_NATS_SERVERS", &url), "has joined fleet");
    assert!(joined.stop().0.success());
}

#[test]
fn who_has_joined_waits_for_its_broker_and_says_why_once() {
    let mut fleet = Site::start();
    assert!(fleet.join("web-01").stop().0.success());
    fleet.broker().kill();
    let url = fleet.broker_url();
    let mut waiting = Daemon::until(fleet.agent("web-01", []), "cannot be reached");
    waiting.until_says(&url);
    fleet.broker().restart();
    waiting.until_says("takes jobs");
    let (status, said) = waiting.stop();
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("cannot be reached").count(), 1, "{said}");

    fleet.broker().kill();
    let waiting = Daemon::until(fleet.agent("web-01", []), "cannot be reached");
    let (status, said) = waiting.stop();
    assert!(status.success() && said.contains("stopped before NATS was reached"), "{said}");
}

#[test]
fn who_stops_before_an_answer_came_goes_on_at_the_next_start() {
    let mut fleet = Site::start();
    fleet.fleet.servers[0].kill();
    let file = fleet.invite("web-01");
    let join = fleet.agent("web-01", ["--join", file.to_str().unwrap()]);
    let (status, said) = Daemon::until(join, "no API server has answered").stop();
    assert!(status.success() && said.contains("goes on asking at the next start"), "{said}");
    let again = fleet.agent("web-01", ["--join", file.to_str().unwrap()]).run().exits(2);
    again.explains(&["there is an agent", "osapi-agent --data-dir"]);
    let mut waiting = Daemon::until(fleet.agent("web-01", []), "no API server has answered");
    fleet.fleet.servers[0].restart();
    waiting.until_says("takes jobs");
    assert!(waiting.stop().0.success());
}

#[test]
fn credentials_that_the_broker_does_not_know_end_an_agent_with_the_error() {
    let (fleet, other) = (Site::start(), Site::start());
    assert!(fleet.join("web-01").stop().0.success());
    let agent = fleet.agent("web-01", []).env("OSAPI_NATS_SERVERS", other.broker_url());
    agent.run().exits(125).prints("").explains(&["refuses the login", "nats.credentials"]);
    let named = fleet.agent("web-01", []).env("OSAPI_AGENT_NAME", "web-02").run();
    named.exits(2).prints("").explains(&["'web-01', not 'web-02'", "agent.name"]);
    let spaced = fleet.agent("web-01", []).env("OSAPI_NATS_NAMESPACE", "my fleet").run();
    spaced.exits(2).prints("").explains(&["my fleet", "1 to 32 letters"]);
}

#[test]
fn without_an_agent_there_is_nothing_to_start() {
    let fleet = Site::start();
    let ran = fleet.agent("a", []).run().exits(2).prints("");
    ran.explains(&["there is no agent", "osapi-agent --join"]);
    let machine = Machine::new();
    machine.start().stop();
    let local = fleet.machine().run(&built("osapi-agent"), ["--data-dir"]);
    let ran = local.args([machine.data_dir()]).run().exits(2).prints("");
    ran.explains(&["has joined no fleet", "osapi start"]);
}

#[test]
fn an_invitation_is_refused_with_what_is_wrong_and_nothing_is_written() {
    let fleet = Site::start();
    let file = fleet.machine().tmp().join("x.join");
    let out = file.to_str().unwrap();
    let invite =
        |args: &[&str]| admin(fleet.machine(), &[&["agent", "invite"], args].concat()).run();
    for (args, words) in [
        (vec!["web 01", "--out", out], vec!["web 01", "1 to 63 letters"]),
        (vec!["-x", "--out", out], vec!["-x"]),
        (vec!["web-01"], vec!["--out"]),
        (vec!["web-01", "--out", out, "--label", "group"], vec!["must be key=value"]),
        (vec!["web-01", "--out", out, "--label", "group=a..b"], vec!["a..b", "joined by dots"]),
        (vec!["web-01", "--out", out, "--label", "a=1", "--label", "a=2"], vec!["given twice"]),
        (
            vec!["web-01", "--out", out, "--server", "http://x:1"],
            vec!["http://x:1", "nats://host:4222"],
        ),
        (
            vec!["web-01", "--out", out, "--server", "nats://a:secret@x:1"],
            vec!["configure a login"],
        ),
    ] {
        let ran = invite(&args).exits(2).prints("").explains(&words);
        assert!(!ran.err().contains("secret"), "{ran}");
        assert!(!file.exists(), "{ran}");
    }
    let labels: Vec<String> = (0..17).map(|n| format!("--label=k{n}=v")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    invite(&[&["web-01", "--out", out], &labels[..]].concat()).exits(2).explains(&["at most 16"]);

    invite(&["web-01", "--out", out]).exits(0);
    let written = fs::read(&file).unwrap();
    let twice = invite(&["web-02", "--out", out]).exits(2).prints("");
    twice.explains(&[out, "exists", "--out"]);
    assert_eq!(fs::read(&file).unwrap(), written);

    let machine = Machine::new();
    let none = admin(&machine, &["agent", "invite", "web-01", "--out", out]).run().exits(125);
    none.explains(&["there are no keys", "osapi nats config", "--data-dir"]);
}

#[test]
fn a_broker_is_set_up_once_in_a_directory_and_its_keys_stay() {
    let machine = Machine::new();
    let config = |args: &[&str]| admin(&machine, &[&["nats", "config"], args].concat()).run();
    for (args, words) in [
        (vec!["--out", "none/nats"], vec!["there is no directory", "none"]),
        (vec!["--out", "nats", "--namespace", "my fleet"], vec!["my fleet", "1 to 32 letters"]),
        (vec!["--out", "nats", "--listen", "0.0.0.0:4222"], vec!["how hosts reach", "--server"]),
        (vec!["--out", "nats", "--server", "nowhere:x"], vec!["nowhere:x"]),
        (vec!["--out", "nats", "--node", "n1=a", "--node", "n2=b"], vec!["3 or 5 servers, not 2"]),
        (
            vec!["--out", "nats", "--node", "n1=a", "--node", "n1=b", "--node", "n3=c"],
            vec!["twice"],
        ),
        (vec!["--out", "nats", "--tls-cert", "c"], vec!["--tls-key", "--tls-ca"]),
        (
            vec!["--out", "nats", "--tls-cert", "c", "--tls-key", "k", "--tls-ca", "/none"],
            vec!["/none"],
        ),
    ] {
        config(&args).exits(2).prints("").explains(&words);
        assert!(!machine.tmp().join("nats").exists() && !machine.data_dir().exists(), "{args:?}");
    }
    config(&["--out", "nats"]).exits(0);
    let read = |name: &str| fs::read_to_string(machine.tmp().join(name)).unwrap();
    let mode = |name: &str| fs::metadata(machine.tmp().join(name)).unwrap().permissions().mode();
    assert_eq!((mode("nats") & 0o7777, mode("nats/nats.conf") & 0o7777), (0o700, 0o600));
    let first = read("nats/nats.conf");
    config(&["--out", "nats"]).exits(2).prints("").explains(&["exists", "--out"]);
    assert_eq!(read("nats/nats.conf"), first);
    let more = config(&["--out", "more", "--listen", "0.0.0.0:4223", "--server", "nats://x:4223"]);
    more.exits(0).explains(&["can be read on its way", "--tls-cert"]);
    let account = |text: &str| {
        text.lines().find(|line| line.starts_with("system_account")).map(ToOwned::to_owned)
    };
    assert_eq!(account(&read("more/nats.conf")), account(&first));
    assert_eq!(read("more/server/keys/ring"), read("nats/server/keys/ring"));
}

/// A server that greets as an old one does.
struct OldBroker {
    url: String,
}

impl OldBroker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        // It ends with the tests.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut writer = stream.try_clone().unwrap();
                    let info = r#"INFO {"server_id":"x","server_name":"old","version":"2.10.4","proto":1,"headers":true,"max_payload":1048576}"#;
                    writer.write_all(format!("{info}\r\n").as_bytes()).ok();
                    for line in BufReader::new(stream).lines().map_while(Result::ok) {
                        if line.starts_with("PING") {
                            writer.write_all(b"PONG\r\n").ok();
                        }
                    }
                });
            }
        });
        Self { url }
    }
}
