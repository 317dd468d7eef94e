//! `osapi-server`: from what is typed to how it ended.

mod words;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use osapi_core::auth::keys::KeyUse;
use osapi_core::backend::nats::{Nats, Options};
use osapi_core::clock::SystemClock;
use osapi_core::controller::{Controller, Parts, found_key_ring};
use osapi_service::config::Config;
use osapi_service::datadir;
use osapi_service::fault::Fault;
use osapi_service::keystore::{CurrentKey, PrivateFileError, ServerKeys};
use osapi_service::signals::Shutdown;
use osapi_service::{nats, startup};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::{Limits, Server, bind, controller_config, serve};

/// The file that is read when none is given; it need not exist.
const DEFAULT_FILE: &str = "/etc/osapi/server.yaml";
/// What the controller and the connection may take to end, once every request was answered.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Serve the API of a fleet.
#[derive(Debug, Parser)]
#[command(name = "osapi-server", version)]
struct Args {
    /// Configuration file [default: /etc/osapi/server.yaml, if it exists]
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where 'keys' is, if the configuration does not say it [default: $XDG_DATA_HOME/osapi; for root /var/lib/osapi]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on, instead of the configured ones; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Log what happens in detail
    #[arg(short, long)]
    debug: bool,
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    startup::run(run(Args::parse()))
}

async fn run(args: Args) -> Result<(), Fault> {
    let loaded = startup::begin(args.file, DEFAULT_FILE, args.debug)?;
    let config = loaded.config;
    let no_signals = |error| Fault::because("cannot take over signals", &error);
    let shutdown = Shutdown::on_signals().map_err(no_signals)?;
    let reload = signal(SignalKind::hangup()).map_err(no_signals)?;
    let stop = shutdown.token();
    let (keys, dir) = keys(&config, args.data_dir)?;
    let listen = args.listen.unwrap_or_else(|| config.api.server.address());
    let started = tokio::select! {
        started = Started::start(&config, keys, dir, listen) => started?,
        () = stop.cancelled() => {
            startup::say("stopped before NATS was reached");
            return Ok(());
        }
    };
    let Started { nats, controller, listener, mut job_key } = started;
    let server = Server {
        controller: controller.clone(),
        roles: loaded.roles,
        clock: Arc::new(SystemClock),
        limits: Limits::of(&config.api.server),
    };
    let ended = tokio::select! {
        ended = serve(listener, server, stop) => ended,
        never = say_ready(&controller) => match never {},
        never = job_key.follow(controller.key_ring(), Some(reload)) => match never {},
    };
    let ended = ended.map_err(|error| Fault::because("the server failed", &error))?;
    let rest = async {
        controller.stop().await;
        nats.close().await;
    };
    let rest = match tokio::time::timeout(END_WITHIN, rest).await {
        Ok(()) => "",
        Err(_) => "; the controller did not end in time",
    };
    startup::say(&format!("stopped: {ended}{rest}"));
    Ok(())
}

/// The keys of this server, and where they are.
fn keys(config: &Config, data_dir: Option<PathBuf>) -> Result<(ServerKeys, PathBuf), Fault> {
    let dir = match &config.api.server.keys {
        Some(dir) => dir.clone(),
        None => datadir::locate(data_dir)
            .map_err(|error| Fault::because("no key directory", &error).exit(Fault::USAGE))?
            .keys(),
    };
    let keys = ServerKeys::open(&dir).map_err(|error| words::no_keys(&error))?;
    if ServerKeys::has_root_secret(&dir).map_err(|error| words::no_keys(&error))? {
        tracing::warn!("{}", words::root_secret(&dir));
    }
    Ok((keys, dir))
}

async fn say_ready(controller: &Controller) -> Infallible {
    controller.ready().await;
    tracing::info!("ready: the store was read");
    std::future::pending().await
}

/// All that a server needs, at work.
struct Started {
    nats: Nats,
    controller: Controller,
    listener: TcpListener,
    job_key: CurrentKey,
}

impl Started {
    /// Connects, opens the store, and listens. Dropping the future ends what was begun.
    async fn start(
        config: &Config,
        keys: ServerKeys,
        dir: PathBuf,
        listen: SocketAddr,
    ) -> Result<Self, Fault> {
        let secrets = |error: PrivateFileError| {
            Fault::because("cannot read what the configuration names", &error).exit(Fault::USAGE)
        };
        let options = Options {
            servers: config.nats.servers.clone(),
            namespace: config.nats.namespace.clone().unwrap_or_default(),
            login: nats::login(&config.nats).map_err(secrets)?,
            tls: nats::tls(&config.nats.tls),
            name: format!("osapi-server {}", startup::hostname()),
            agent: None,
        };
        let store_options = nats::store_options(config).map_err(secrets)?;
        let nats = nats::connect(&options).await.map_err(|error| words::not_connected(&error))?;
        let store = nats::open_store(&nats, &store_options).await;
        let store = store.map_err(|error| Fault::because("cannot start", &error))?;
        let cannot_listen = |error| Fault::because("cannot start", &error);
        let listener = bind(listen).await.map_err(cannot_listen)?;
        let found = found_key_ring(&store, &keys.ring, &keys.root).await;
        found.map_err(|error| words::not_founded(&error))?;
        let job_key = CurrentKey::new(keys.job, KeyUse::Job, move || ServerKeys::job_key(&dir));
        let controller = Controller::start(Parts {
            store: Arc::new(store),
            bus: Arc::new(nats.bus()),
            clock: Arc::new(SystemClock),
            root: keys.root,
            job_key: job_key.key(),
            denials: nats.denials(),
            config: controller_config(config),
        })
        .await
        .map_err(|error| Fault::because("cannot start", &error))?;
        let address = listener
            .local_addr()
            .map_err(|error| Fault::because("cannot tell the port that was taken", &error))?;
        startup::say(&words::listens(address, keys.root.fleet()));
        Ok(Self { nats, controller, listener, job_key })
    }
}
