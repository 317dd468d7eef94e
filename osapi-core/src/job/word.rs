//! The ephemeral words of agents on executions. They are hints: they shape the view, and never a final state.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{Identity, InstanceId};

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// In the journal, waiting for a slot.
    Accepted,
    /// Started at this moment of the agent's wall clock.
    Started {
        /// The moment.
        at: Timestamp,
    },
    /// The queue is full.
    Busy,
    /// Not taken; nothing was journaled.
    Refused(Refusal),
}

/// Why an agent did not take an order. Nothing was journaled, so it may still take it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Too large.
    TooLarge,
    /// Signed with a key that is not in the ring, or for another use.
    UnknownKey,
    /// The signature does not verify.
    BadSignature,
    /// Not an order of this fleet, or of a version that this build does not know.
    Unsupported,
    /// Its own identity is not in the signed set.
    NotAddressed,
    /// The job is known with another body.
    OtherBody,
    /// It may have been known, and was forgotten.
    NoMemory,
    /// No welcome yet.
    NotReady,
    /// The clocks disagree too much.
    ClockSkew,
    /// The journal cannot be written.
    Journal,
    /// Its claim is another's, or void.
    Claimed,
    /// The host does not perform it: its policy, or what it can do, forbids it.
    Policy,
    /// The agent is shutting down.
    Draining,
    /// Its start deadline has passed.
    Late,
}

/// Why an execution is not in its agent's journal, by the agent's last word on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// The agent's queue was full.
    Busy,
    /// The agent did not take the order.
    Refused(Refusal),
}

/// Where a hello lists a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Among the jobs that have started.
    Running,
    /// Among the jobs that wait for a slot.
    Accepted,
    /// Nowhere.
    No,
}

/// One word on one execution, as a controller heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Who said so.
    pub identity: Identity,
    /// In which run of the agent's process.
    pub instance: InstanceId,
    /// When it was heard, by the controller's wall clock.
    pub at: Timestamp,
    /// The word.
    pub word: Word,
}

/// A word on an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// A receipt for it.
    Receipt(ReceiptKind),
    /// A hello, and where it lists the job.
    Hello(Listed),
}

/// How far an agent says that an execution has come. The greater of two words is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// It is in the journal.
    Accepted,
    /// It has started, at this moment of the agent's wall clock if that is known.
    Running(Option<Timestamp>),
}

/// What is left of all words of one agent on one execution.
///
/// Within one run of the agent's process words only lead forward. A word of another run voids what was said before; a receipt of the run
/// that was voided last comes late and says nothing, while a hello always counts, so that a mistake is repaired by the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Words {
    instance: Option<InstanceId>,
    voided: Option<InstanceId>,
    said: Option<Said>,
    not_taken: Option<NotTaken>,
}

impl Words {
    /// Takes in one word.
    pub fn absorb(&mut self, instance: InstanceId, word: Word) {
        match word {
            Word::Receipt(_) if self.voided == Some(instance) => return,
            Word::Receipt(_) | Word::Hello(_) => self.enter(instance),
        }
        match word {
            Word::Receipt(ReceiptKind::Accepted) | Word::Hello(Listed::Accepted) => {
                self.raise(Said::Accepted);
            }
            Word::Receipt(ReceiptKind::Started { at }) => self.raise(Said::Running(Some(at))),
            Word::Hello(Listed::Running) => self.raise(Said::Running(None)),
            Word::Receipt(ReceiptKind::Busy) => self.not_taken = Some(NotTaken::Busy),
            Word::Receipt(ReceiptKind::Refused(why)) => {
                self.not_taken = Some(NotTaken::Refused(why));
            }
            Word::Hello(Listed::No) => {}
        }
    }

    /// How far the execution has come, if its agent said so in its present run.
    #[must_use]
    pub fn said(&self) -> Option<Said> {
        self.said
    }

    /// Why the agent did not take it, if that was its last word.
    #[must_use]
    pub fn not_taken(&self) -> Option<NotTaken> {
        self.not_taken
    }

    /// The run of the agent's process that was heard last.
    #[must_use]
    pub fn instance(&self) -> Option<InstanceId> {
        self.instance
    }

    fn enter(&mut self, instance: InstanceId) {
        if self.instance != Some(instance) {
            *self = Self { instance: Some(instance), voided: self.instance, ..Self::default() };
        }
    }

    fn raise(&mut self, said: Said) {
        self.said = self.said.max(Some(said));
        self.not_taken = None;
    }
}

impl Word {
    /// Whether it says that the execution is in the agent's journal.
    #[must_use]
    pub fn is_taken(self) -> bool {
        match self {
            Self::Receipt(ReceiptKind::Accepted | ReceiptKind::Started { .. })
            | Self::Hello(Listed::Accepted | Listed::Running) => true,
            Self::Receipt(ReceiptKind::Busy | ReceiptKind::Refused(_))
            | Self::Hello(Listed::No) => false,
        }
    }
}

impl NotTaken {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Refused(why) => why.as_str(),
        }
    }
}

impl Refusal {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Unsupported => "unsupported",
            Self::NotAddressed => "not_addressed",
            Self::OtherBody => "other_body",
            Self::NoMemory => "no_memory",
            Self::NotReady => "not_ready",
            Self::ClockSkew => "clock_skew",
            Self::Journal => "journal",
            Self::Claimed => "claimed",
            Self::Policy => "policy",
            Self::Draining => "draining",
            Self::Late => "late",
        }
    }
}
