//! The processes.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;

use osapi_tests::NatsServer;
use rustix::process::Signal;

use super::marks::Marks;
use crate::world::{Api, Daemon, Invocation, Machine, built};

/// A fleet over a broker as `nats config` sets it up. Dropping it ends all of it.
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Server>,
    pub(crate) hosts: Vec<Host>,
    pub(super) marks: Marks,
    pub(crate) broker: NatsServer,
    pub(crate) machine: Machine,
}

/// Has a program be the server that listens at an address.
type Invoke = dyn Fn(Invocation, &str) -> Invocation + Send + Sync;

/// An API server. It may be killed and started again, at the same address.
pub(crate) struct Server {
    invocation: Box<Invoke>,
    address: String,
    token: String,
    daemon: Option<Daemon>,
}

/// A managed host with its agent, which may be killed and started again.
pub(crate) struct Host {
    pub(super) data_dir: PathBuf,
    daemon: Option<Daemon>,
}

impl Fleet {
    /// A fleet with so many API servers, and hosts of these names that take jobs.
    pub(crate) fn start(servers: usize, hosts: &[&str]) -> Self {
        let machine = Machine::new();
        machine.osapi(["nats", "config", "--out", "nats"]).run().exits(0);
        let conf = fs::read_to_string(machine.tmp().join("nats/nats.conf"));
        // Where it listens and where its store is, the harness says; a server that is told the latter twice refuses.
        let conf = conf.expect("it was just written");
        let lines = conf.lines().filter(|line| !line.trim_start().starts_with("store_dir:"));
        let broker = NatsServer::with(&lines.collect::<Vec<_>>().join("\n"));
        let token = machine.osapi(["token", "generate", "-r", "admin", "-u", "admin"]).run();
        let token = token.exits(0).line();
        let marks = Marks::in_dir(&machine.tmp());
        let mut fleet = Self { servers: Vec::new(), hosts: Vec::new(), marks, broker, machine };
        let url = fleet.broker.url();
        fleet.servers = (0..servers).map(|_| fleet.server(&token, &url)).collect();
        fleet.servers.iter_mut().for_each(Server::until_ready);
        fleet.hosts = hosts.iter().map(|name| fleet.join(name)).collect();
        fleet.hosts.iter_mut().for_each(Host::until_ready);
        fleet
    }

    /// One more API server, which has been started, and reaches the broker at `url`.
    fn server(&self, token: &str, url: &str) -> Server {
        let (dir, url) = (self.machine.tmp(), url.to_owned());
        let invocation = move |program: Invocation, listen: &str| {
            let server = program.in_dir(&dir);
            let server = server.args(["-f", "nats/server/server.yaml", "--listen", listen]);
            // The usual 8 GiB would be set aside at the start, and may not be there.
            let server = server.env("OSAPI_JOBS_MAX_OUTPUT_BYTES", "64MiB");
            server.env("OSAPI_NATS_SERVERS", &url)
        };
        // The broker's host is an address of this test alone.
        let broker = self.broker.address();
        let (host, _) = broker.rsplit_once(':').expect("a host and a port");
        let address = format!("{host}:0");
        let mut server = Server {
            invocation: Box::new(invocation),
            address,
            token: token.to_owned(),
            daemon: None,
        };
        server.start();
        server
    }

    /// Adds an API server that reaches the broker at `url`.
    pub(super) fn add_server_through(&mut self, url: &str) {
        let mut server = self.server(&self.servers[0].token, url);
        server.until_ready();
        self.servers.push(server);
    }

    /// Adds a host that reaches the broker at `url`.
    pub(super) fn add_host_through(&mut self, name: &str, url: &str) {
        let mut host = self.host_at(name);
        host.join(&self.invite_at(url, name, &[]));
        host.until_ready();
        self.hosts.push(host);
    }

    /// `osapi` where the fleet is kept, which asks the first server.
    pub(super) fn osapi<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Invocation {
        self.servers[0].osapi(&self.machine, args)
    }

