//! `start`: server, store and agent in one process until Ctrl-C.

use std::net::SocketAddr;

use osapi_service::config::{self, Level, Loaded, Log};
use osapi_service::signals::Shutdown;
use osapi_service::startup;

use crate::args::{Global, StartArgs};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::local::access::CredentialFile;
use crate::local::node::Farewell;
use crate::local::{Node, NodeError, Plan};
use crate::render::{Screen, Side};

/// Runs the node until a signal, and says how it ended.
pub(crate) async fn run(args: StartArgs, global: &Global, screen: &mut Screen) -> Result<Exit> {
    let loaded = startup::begin(global.osapi_file.clone(), config::DEFAULT_FILE, global.debug)?;
    let layout = super::layout(global)?;
    let shutdown = Shutdown::on_signals()
        .map_err(|error| CliError::because("cannot take over signals", &error))?;
    let asked_to_stop = shutdown.token();
    let listen = args.listen.unwrap_or_else(|| loaded.config.api.server.address());
    let plan = Plan { layout: layout.clone(), config: loaded.config, roles: loaded.roles, listen };
    // Dropping the start on a signal ends what was started; nothing was promised yet.
    let mut node = tokio::select! {
        node = Node::start(plan) => node?,
        () = asked_to_stop.cancelled() => {
            screen.line(Side::Err, "stopped before it was ready")?;
            return Ok(Exit::SUCCESS);
        }
    };
    let written = CredentialFile::write(node.issuer(), layout, node.url());
    let mut credential = match written {
        Ok(credential) => credential,
        Err(error) => {
            node.stop().await;
            return Err(NodeError::from(error).into());
        }
    };
    screen.block(Side::Out, &welcome(&node, global))?;
    if let Some(warning) = exposed(node.address()) {
        screen.line(Side::Err, warning)?;
    }
    let failure = tokio::select! {
        () = asked_to_stop.cancelled() => None,
        error = node.failed() => Some(error),
        () = credential.keep_fresh() => None, // never returns
    };
    // First of all, so that no command line comes to a server that is ending.
    drop(credential);
    screen.line(Side::Err, "stopping; a second Ctrl-C stops at once")?;
    let farewell = node.stop().await;
    screen.line(Side::Err, &told(&farewell))?;
    failure.map_or(Ok(Exit::SUCCESS), |error| Err(error.into()))
}

/// The configuration of this machine.
///
/// # Errors
/// When it cannot be read or is wrong: that is a mistake in what was given.
pub(crate) fn load(global: &Global) -> Result<Loaded> {
    Ok(startup::load(global.osapi_file.clone(), config::DEFAULT_FILE)?)
}

/// Starts the log so that only what fails is in it, unless somebody asks for more by `-d` or `RUST_LOG`: the output of a command is
/// what is looked at.
///
/// # Errors
/// When `RUST_LOG` cannot be understood.
pub(crate) fn log_quietly(log: &Log, debug: bool) -> Result<()> {
    let level = if log.level == Level::Off { Level::Off } else { Level::Error };
    Ok(startup::log(&Log { level, format: log.format }, debug)?)
}

/// Where it listens, and how to run a first command.
fn welcome(node: &Node, global: &Global) -> String {
    let first = match &global.data_dir {
        None => "osapi exec -- uname -a".to_owned(),
        Some(dir) => format!("osapi --data-dir '{}' exec -- uname -a", dir.display()),
    };
    format!(
        "OSAPI {version} listens on {url}; agent '{name}' takes jobs.\n\
         Run a first command in another terminal:\n\n    {first}\n\n\
         Ctrl-C stops it.\n",
        version = env!("CARGO_PKG_VERSION"),
        url = node.url(),
        name = node.name(),
    )
}

/// A warning where others can reach the server.
fn exposed(address: SocketAddr) -> Option<&'static str> {
    let warning = "warning: other machines can reach this server, and what they send, tokens too, travels in the clear: put TLS in front of it";
    (!address.ip().is_loopback()).then_some(warning)
}

/// How it ended, in one line.
fn told(farewell: &Farewell) -> String {
    let server = match &farewell.server {
        Some(ended) => ended.to_string(),
        None => "the server did not end in time".to_owned(),
    };
    format!("stopped: {server}; {}", osapi_agent::told(farewell.agent))
}

#[cfg(test)]
mod tests {
    use osapi_core::agent::Drained;
    use osapi_server::Ended;

    use super::*;

    #[test]
    fn the_end_is_told_in_one_line() {
        let clean = Farewell { agent: Some(Drained::default()), server: Some(Ended::Drained) };
        assert_eq!(told(&clean), "stopped: every request was answered; nothing is left to do");
        assert!(told(&Farewell::default()).contains("did not end in time"));
    }

    #[test]
    fn only_loopback_is_not_warned_about() {
        for (address, warned) in
            [("127.0.0.1:1", false), ("[::1]:1", false), ("0.0.0.0:1", true), ("192.0.2.1:1", true)]
        {
            assert_eq!(exposed(address.parse().unwrap()).is_some(), warned, "{address}");
        }
    }
}
