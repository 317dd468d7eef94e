//! What an agent is given, and why it may not begin.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::agent::journal::{Journal, JournalError};
use crate::auth::keys::SigningKey;
use crate::backend::{Bus, Denials};
use crate::clock::Clock;
use crate::executor::Executor;
use crate::id::{PublicKey, SealingKey};
use crate::job::limits::{OUTPUT_KEPT_DEFAULT, QUEUE_MAX, SLOTS_DEFAULT};
use crate::job::{AgentFacts, Labels};

/// What an agent is made of.
pub struct AgentParts {
    /// How it speaks with controllers.
    pub bus: Arc<dyn Bus>,
    /// What it remembers; its header says under which name.
    pub journal: Arc<dyn Journal>,
    /// What performs operations.
    pub executor: Arc<dyn Executor>,
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// Its key: the one that the journal is bound to.
    pub key: Arc<SigningKey>,
    /// The fleet's root key.
    pub root: PublicKey,
    /// The host's full host name.
    pub hostname: String,
    /// Version of the build.
    pub version: String,
    /// The public half of its sealing key.
    pub sealing: SealingKey,
    /// By which targets find the host.
    pub labels: Labels,
    /// What kind of host it is.
    pub facts: AgentFacts,
    /// What the broker denies the agent's connection. See [`never_denied`](crate::backend::never_denied).
    pub denials: watch::Receiver<Denials>,
    /// A directory of its own for the output of commands. It is made if it is missing.
    pub spool: PathBuf,
    /// Its bounds.
    pub limits: Limits,
}

#[cfg(feature = "crash-points")]
impl AgentParts {
    /// The same parts, which crash where they are told to.
    pub(super) fn with_crash_points(self) -> Self {
        Self {
            bus: crate::crash::bus(self.bus),
            journal: crate::crash::journal(self.journal),
            executor: crate::crash::executor(self.executor),
            ..self
        }
    }
}

/// The bounds of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Executions at once.
    pub slots: usize,
    /// Accepted jobs that may wait for a slot.
    pub queue: usize,
    /// Bytes kept of each output stream.
    pub output_kept: usize,
    /// How long running commands may go on once the agent is told to end.
    pub drain_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slots: SLOTS_DEFAULT,
            queue: QUEUE_MAX,
            output_kept: OUTPUT_KEPT_DEFAULT,
            drain_grace: Duration::from_secs(10),
        }
    }
}

/// Why an agent did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The journal is bound to another fleet or key.
    #[error("journal belongs to another {0}")]
    OtherJournal(&'static str),
    /// The journal cannot be read.
    #[error("cannot read what was journaled")]
    Journal(#[from] JournalError),
    /// The directory for output cannot be used.
    #[error("cannot use directory {} for output", path.display())]
    Spool {
        /// The directory.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}
