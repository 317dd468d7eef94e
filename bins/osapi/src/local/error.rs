//! Why there is no node.

use std::io;
use std::path::PathBuf;

use osapi_core::agent::AgentError;
use osapi_core::backend::{BusError, embedded};
use osapi_core::controller::FoundingError;
use osapi_core::id::AgentName;
use osapi_core::message::RegistrationRefusal;
use osapi_server::{BindError, RouterError};
use osapi_service::datadir::DataDirError;
use osapi_service::keystore::KeyError;

use super::access::AccessError;
use super::node::READY_WITHIN;
use crate::error::CliError;
use crate::exit::Exit;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] embedded::OpenError),
    #[error(transparent)]
    Founding(#[from] FoundingError),
    #[error(transparent)]
    Policy(#[from] osapi_agent::policy::PolicyError),
    #[error(transparent)]
    Home(#[from] osapi_agent::HomeError),
    #[error("cannot join the bus")]
    Bus(#[from] BusError),
    #[error("cannot make a credential for the command line")]
    Access(#[from] AccessError),
    #[error("the agent failed")]
    Agent(#[source] AgentError),
    #[error("the server failed")]
    Server(#[source] RouterError),
    #[error("the {0} ended by itself")]
    Ended(&'static str),
    #[error("cannot {0}")]
    Io(&'static str, #[source] io::Error),
    #[error("agent '{name}' of this machine is not let in")]
    Refused {
        name: AgentName,
        #[source]
        why: RegistrationRefusal,
        /// Where it keeps its key and its journal.
        agent: PathBuf,
    },
    #[error("agent '{0}' was not ready within {within} s; -d logs why", within = READY_WITHIN.as_secs())]
    NotReady(AgentName),
}

impl From<NodeError> for CliError {
    fn from(error: NodeError) -> Self {
        if let NodeError::Policy(error) = &error {
            return Self::lines(error).exit(Exit::USAGE);
        }
        let told = Self::because("cannot start", &error);
        match &error {
            NodeError::DataDir(DataDirError::InUse { .. }) => told.hint(
                "an 'osapi start' is running there: use it, stop it, or choose another --data-dir",
            ),
            NodeError::DataDir(DataDirError::NotWritable { .. }) => {
                told.hint("choose another one with --data-dir")
            }
            NodeError::Bind(error) if error.source.kind() == io::ErrorKind::AddrInUse => {
                told.hint("--listen 127.0.0.1:PORT chooses another port, and 0 a free one")
            }
            NodeError::Founding(FoundingError::ForeignStore(_)) => told.hint(
                "restore the store and the keys of one fleet together, or move store.redb away to begin an empty store",
            ),
            NodeError::Refused { agent, .. } => told.hint(format!(
                "move '{}' away: the next start makes a new agent there, which old jobs are not for",
                agent.display()
            )),
            _ => told,
        }
    }
}
