//! What an operator types to get from one machine to a fleet, as it stands in the documentation, in an empty home.

use osapi_tests::binary;

use crate::world::{Daemon, Machine, built};

/// A machine of somebody who is not root, with all programs.
fn machine() -> Machine {
    let machine = Machine::of_a_person();
    for name in ["osapi-server", "osapi-agent"] {
        machine.install(name, &built(name));
    }
    machine.install("nats-server", binary::path());
    machine
}

/// An address of this machine alone that nobody else uses, so that the usual port is free there.
pub(super) fn loopback(machine: &Machine) -> String {
    // The name of the machine's directory is random.
    let name = machine.tmp().to_string_lossy().into_owned();
    let hash = osapi_core::id::Digest::of(name.as_bytes());
    let [a, b, c, ..] = hash.as_bytes().map(|byte| 1 + byte % 250);
    format!("127.{a}.{b}.{c}")
}

fn daemon(machine: &Machine, line: &str, words: &str) -> Daemon {
    let typed = machine.typed(&format!("exec {line}"));
    // What is set aside for output by default may not be there.
    Daemon::until(typed.env("OSAPI_JOBS_MAX_OUTPUT_BYTES", "64MiB"), words)
}

#[test]
fn every_line_from_the_broker_to_the_first_command_works() {
    let machine = machine();
    let typed = |line: &str| machine.typed(line).run().exits(0);
    let address = loopback(&machine);
    typed(&format!("osapi nats config --out nats/ --listen {address}:4222"));
    let _broker = daemon(&machine, "nats-server -c nats/nats.conf", "Server is ready");
    let mut server = daemon(&machine, "osapi-server -f nats/server/server.yaml", "listens on ");
    let said = server.until_says("listens on ");
    let url = said.split_whitespace().find_map(|word| word.strip_suffix(';')).unwrap().to_owned();
    server.until_says("durability=synced");
    typed("osapi agent invite web-01 --label group=web.dev.us-east --out web-01.join");
    let joined = daemon(&machine, "osapi-agent --join web-01.join", "has joined fleet");

    let token = typed("osapi token generate -r admin -u admin@example.com").line();
    let ask = |line: &str| {
        let asked = machine.typed(line).env("OSAPI_URL", &url).env("OSAPI_TOKEN", &token);
        asked.run().exits(0)
    };
    let uname = typed("uname").out();
    ask("osapi exec -T web-01 -- uname").prints(&uname);
    ask("osapi exec -T group:web -- uname").prints(&uname);
    let agents = ask("osapi agent list --json").json();
    assert_eq!(agents["agents"][0]["labels"]["group"], "web.dev.us-east");
    let health = ask("osapi health status --json").json();
    assert_eq!((&health["status"], &health["durability"]), (&"ok".into(), &"synced".into()));

    let (status, said) = joined.stop();
    assert!(status.success() && said.contains("stopped: nothing is left to do"), "{said}");
    let again = daemon(&machine, "osapi-agent", "takes jobs");
    ask("osapi exec -T web-01 -- uname").prints(&uname);
    assert!(again.stop().0.success());
    let (status, said) = server.stop();
    assert!(status.success() && said.contains("stopped: every request was answered"), "{said}");
}