    /// Has every server sign with the job key that is in place where the fleet is kept, as an operator does.
    pub(super) fn hand_out_job_key(&self) {
        let key = self.machine.data_dir().join("keys/job.key");
        fs::copy(key, self.machine.tmp().join("nats/server/keys/job.key")).expect("both are ours");
        self.servers.iter().for_each(|server| server.daemon().signal(Signal::HUP));
    }

    /// A new file by which a host of this name can join.
    pub(crate) fn invite(&self, name: &str) -> PathBuf {
        self.invite_with(name, &[])
    }

    /// The same with more arguments, such as labels.
    fn invite_with(&self, name: &str, more: &[&str]) -> PathBuf {
        self.invite_at(&self.broker.url(), name, more)
    }

    /// The same where the host reaches the broker at `url`.
    fn invite_at(&self, url: &str, name: &str, more: &[&str]) -> PathBuf {
        let mut files = (1..).map(|n| self.machine.tmp().join(format!("{name}-{n}.join")));
        let file = files.find(|file| !file.exists()).expect("numbers have no end");
        let out = file.to_str().expect("it is text");
        let invite = ["agent", "invite", name, "--server", url, "--out", out];
        self.machine.osapi(invite).args(more).run().exits(0);
        file
    }

    /// One more host, which is joining.
    pub(crate) fn join(&self, name: &str) -> Host {
        let mut host = self.host_at(name);
        host.join(&self.invite(name));
        host
    }

    /// One more host with a label, which is joining.
    pub(super) fn join_as(&self, name: &str, label: &str) -> Host {
        let mut host = self.host_at(name);
        host.join(&self.invite_with(name, &["--label", label]));
        host
    }

    /// A host with this directory, on which no agent runs yet.
    pub(super) fn host_at(&self, dir: &str) -> Host {
        Host { data_dir: self.machine.path(&format!("host-{dir}")), daemon: None }
    }

    /// The APIs of all servers, whether they run or not.
    pub(crate) fn apis(&self) -> Vec<Api> {
        self.servers.iter().map(Server::api).collect()
    }
}

/// What all of it said is what a test that fails is understood by.
impl Drop for Fleet {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let servers = self.servers.iter().map(|server| &server.daemon);
        let daemons = servers.chain(self.hosts.iter().map(|host| &host.daemon)).flatten();
        for said in daemons.map(Daemon::said).chain([self.broker.log()]) {
            let lines: Vec<_> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(30)..];
            eprintln!("--- the last of {} lines:\n{}", lines.len(), last.join("\n"));
        }
    }
}

impl Server {
    /// Its API, with every permission.
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.url(), &self.token)
    }

    /// `osapi` where the fleet is kept, which asks this server.
    pub(super) fn osapi<'a>(
        &self,
        machine: &Machine,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Invocation {
        let osapi = machine.osapi(args).env("OSAPI_URL", self.url());
        osapi.env("OSAPI_TOKEN", &self.token)
    }

    /// The same behind another address, which leads to it.
    pub(super) fn api_at(&self, address: &str) -> Api {
        Api::new(&format!("http://{address}"), &self.token)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The same as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it. It is not ready yet.
    pub(crate) fn start(&mut self) {
        self.start_by(Invocation::new(built("osapi-server")));
    }

    /// The same with another program in its place.
    pub(super) fn start_by(&mut self, program: Invocation) {
        self.daemon = Some(Daemon::start((self.invocation)(program, &self.address)));
    }

    /// Waits until it takes requests.
    pub(crate) fn until_ready(&mut self) {
        let daemon = self.daemon.as_mut().expect("it was started");
        let url = address_in(&daemon.until_says("listens on http://"));
        self.address = url.trim_start_matches("http://").to_owned();
        daemon.until_says("ready: the store was read");
    }

    /// Starts it, and waits until it takes requests.
    pub(crate) fn restart(&mut self) {
        self.start();
        self.until_ready();
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.daemon.take().expect("it runs").kill();
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.daemon.as_mut().expect("it was started").has_ended()
    }

    /// How it ended by itself, and what it wrote.
    pub(super) fn ended(&mut self) -> (ExitStatus, String) {
        self.daemon.take().expect("it was started").ended()
    }

    /// Stops it in the middle of whatever it does.
    pub(crate) fn freeze(&self) {
        self.daemon().signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.daemon().signal(Signal::CONT);
    }

    /// What it has written since its last start.
    pub(crate) fn said(&self) -> String {
        self.daemon().said()
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it runs")
    }
}

