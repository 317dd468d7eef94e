//! An agent's final word on one execution.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::limits::CHUNK_MAX;
use super::state::ExecutionState;
use crate::clock::Timestamp;
use crate::id::{Digest, FleetId, Identity, JobId};

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The command exited by itself.
    Exited {
        /// Its exit code, 0 to 255.
        code: i32,
    },
    /// A signal that OSAPI did not send ended the command.
    Signaled {
        /// The signal's number (signal(7)).
        signal: i32,
        /// Whether the kernel sent it because the command had reached its limit of memory.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        killed_for_memory: bool,
    },
    /// `Facts` or a custom operation succeeded and returned a value.
    Returned {
        /// The value.
        value: Value,
    },
    /// A custom operation failed by its own account.
    Failed(Failure),
    /// It ran past its timeout; the whole tree was ended.
    TimedOut,
    /// It was cancelled, before the start or while running; the whole tree was ended.
    Cancelled,
    /// It was authentic, for this host, and did not start.
    Rejected(Failure),
    /// Its start deadline passed before it was started.
    Expired,
    /// It was started, and the agent cannot know how it ended.
    Lost,
}

impl Outcome {
    /// The state that a report with this outcome gives.
    #[must_use]
    pub fn state(&self) -> ExecutionState {
        match self {
            Self::Exited { code: 0 } | Self::Returned { .. } => ExecutionState::Succeeded,
            Self::Exited { .. } | Self::Signaled { .. } | Self::Failed(_) => ExecutionState::Failed,
            Self::TimedOut => ExecutionState::TimedOut,
            Self::Cancelled => ExecutionState::Cancelled,
            Self::Rejected(_) => ExecutionState::Rejected,
            Self::Expired => ExecutionState::Expired,
            Self::Lost => ExecutionState::Lost,
        }
    }

    /// The exit code, if the command exited by itself.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        if let Self::Exited { code } = self { Some(*code) } else { None }
    }

    /// The signal's number, if one that OSAPI did not send ended the command.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        if let Self::Signaled { signal, .. } = self { Some(*signal) } else { None }
    }

    /// Whether the kernel ended the command because it had reached its limit of memory.
    #[must_use]
    pub fn is_killed_for_memory(&self) -> bool {
        matches!(self, Self::Signaled { killed_for_memory: true, .. })
    }

    /// What failed, if the operation itself or its start did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) | Self::Rejected(failure) => Some(failure),
            Self::Exited { .. }
            | Self::Signaled { .. }
            | Self::Returned { .. }
            | Self::TimedOut
            | Self::Cancelled
            | Self::Expired
            | Self::Lost => None,
        }
    }
}

/// What failed, in the terms of the one who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct Failure {
    /// A stable word: `start_failed`, `unsupported`, `draining`, `policy`, `invalid`, ...
    pub code: String,
    /// What happened, in one sentence.
    pub message: String,
    /// Which step of a start failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// The system's error number (errno(3)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

impl Failure {
    /// A failure without a step or an error number.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), step: None, errno: None }
    }
}

/// A step of starting a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Entering the working directory.
    Cwd,
    /// Finding and executing the program.
    Program,
    /// Finding and becoming the user as whom it was to run.
    User,
    /// Finding and setting its limits.
    Limit,
    /// Preparing pipes and groups.
    Setup,
}

/// One output stream of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What became of one output stream. The kept bytes are the head and the tail, joined; the gap between them was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Bytes that the command wrote.
    pub total: u64,
    /// Bytes that were kept.
    pub kept: u64,
    /// Of the kept bytes, how many precede the gap. Equal to `kept` if nothing was dropped.
    pub head: u64,
    /// SHA-256 of the kept bytes.
    pub sha256: Digest,
    /// The kept bytes in base64 (RFC 4648 §4) if they travel in the report; else they are in chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// Whether reading stopped before the end, because a process that outlived the command held the pipe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// The hashes of its parts, if it is in chunks. Older agents give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// What a stream in chunks is made of. Nobody signs a chunk: with these, a part of the stream is checked without reading all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Bytes of each part but the last, which may have fewer: those of one chunk, or of several.
    pub size: u64,
    /// SHA-256 of each part, in order.
    pub sha256: Vec<Digest>,
}

impl Parts {
    /// Most parts of a stream: their hashes have to fit into a report. A stream of more chunks has larger parts.
    pub const MOST: u64 = 1024;

    /// The size of the parts of a stream of which `kept` bytes are kept.
    #[must_use]
    pub fn size_for(kept: u64) -> u64 {
        let chunk = CHUNK_MAX as u64;
        chunk * kept.div_ceil(chunk).div_ceil(Self::MOST).max(1)
    }

    /// A stream as a single part.
    #[must_use]
    pub fn single(kept: u64, sha256: Digest) -> Self {
        Self { size: kept.max(CHUNK_MAX as u64), sha256: vec![sha256] }
    }

    /// Whether parts have a size that an agent gives them.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.size >= CHUNK_MAX as u64
    }

    /// The part in which byte `at` of `kept` bytes is, and its hash.
    #[must_use]
    pub fn around(&self, at: u64, kept: u64) -> Option<(Range<u64>, Digest)> {
        let place = at.checked_div(self.size)?;
        let sha256 = self.sha256.get(usize::try_from(place).ok()?)?;
        let start = place * self.size;
        Some((start..start.saturating_add(self.size).min(kept), *sha256))
    }
}

impl StreamReport {
    /// A stream to which nothing was written.
    #[must_use]
    pub fn empty() -> Self {
        let (total, kept, head) = (0, 0, 0);
        let inline = Some(String::new());
        Self { total, kept, head, sha256: Digest::of(b""), inline, incomplete: false, parts: None }
    }
}

/// The signed body of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the report.
    pub v: u8,
    /// The fleet that the agent belongs to.
    pub fleet: FleetId,
    /// The job.
    pub job: JobId,
    /// Whose execution it was, and who signs.
    pub identity: Identity,
    /// How it ended.
    pub outcome: Outcome,
    /// When it was started, by the agent's wall clock; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended, by the agent's wall clock.
    pub ended_at: Timestamp,
    /// From start to end in milliseconds, by a clock that does not step.
    pub duration_ms: u64,
    /// Standard output.
    pub stdout: StreamReport,
    /// Standard error.
    pub stderr: StreamReport,
}
