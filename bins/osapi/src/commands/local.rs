//! `exec --local` and `shell --local`: a node of its own for one command, in a directory that goes with it.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use osapi_service::config::{Config, Loaded};
use osapi_service::datadir::Layout;
use tempfile::TempDir;

use super::connect::Server;
use super::interrupt::Interrupts;
use super::{client, execute, start};
use crate::args::Global;
use crate::args::run::Run;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::local::{Node, NodeError, Plan};
use crate::render::Screen;

/// Requests are over when a node of this kind ends; what is left of a connection is not waited for.
const SERVER_DRAIN: Duration = Duration::from_secs(1);

/// Runs the command and ends everything that was started for it.
///
/// # Errors
/// When the node cannot be started, or the command cannot be sent.
pub(crate) async fn run(run: Run, global: &Global, screen: &mut Screen) -> Result<Exit> {
    let loaded = start::load(global)?;
    start::log_quietly(&loaded.config.log, global.debug)?;
    let mut interrupts = Interrupts::catch()?;
    let directory = tempfile::Builder::new()
        .prefix("osapi-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(|error| CliError::because("cannot make a temporary directory", &error))?;
    let exit = tokio::select! {
        node = Node::start(plan(loaded, &directory)) => {
            on_node(node?, run, &mut interrupts, screen).await
        }
        interrupt = interrupts.next() => Ok(interrupt.exit()),
    };
    let removed = directory.close();
    removed.map_err(|error| CliError::because("cannot remove the temporary directory", &error))?;
    exit
}

/// The configuration of this machine, but for where it listens and how patiently it ends.
fn plan(loaded: Loaded, directory: &TempDir) -> Plan {
    let mut config: Config = loaded.config;
    config.agent.drain = Duration::ZERO;
    config.api.server.drain = SERVER_DRAIN;
    Plan {
        layout: Layout::at(directory.path()),
        config,
        roles: loaded.roles,
        listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
    }
}

async fn on_node(
    node: Node,
    run: Run,
    interrupts: &mut Interrupts,
    screen: &mut Screen,
) -> Result<Exit> {
    let exit = tokio::select! {
        exit = ask(&node, run, screen) => exit,
        interrupt = interrupts.next() => Ok(interrupt.exit()),
    };
    // Ends what still runs, also after an interrupt. A second one stops waiting for that.
    tokio::select! {
        _ = node.stop() => exit,
        interrupt = interrupts.next() => Ok(interrupt.exit()),
    }
}

async fn ask(node: &Node, run: Run, screen: &mut Screen) -> Result<Exit> {
    let (token, _) =
        node.issuer().issue().map_err(|error| CliError::from(NodeError::Access(error.into())))?;
    let client = client::of(&Server { url: node.url(), token: Some(token) })?;
    execute::run(&client, run, &mut Interrupts::elsewhere(), screen).await
}
