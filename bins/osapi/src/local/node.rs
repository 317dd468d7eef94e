//! The node: server, controller, agent and store of one machine, started together and ended in the right order.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use osapi_core::agent::{AgentError, Drained};
use osapi_core::auth::keys::{KeyUse, SigningKey};
use osapi_core::auth::role::Roles;
use osapi_core::backend::embedded::{EmbeddedBus, EmbeddedStore};
use osapi_core::backend::never_denied;
use osapi_core::clock::{Clock, SystemClock};
use osapi_core::controller::{self, Controller, found_key_ring};
use osapi_core::id::{AgentName, FleetId};
use osapi_core::job::limits::KILL_GRACE;
use osapi_core::message::{Readiness, RegistrationRefusal};
use osapi_server::{Ended, RouterError};
use osapi_service::config::Config;
use osapi_service::datadir::{DataDir, Layout};
use osapi_service::keystore::{CurrentKey, Keys, TokenKey};
use osapi_service::startup;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::access::Issuer;
use super::error::NodeError;
use super::home::Home;

/// How long a node may take from its start to the first hello of its own agent.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(30);
/// What reports, connections and files may take to end, beside the grace of commands.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What a node is to be.
pub(crate) struct Plan {
    /// Where it keeps what it knows.
    pub(crate) layout: Layout,
    /// How it behaves.
    pub(crate) config: Config,
    /// What roles grant.
    pub(crate) roles: Roles,
    /// Where it listens; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
}

/// A running node. Dropping it ends everything at once, as a crash would; what it knows stays on disk.
pub(crate) struct Node {
    address: SocketAddr,
    name: AgentName,
    hostname: String,
    fleet: FleetId,
    token_key: watch::Receiver<Arc<SigningKey>>,
    controller: Controller,
    store: Arc<EmbeddedStore>,
    parts: JoinSet<PartEnd>,
    // What keeps the keys up to date; it ends with the node.
    _chores: JoinSet<Infallible>,
    stop_agent: CancellationToken,
    stop_server: CancellationToken,
    end_within: Duration,
    // Dropped last: it is free once nothing works in it any more.
    dir: DataDir,
}

/// What an agent tells of how it fares.
struct Signs {
    readiness: watch::Receiver<Readiness>,
    refusal: watch::Receiver<Option<RegistrationRefusal>>,
}

/// How one of the two parts ended.
enum PartEnd {
    Agent(Result<Drained, AgentError>),
    Server(Result<Ended, RouterError>),
}

/// How a node ended.
#[derive(Debug, Default)]
pub(crate) struct Farewell {
    /// What the agent has left; none if it did not end in time.
    pub(crate) agent: Option<Drained>,
    /// How the server ended; none if it did not end in time.
    pub(crate) server: Option<Ended>,
}

impl Node {
    /// Starts a node and waits until it takes requests and its own agent takes jobs.
    ///
    /// # Errors
    /// When the directory or the port cannot be had, what is in the directory cannot be used, or the agent is not ready in time.
    ///
    /// # Cancel safety
    /// Dropping the future ends what was started.
    pub(crate) async fn start(plan: Plan) -> Result<Self, NodeError> {
        let dir = DataDir::open(plan.layout.clone())?;
        let listener = osapi_server::bind(plan.listen).await?;
        let hostname = startup::hostname();
        let (config, host) = (plan.config.clone(), hostname.clone());
        let home = tokio::task::spawn_blocking(move || Home::open(dir, &config, &host))
            .await
            .map_err(|panic| NodeError::Io("open the data directory", panic.into()))??;
        let (mut node, signs) = Self::assemble(home, listener, plan, hostname).await?;
        node.until_ready(signs).await?;
        Ok(node)
    }

    async fn assemble(
        home: Home,
        listener: TcpListener,
        plan: Plan,
        hostname: String,
    ) -> Result<(Self, Signs), NodeError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let Home { dir, keys, agent, rules, store } = home;
        let (store, bus) = (Arc::new(store), Arc::new(EmbeddedBus::new()));
        let (fleet, root) = (keys.fleet(), keys.root.public());
        let address = listener
            .local_addr()
            .map_err(|error| NodeError::Io("tell the port that was taken", error))?;

