//! What operators do: from one machine to a fleet, what is said of what is wrong, and what the credentials that they hand out allow.

mod cluster;
mod credentials;
mod health;
mod joining;
mod servers;
mod tls;
mod typed;

use std::fs;
use std::path::PathBuf;

use osapi_tests::NatsServer;

use crate::processes::fleet::Fleet;
use crate::world::{Api, Daemon, Invocation, Machine, built};

/// A fleet with one API server, and hosts that are set up by hand.
struct Site {
    fleet: Fleet,
    token: String,
}

impl Site {
    fn start() -> Self {
        let fleet = Fleet::start(1, &[]);
        let token = ["token", "generate", "-r", "admin", "-u", "operator"];
        let token = fleet.machine.osapi(token).run().exits(0).line();
        Self { fleet, token }
    }

    fn machine(&self) -> &Machine {
        &self.fleet.machine
    }

    fn broker(&mut self) -> &mut NatsServer {
        &mut self.fleet.broker
    }

    fn broker_url(&self) -> String {
        self.fleet.broker.url()
    }

    fn api(&self) -> Api {
        self.fleet.servers[0].api()
    }

    /// `osapi` that asks the API server.
    fn osapi<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Invocation {
        let osapi = self.machine().osapi(args).env("OSAPI_URL", self.fleet.servers[0].url());
        osapi.env("OSAPI_TOKEN", &self.token)
    }

    fn invite(&self, name: &str) -> PathBuf {
        self.fleet.invite(name)
    }

    /// The data directory of a host.
    fn host_dir(&self, host: &str) -> PathBuf {
        self.machine().path(&format!("host-{host}"))
    }

    /// `osapi-agent` on a host.
    fn agent<'a>(&self, host: &str, args: impl IntoIterator<Item = &'a str>) -> Invocation {
        let agent = self.machine().run(&built("osapi-agent"), ["--data-dir"]);
        agent.args([self.host_dir(host)]).args(args)
    }

    /// Invites a host and lets it join; it takes jobs.
    fn join(&self, host: &str) -> Daemon {
        let file = self.invite(host);
        let join = self.agent(host, ["--join", file.to_str().unwrap()]);
        let daemon = Daemon::until(join, "has joined fleet");
        fs::remove_file(file).unwrap();
        daemon
    }
}

/// `osapi` where the fleet is kept.
fn admin(machine: &Machine, args: &[&str]) -> Invocation {
    machine.osapi(args.iter().copied())
}

/// `osapi-server` with this file, as the harness has it everywhere: no more than a little is set aside for output.
fn server(machine: &Machine, file: &str) -> Invocation {
    let server = machine.run(&built("osapi-server"), ["-f", file]);
    server.env("OSAPI_JOBS_MAX_OUTPUT_BYTES", "64MiB")
}
