//! A host with a local policy, which is read again when the agent is told to.

use std::fs;

use rustix::process::Signal;

use super::fleet::Fleet;
use crate::world::{Daemon, Ran};

const NOTHING: &str = "rules: []\n";
const TRUE_ALLOWED: &str = "rules:\n  - {name: nothing-much, operations: [exec], programs: [/bin/true, /usr/bin/true]}\n  - {name: facts, operations: [facts]}\n";

#[test]
fn a_policy_changes_by_a_signal_and_a_broken_one_changes_nothing() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can write a policy; that it is refused then is tested where policies are read.
        return;
    }
    let fleet = Fleet::start(1, &[]);
    let (policy, config) = (fleet.machine.path("policy.yaml"), fleet.machine.path("agent.yaml"));
    fs::write(&policy, NOTHING).unwrap();
    fs::write(&config, "agent: {policy: policy.yaml}\n").unwrap();
    let host = fleet.host_at("web-01");
    let join = fleet.invite("web-01");
    let args = ["-f".as_ref(), config.as_os_str(), "--join".as_ref(), join.as_os_str()];
    let mut agent = Daemon::until(host.agent(&args), "takes jobs");
    let run = || -> Ran { fleet.osapi(["exec", "-T", "web-01", "--", "true"]).run() };
    run().exits(125).explains(&["policy", "no rule allows it"]);

    fs::write(&policy, "rules:\n  - {name: a, operations: [exec], program: [/bin/true]}\n")
        .unwrap();
    agent.signal(Signal::HUP);
    agent.until_says("what was in force before stays in force");
    run().exits(125).explains(&["policy", "no rule allows it"]);

    fs::write(&policy, TRUE_ALLOWED).unwrap();
    agent.signal(Signal::HUP);
    agent.until_says("rules=2");
    run().exits(0);

    fs::remove_file(&policy).unwrap();
    agent.signal(Signal::HUP);
    agent.until_says("No such file");
    run().exits(0);
    fleet.osapi(["exec", "-T", "web-01", "--", "false"]).run().exits(125);
}