        found_key_ring(&*store, &keys.ring, &root).await?;
        let (job_dir, token_dir) = (dir.layout().clone(), dir.layout().clone());
        let mut job_key = CurrentKey::new(keys.job, KeyUse::Job, move || Keys::job_key(&job_dir));
        let mut token_key =
            CurrentKey::new(keys.token, KeyUse::Token, move || Ok(TokenKey::open(&token_dir)?.key));
        let issuing = token_key.key();
        let controller = Controller::start(controller::Parts {
            store: store.clone(),
            bus: bus.clone(),
            clock: clock.clone(),
            root,
            job_key: job_key.key(),
            denials: never_denied(),
            config: osapi_server::controller_config(&plan.config),
        })
        .await?;
        let name = agent.keys.identity.name.clone();
        let labels = plan.config.agent.labels();
        let (config, host) = (&plan.config.agent, hostname.clone());
        let agent = osapi_agent::agent(agent, bus, never_denied(), config, rules, labels, host);
        let signs = Signs { readiness: agent.readiness(), refusal: agent.refusal() };
        let limits = osapi_server::Limits::of(&plan.config.api.server);
        let server = osapi_server::Server {
            controller: controller.clone(),
            roles: plan.roles,
            clock,
            limits,
        };

        let mut chores = JoinSet::new();
        let (for_job, for_token) = (controller.key_ring(), controller.key_ring());
        chores.spawn(async move { job_key.follow(for_job, None).await });
        chores.spawn(async move { token_key.follow(for_token, None).await });
        let (stop_agent, stop_server) = (CancellationToken::new(), CancellationToken::new());
        let mut parts = JoinSet::new();
        let (agent_stop, server_stop) = (stop_agent.clone(), stop_server.clone());
        parts.spawn(async move { PartEnd::Agent(agent.run(agent_stop).await) });
        parts.spawn(async move {
            PartEnd::Server(osapi_server::serve(listener, server, server_stop).await)
        });
        let end_within = plan.config.agent.drain + KILL_GRACE + END_WITHIN;
        let node = Self {
            address,
            name,
            hostname,
            fleet,
            token_key: issuing,
            controller,
            store,
            parts,
            _chores: chores,
            stop_agent,
            stop_server,
            end_within,
            dir,
        };
        Ok((node, signs))
    }

    /// Waits until the store was read, the agent was welcomed, and the controller knows that it takes jobs.
    async fn until_ready(&mut self, signs: Signs) -> Result<(), NodeError> {
        let Signs { mut readiness, refusal } = signs;
        let (controller, name) = (self.controller.clone(), self.name.clone());
        let ready = async {
            controller.ready().await;
            // When its sender is gone the agent has ended, and that is told by the other branch.
            if readiness.wait_for(|readiness| *readiness == Readiness::Ready).await.is_err() {
                std::future::pending::<()>().await;
            }
            controller.agent_ready(&name).await;
        };
        tokio::select! {
            () = ready => Ok(()),
            error = self.failed() => Err(error),
            // Whoever was removed asks for ever.
            why = osapi_agent::until_refused(refusal) => Err(self.refused(why)),
            () = tokio::time::sleep(READY_WITHIN) => Err(NodeError::NotReady(self.name.clone())),
        }
    }

    fn refused(&self, why: RegistrationRefusal) -> NodeError {
        let agent = self.dir.layout().agent();
        NodeError::Refused { name: self.name.clone(), why, agent }
    }

    /// Waits until a part ends that was not told to, and says why.
    ///
    /// # Cancel safety
    /// May be dropped and called again as long as it has not returned.
    pub(crate) async fn failed(&mut self) -> NodeError {
        match self.parts.join_next().await {
            Some(Ok(PartEnd::Agent(Err(error)))) => NodeError::Agent(error),
            Some(Ok(PartEnd::Server(Err(error)))) => NodeError::Server(error),
            Some(Ok(PartEnd::Agent(Ok(_)))) => NodeError::Ended("agent"),
            Some(Ok(PartEnd::Server(Ok(_)))) => NodeError::Ended("server"),
            Some(Err(panic)) => NodeError::Io("go on after a failure inside", panic.into()),
            None => NodeError::Ended("node"),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for a client on this machine.
    pub(crate) fn url(&self) -> String {
        local_url(self.address)
    }

    /// The agent's name.
    pub(crate) fn name(&self) -> &AgentName {
        &self.name
    }

    /// Makes tokens for the command line of this machine.
    pub(crate) fn issuer(&self) -> Issuer {
        Issuer {
            key: self.token_key.clone(),
            fleet: self.fleet,
            subject: format!("cli@{}", self.hostname),
            clock: Arc::new(SystemClock),
        }
    }

    /// Ends the node: first the agent, so that who waits for a command still gets its outcome, then the server, then what they
    /// stood on.
    pub(crate) async fn stop(mut self) -> Farewell {
        let mut farewell = Farewell::default();
        let stopping = async {
            self.stop_agent.cancel();
            while let Some(end) = self.parts.join_next().await {
                match end {
                    Ok(PartEnd::Agent(Ok(drained))) => farewell.agent = Some(drained),
                    Ok(PartEnd::Server(Ok(ended))) => farewell.server = Some(ended),
                    Ok(PartEnd::Agent(Err(error))) => log("agent", &error),
                    Ok(PartEnd::Server(Err(error))) => log("server", &error),
                    Err(panic) => log("part of the node", &panic),
                }
                self.stop_server.cancel();
            }
            self.controller.stop().await;
        };
        if tokio::time::timeout(self.end_within, stopping).await.is_err() {
            tracing::error!("the node did not end in time and is cut");
            self.parts.shutdown().await;
        }
        self.store.close().await;
        farewell
    }
}

fn log(part: &str, error: &(dyn std::error::Error + 'static)) {
    tracing::error!(error, "{part} failed");
}

/// The base URL of a listener on `address`, for a client on the same machine.
pub(crate) fn local_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use osapi_client::Client;
    use osapi_client::types::AgentState;

    use super::*;

    fn plan(directory: &tempfile::TempDir) -> Plan {
        Plan {
            layout: Layout::at(directory.path().join("osapi")),
            config: Config::default(),
            roles: Roles::default(),
            listen: "127.0.0.1:0".parse().unwrap(),
        }
    }

    fn client(node: &Node) -> Client {
        let (token, _) = node.issuer().issue().unwrap();
        Client::builder(node.url()).token(token.as_str()).build().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_that_started_takes_jobs_at_once_and_remembers_them() {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::start(plan(&directory)).await.unwrap();
        let agents = client(&node).agents().list().await.unwrap().agents;
        assert_eq!((&agents[0].name, agents[0].state), (node.name(), AgentState::Ready));
        let outcome = client(&node).node("_any").facts().send().await.unwrap();
        assert!(outcome.success());

        let farewell = node.stop().await;
        assert_eq!(farewell.agent, Some(Drained::default()));
        assert_eq!(farewell.server, Some(Ended::Drained));

        let again = Node::start(plan(&directory)).await.unwrap();
        let job = client(&again).jobs().get(outcome.job_id()).await.unwrap();
        assert_eq!(job.summary.status, outcome.status());
        again.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_directory_and_a_port_belong_to_one_node() {
        let directory = tempfile::tempdir().unwrap();
        let node = Node::start(plan(&directory)).await.unwrap();
        let error = Node::start(plan(&directory)).await.err().unwrap();
        assert!(matches!(error, NodeError::DataDir(_)), "{error}");
        let elsewhere = tempfile::tempdir().unwrap();
        let plan = Plan { listen: node.address(), ..plan(&elsewhere) };
        let error = Node::start(plan).await.err().unwrap();
        assert!(matches!(error, NodeError::Bind(_)), "{error}");
        node.stop().await;
    }

    #[test]
    fn a_client_on_this_machine_does_not_connect_to_every_address() {
        for (listened, reached) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.1:8080", "192.0.2.1:8080"),
        ] {
            assert_eq!(local_url(listened.parse().unwrap()), format!("http://{reached}"));
        }
    }
}
