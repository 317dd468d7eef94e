//! A private `nats-server`.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::wait::until;

/// The configuration of most tests: everything is allowed, and every write is synced.
pub const PLAIN: &str = "jetstream { sync_interval: always }\n";

/// A running server with a store of its own. Dropping it ends it, and its store goes with it.
#[derive(Debug)]
pub struct NatsServer {
    dir: TempDir,
    host: String,
    ports: Ports,
    more: Vec<String>,
    child: Option<Child>,
}

/// Where a server listens.
#[derive(Debug)]
struct Ports {
    clients: u16,
    monitoring: u16,
    cluster: u16,
}

impl NatsServer {
    /// A server with JetStream that knows no users.
    #[must_use]
    pub fn start() -> Self {
        Self::with(PLAIN)
    }

    /// A server with this configuration. Where it listens and where its store is, the harness says.
    #[must_use]
    pub fn with(config: &str) -> Self {
        let mut server = Self::prepare(config);
        server.restart();
        server
    }

    /// A server that does not run yet. In a configuration `{dir}` stands for the directory of the server.
    pub(crate) fn prepare(config: &str) -> Self {
        let dir = TempDir::with_prefix("nats-").expect("a directory can be made");
        let host = loopback();
        let port = || {
            let listener =
                TcpListener::bind((host.as_str(), 0)).expect("an address has free ports");
            listener.local_addr().expect("it is bound").port()
        };
        let ports = Ports { clients: port(), monitoring: port(), cluster: port() };
        let server = Self { dir, host, ports, more: Vec::new(), child: None };
        server.configure(config);
        server
    }

    /// Makes it a member of a cluster, from the next start.
    pub(crate) fn join(&mut self, name: &str, routes: &[String]) {
        let (route, routes) = (self.route(), routes.join(","));
        let arguments =
            ["--name", name, "--cluster_name", "c", "--cluster", &route, "--routes", &routes];
        self.more = arguments.map(ToOwned::to_owned).to_vec();
    }

    /// The address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// The address for clients, without a scheme.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.ports.clients)
    }

    /// The address of the monitoring port.
    #[must_use]
    pub fn monitoring(&self) -> String {
        format!("http://{}:{}", self.host, self.ports.monitoring)
    }

    pub(crate) fn route(&self) -> String {
        format!("nats://{}:{}", self.host, self.ports.cluster)
    }

    /// A file or directory of the server's.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What it has logged, since the first start.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// What its monitoring port answers at `path`, such as `/varz`.
    #[must_use]
    pub fn monitor(&self, path: &str) -> Option<Value> {
        self.get(path).and_then(|body| serde_json::from_slice(&body).ok())
    }

    /// Replaces its configuration. It counts from the next start.
    pub fn configure(&self, config: &str) {
        let config = config.replace("{dir}", &self.dir.path().display().to_string());
        fs::write(self.path("nats.conf"), config).expect("the directory is there");
    }

    /// Ends it as a crash does: what it had not synced may be gone. Nothing happens if it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
    }

    /// Ends it and starts it again, at the same address and with the same store.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
        self.become_ready();
    }

    /// Removes its store. It must not run.
    pub fn wipe(&self) {
        assert!(self.child.is_none(), "a running server keeps its store");
        fs::remove_dir_all(self.path("store")).expect("it has a store");
    }

    /// Stops it in the middle of whatever it does, until it is resumed.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.as_ref().expect("it runs").id());
        // Each thread stops by itself, and a little later.
        until("nats-server stops", || {
            let mut threads = fs::read_dir(&tasks).expect("it is there").flatten();
            let has_stopped = |thread: fs::DirEntry| {
                let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                status.contains("State:\tT")
            };
            threads.all(has_stopped).then_some(())
        });
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal)
            .expect("it was not waited for, so it is there");
    }

    /// Starts the process.
    pub(crate) fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log"));
        let log = log.expect("the directory is there");
        let Ports { clients, monitoring, .. } = self.ports;
        let mut command = binary::command(binary::path());
        command.current_dir(self.dir.path());
        command.args(["--config", "nats.conf", "--store_dir", "store", "--addr", &self.host]);
        command.args(["--port", &clients.to_string(), "--http_port", &monitoring.to_string()]);
        command.args(&self.more);
        command.stdout(log.try_clone().expect("it is open")).stderr(log);
        self.child = Some(command.spawn().expect("the program was tried"));
    }

    /// Waits until it takes requests.
    pub(crate) fn become_ready(&mut self) {
        until("nats-server is ready", || {
            let child = self.child.as_mut().expect("it was started");
            let ended = child.try_wait().expect("it is ours").is_some();
            assert!(!ended, "nats-server ended:\n{}", self.log());
            self.get("/healthz").map(|_| ())
        });
    }

    /// Whether it was started and not killed.
    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// The body of a good answer of the monitoring port.
    fn get(&self, path: &str) -> Option<Vec<u8>> {
        const LIMIT: Duration = Duration::from_secs(5);
        let address = format!("{}:{}", self.host, self.ports.monitoring);
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let is_good = answer.starts_with(b"HTTP/1.0 200") || answer.starts_with(b"HTTP/1.1 200");
        is_good.then(|| answer.split_off(end + 4))
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A random address of this machine alone (RFC 1122 §3.2.1.3): what else runs here has others, so a port that was free there is still free
/// when the server starts, and when it comes back.
fn loopback() -> String {
    let mut bytes = [0; 3];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .expect("the kernel has randomness");
    let [a, b, c] = bytes.map(|byte| 1 + byte % 254);
    format!("127.{a}.{b}.{c}")
}
