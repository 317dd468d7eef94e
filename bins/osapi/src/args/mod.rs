//! What can be typed: one definition of every command, option and value. Help texts of commands that call one endpoint are the
//! endpoint's own summary.

pub(crate) mod bytes;
pub(crate) mod csv;
pub(crate) mod duration;
pub(crate) mod input;
pub(crate) mod key;
pub(crate) mod nats;
pub(crate) mod remote;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod target;
pub(crate) mod token;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use osapi_core::api::Endpoint as _;
use osapi_core::api::endpoints::{CommandExec, CommandShell};

use crate::exit;

pub(crate) use nats::NatsCommand;
pub(crate) use remote::Remote;
pub(crate) use run::{ExecArgs, ShellArgs};
pub(crate) use token::TokenCommand;

/// Run commands on one Linux host, on some, or on all of them, and know for every one what happened.
#[derive(Debug, Parser)]
#[command(name = "osapi", version, arg_required_else_help = true, after_help = ENVIRONMENT)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const ENVIRONMENT: &str = "\
Environment:
  OSAPI_URL    where the API server listens, instead of the local one
  OSAPI_TOKEN  the access token, instead of the credential that 'osapi start'
               keeps in its data directory";

/// Options that every command takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct Global {
    /// Configuration file [default: /etc/osapi/osapi.yaml, if it exists]
    #[arg(short = 'f', long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) osapi_file: Option<PathBuf>,
    /// Where keys, store and journal are [default: $XDG_DATA_HOME/osapi; for root /var/lib/osapi]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Log what happens to standard error
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) debug: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(about = CommandExec::INFO.summary, after_help = exit::TABLE)]
    Exec(ExecArgs),
    #[command(about = CommandShell::INFO.summary, after_help = exit::TABLE)]
    Shell(ShellArgs),
    #[command(flatten)]
    Remote(Remote),
    /// The same commands by their full names
    #[command(subcommand)]
    Client(Remote),
    /// Make and check access tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Set up the broker of a fleet
    #[command(subcommand)]
    Nats(NatsCommand),
    /// Run API server, store and agent in one process until Ctrl-C
    Start(StartArgs),
}

/// Options of `start`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct StartArgs {
    /// Address and port to listen on, instead of the configured ones; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub(crate) struct Format {
    /// Print the API's JSON
    #[arg(short, long)]
    pub(crate) json: bool,
    /// Leave control characters as they are, also on a terminal
    #[arg(long)]
    pub(crate) raw: bool,
}

#[cfg(test)]
mod tests;
