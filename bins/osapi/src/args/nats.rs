//! `nats ..` and `agent invite`: what is made without a server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use osapi_core::backend::nats::Namespace;
use osapi_core::id::AgentName;
use osapi_core::job::label::Label;

use crate::nats::Node;

/// What can be done for the broker.
#[derive(Debug, Subcommand)]
pub(crate) enum NatsCommand {
    /// Write a configuration for nats-server in operator mode, and what API servers need; makes the keys of a fleet if there are none
    Config(NatsConfigArgs),
}

/// Options of `nats config`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct NatsConfigArgs {
    /// Directory to make; it must not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Where the server listens for clients
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:4222",
        conflicts_with = "node"
    )]
    pub(crate) listen: SocketAddr,
    /// Address by which API servers and hosts reach the broker, if it is not where it listens; may be repeated
    #[arg(long = "server", value_name = "URL")]
    pub(crate) servers: Vec<String>,
    /// What all names in the broker begin with [default: as it was, at first osapi]
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<Namespace>,
    /// Name of the server
    #[arg(long, value_name = "NAME", default_value = "osapi", conflicts_with = "node")]
    pub(crate) server_name: AgentName,
    /// Where each server keeps streams on its machine [default: jetstream/NAME in the directory that is made]
    #[arg(long, value_name = "DIR")]
    pub(crate) store_dir: Option<PathBuf>,
    /// Name of the cluster of the given servers
    #[arg(long, value_name = "NAME", default_value = "osapi", requires = "node")]
    pub(crate) cluster: AgentName,
    /// A server of a cluster, with its own configuration; given three or five times
    #[arg(long, value_name = "NAME=HOST[:PORT[:ROUTE_PORT]]")]
    pub(crate) node: Vec<Node>,
    /// Certificate of the servers, on their machines (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its secret key, on their machines (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_ca"])]
    pub(crate) tls_key: Option<PathBuf>,
    /// Certificates of the authorities that vouch for it, here and on their machines (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    pub(crate) tls_ca: Option<PathBuf>,
}

/// Options of `agent invite`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct InviteArgs {
    /// Name under which the host joins
    pub(crate) name: AgentName,
    /// File to write; it must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Label of the host, by which targets find it; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<Label>,
    /// Address by which the host reaches the broker, instead of those of 'nats config'; may be repeated
    #[arg(long = "server", value_name = "URL")]
    pub(crate) servers: Vec<String>,
}
