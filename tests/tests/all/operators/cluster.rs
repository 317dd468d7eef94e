//! A broker of three servers, as `nats config` sets it up: any one of them may fail.

use osapi_tests::binary;

use super::typed::loopback;
use super::{admin, server};
use crate::world::{Api, Daemon, Machine, built, until};

#[test]
fn jobs_go_on_without_any_one_of_three_servers() {
    let machine = Machine::new();
    let address = loopback(&machine);
    let (network, _) = address.rsplit_once('.').unwrap();
    let names = ["n1", "n2", "n3"];
    let nodes: Vec<_> =
        names.iter().zip(1..).map(|(name, n)| format!("{name}={network}.{n}")).collect();
    let mut config = vec!["nats", "config", "--out", "nats"];
    nodes.iter().for_each(|node| config.extend(["--node", node]));
    admin(&machine, &config).run().exits(0);
    let start = |name: &str| {
        let conf = format!("nats/{name}.conf");
        let run = machine.run(binary::path(), ["-c"]).args([conf]);
        Daemon::until(run, "Server is ready")
    };
    let mut brokers = names.map(|name| Some(start(name)));
    let server = server(&machine, "nats/server/server.yaml");
    let mut server = Daemon::until(server, "ready: the store was read");
    server.until_says("durability=synced");
    let said = server.until_says("listens on ");
    let url = said.split_whitespace().find_map(|word| word.strip_suffix(';')).unwrap();
    let token = admin(&machine, &["token", "generate", "-r", "admin", "-u", "a"]).run().line();
    let api = Api::new(url, &token);
    admin(&machine, &["agent", "invite", "web-01", "--out", "web-01.join"]).run().exits(0);
    let join = machine.run(&built("osapi-agent"), ["--join", "web-01.join", "--data-dir", "host"]);
    let _agent = Daemon::until(join, "takes jobs");

    let runs = |when: &str| {
        // While servers find each other again, an answer may have to be asked for once more.
        until(when, || {
            let ran = machine.osapi(["exec", "-T", "web-01", "--", "true"]);
            let ran = ran.env("OSAPI_URL", url).env("OSAPI_TOKEN", &token).run();
            (ran.code() == 0).then_some(())
        });
    };
    runs("a job with all servers");
    for (n, name) in names.iter().enumerate() {
        brokers[n].take().unwrap().kill();
        runs(&format!("a job without {name}"));
        brokers[n] = Some(start(name));
        runs(&format!("a job with {name} again"));
    }
    assert!(api.jobs().len() >= 7);
}