impl Host {
    /// `osapi-agent` on it.
    pub(super) fn agent(&self, more: &[&OsStr]) -> Invocation {
        self.agent_by(Invocation::new(built("osapi-agent")), more)
    }

    /// The same with another program in its place.
    fn agent_by(&self, program: Invocation, more: &[&OsStr]) -> Invocation {
        let agent = program.args(more);
        agent.args(["--data-dir".as_ref(), self.data_dir.as_os_str()])
    }

    /// Lets it join with a file. It is not ready yet.
    pub(super) fn join(&mut self, file: &Path) {
        let join = self.agent(&["--join".as_ref(), file.as_os_str()]);
        self.daemon = Some(Daemon::start(join));
    }

    /// Starts its agent, which joined before. It is not ready yet.
    pub(crate) fn start(&mut self) {
        self.daemon = Some(Daemon::start(self.agent(&[])));
    }

    /// The same with another program in its agent's place.
    pub(super) fn start_by(&mut self, program: Invocation) {
        self.daemon = Some(Daemon::start(self.agent_by(program, &[])));
    }

    /// Whether no agent was started on it, since the last one was seen to end.
    pub(super) fn is_down(&self) -> bool {
        self.daemon.is_none()
    }

    /// Whether its agent has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.daemon.as_mut().expect("it was started").has_ended()
    }

    /// How its agent ended by itself, and what it wrote.
    pub(super) fn ended(&mut self) -> (ExitStatus, String) {
        self.daemon.take().expect("it was started").ended()
    }

    /// Waits until its agent says `words`.
    pub(super) fn until_says(&mut self, words: &str) {
        self.daemon.as_mut().expect("it was started").until_says(words);
    }

    /// Waits until its agent takes jobs.
    pub(crate) fn until_ready(&mut self) {
        self.until_says("takes jobs");
    }

    /// Its agent's process.
    pub(super) fn pid(&self) -> u32 {
        self.daemon().pid()
    }

    /// What its agent has written since its last start.
    pub(super) fn said(&self) -> String {
        self.daemon().said()
    }

    /// Starts its agent, and waits until it takes jobs.
    pub(crate) fn restart(&mut self) {
        self.start();
        self.until_ready();
    }

    /// Ends its agent in an orderly way.
    pub(super) fn stop(&mut self) {
        let (status, said) = self.daemon.take().expect("it runs").stop();
        assert!(status.success(), "{said}");
    }

    /// Ends its agent as a crash does.
    pub(crate) fn kill(&mut self) {
        self.daemon.take().expect("it runs").kill();
    }

    /// Stops its agent in the middle of whatever it does.
    pub(crate) fn freeze(&self) {
        self.daemon().signal(Signal::STOP);
    }

    /// Lets its agent go on.
    pub(crate) fn resume(&self) {
        self.daemon().signal(Signal::CONT);
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it runs")
    }
}

/// Where a server says that it listens.
pub(crate) fn address_in(line: &str) -> String {
    let url = line.split_whitespace().find(|word| word.starts_with("http://"));
    url.expect("it says where").trim_end_matches(';').to_owned()
}

/// Copies a directory, with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("it is new");
    let metadata = fs::metadata(from).expect("it is there");
    fs::set_permissions(to, metadata.permissions()).expect("it is ours");
    for entry in fs::read_dir(from).expect("it is a directory") {
        let from = entry.expect("it can be read").path();
        let to = to.join(from.file_name().expect("an entry has a name"));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("there is room for a copy");
        }
    }
}
