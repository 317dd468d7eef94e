//! What a journal keeps: its header, and one record per job.

use serde::{Deserialize, Serialize};

use super::Change;
use crate::clock::Timestamp;
use crate::executor::Handle;
use crate::id::{AgentName, Digest, FleetId, Identity, JournalId, Nonce, PublicKey};
use crate::job::report::Stream;
use crate::job::{Operation, Submitter};
use crate::message::Seen;

/// Whose journal it is. A journal that is found on another machine, or with another key, is not opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The fleet.
    pub fleet: FleetId,
    /// The agent's name.
    pub name: AgentName,
    /// The agent's key.
    pub key: PublicKey,
    /// The machine, e.g. what `/etc/machine-id` says (machine-id(5)).
    pub machine: String,
}

/// What a journal knows beside single jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Whose journal it is.
    pub binding: Binding,
    /// Made with the journal: an agent whose journal was lost is another identity.
    pub journal: JournalId,
    /// The highest key ring serial that was seen; a lower one is refused.
    pub ring: u64,
    /// The highest `iat` of an order that was judged: the clock has been at least there, less the skew.
    pub highest_iat: Timestamp,
    /// The latest start deadline of a job that was forgotten. An unknown job with a deadline up to it may have been known.
    pub forgot_until: Timestamp,
    /// How far the store is known to have come: the proof that outlives a store which is put back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Box<Seen>>,
}

impl Header {
    /// The header of a new journal.
    #[must_use]
    pub fn new(binding: Binding) -> Self {
        let (journal, never) = (JournalId::random(), Timestamp::from_unix_millis(0));
        Self { binding, journal, ring: 0, highest_iat: never, forgot_until: never, seen: None }
    }

    /// Whom orders for this journal's agent are addressed to.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let Binding { name, key, .. } = &self.binding;
        Identity { name: name.clone(), key: *key, journal: self.journal }
    }

    /// Takes over what a change says about the header; no number in it ever goes down. Tells whether it is about the header.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Ring(serial) => self.ring = self.ring.max(*serial),
            Change::HighestIat(iat) => self.highest_iat = self.highest_iat.max(*iat),
            Change::ForgotUntil(until) => self.forgot_until = self.forgot_until.max(*until),
            Change::Seen(seen) => self.seen = Some(seen.clone()),
            Change::Put(..) | Change::Report(..) | Change::Forget(_) => return false,
        }
        true
    }
}

/// What is known of one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// SHA-256 of the signed order; absent if only a cancel was seen, so that the job is barred.
    pub body: Option<Digest>,
    /// The job's start deadline.
    pub not_after: Timestamp,
    /// With which nonce its claim is asked for, where it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    /// How far it got.
    pub stage: Stage,
}

/// How far an execution got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It waits for a slot, or for the answer to its claim request; nothing of it was started.
    Accepted {
        /// What is to be done.
        operation: Box<Operation>,
        /// Who asked. Nobody, where an earlier build wrote it: the local policy then allows what it allows to anybody.
        #[serde(default = "nobody")]
        submitter: Box<Submitter>,
        /// A cancel came while its claim was asked for: it does not start, whatever the answer.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cancelled: bool,
    },
    /// From here on it may have been started, and is never started again.
    Starting,
    /// It was started.
    Running {
        /// How to find what is left of it.
        handle: Handle,
        /// When, by the agent's wall clock.
        at: Timestamp,
    },
    /// How it ended is in its report.
    Ended(Ended),
    /// Its claim is another's, or void: it never starts here, and there is no report.
    Closed,
}

/// An execution whose outcome is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// SHA-256 of the signed report.
    pub report: Digest,
    /// When it was started; absent if it never was.
    pub started_at: Option<Timestamp>,
    /// Streams whose bytes travel in chunks and are not all settled.
    pub chunked: Vec<Chunked>,
    /// Until when it is kept; absent while no controller has answered the report.
    pub keep_until: Option<Timestamp>,
}

/// A stream whose kept bytes travel in chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunked {
    /// Which stream.
    pub stream: Stream,
    /// How many bytes were kept.
    pub kept: u64,
    /// SHA-256 of the kept bytes.
    pub sha256: Digest,
}

fn nobody() -> Box<Submitter> {
    Box::new(Submitter { subject: String::new(), token_id: String::new(), roles: Vec::new() })
}
