//! Why nothing was measured.

use std::error::Error;
use std::io;

use osapi_core::backend::StoreError;
use osapi_core::backend::embedded::OpenError;
use osapi_service::credential::CredentialError;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Arguments(String),
    #[error("cannot {what}")]
    Io { what: &'static str, source: io::Error },
    #[error("'{command}' ended with {status}")]
    Program { command: String, status: std::process::ExitStatus },
    #[error("'osapi start' did not start:\n{log}")]
    Start { log: String },
    #[error("'osapi start' left no credential")]
    NoCredential,
    #[error("a command did not succeed: job {0}")]
    Command(osapi_client::JobId),
    #[error("no size of a process in '{0}'")]
    Status(&'static str),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Client(#[from] osapi_client::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Controller(#[from] osapi_core::controller::Error),
    #[error(transparent)]
    Founding(#[from] osapi_core::controller::FoundingError),
    #[error(transparent)]
    Bus(#[from] osapi_core::backend::BusError),
    #[error(transparent)]
    Sign(#[from] osapi_core::auth::envelope::SignError),
    #[error(transparent)]
    Ring(#[from] osapi_core::auth::keys::RingError),
    #[error(transparent)]
    Denied(#[from] osapi_core::auth::authorize::Denied),
    #[error(transparent)]
    Target(#[from] osapi_core::job::target::InvalidTarget),
    #[error(transparent)]
    Label(#[from] osapi_core::job::label::InvalidLabel),
    #[error(transparent)]
    Name(#[from] osapi_core::id::InvalidId),
    #[error("a task failed")]
    Task(#[from] tokio::task::JoinError),
}

impl Failure {
    /// Wraps an I/O error with what was attempted.
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// The whole chain, one cause per line.
    pub(crate) fn report(&self) -> String {
        let mut text = format!("error: {self}\n");
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(&format!("  because: {cause}\n"));
            next = cause.source();
        }
        text
    }
}
