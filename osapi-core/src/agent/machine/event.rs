//! What a [`Machine`](super::Machine) is told, and what it wants done.

use std::fmt;
use std::time::Duration;

use crate::agent::journal::{Change, Chunked, Record};
use crate::agent::upload::Chunk;
use crate::auth::envelope::Signed;
use crate::auth::keys::KeyRing;
use crate::clock::Timestamp;
use crate::executor::{Handle, StopReason, Task};
use crate::id::JobId;
use crate::job::{Outcome, StreamReport};
use crate::message::{FromAgent, Refusal, RegistrationRefusal, ToAgent};

/// What the machine's two clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock. It may be wrong, and it may step.
    pub wall: Timestamp,
    /// Time since boot. It never steps back.
    pub boottime: Duration,
}

/// Names a commit while it is under way. Later commits have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// What became of the two streams of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output. Its bytes are inline if both streams together are small enough for that.
    pub stdout: StreamReport,
    /// Standard error, likewise.
    pub stderr: StreamReport,
}

impl Output {
    /// No output at all.
    #[must_use]
    pub fn empty() -> Self {
        Self { stdout: StreamReport::empty(), stderr: StreamReport::empty() }
    }

    /// The output of an execution that was interrupted: there may have been any, and nobody knows how much.
    #[must_use]
    pub fn unknown() -> Self {
        let stream = StreamReport { incomplete: true, ..StreamReport::empty() };
        Self { stdout: stream.clone(), stderr: stream }
    }
}

/// How an execution ended, by the executor.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The outcome.
    pub outcome: Outcome,
    /// From the start to the end, by a clock that does not step.
    pub duration: Duration,
    /// What it wrote.
    pub output: Output,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The machine was built from a journal and may act. Told first, and once.
    Begin,
    /// The bus can be reached, and the agent's subscriptions are effective.
    LinkUp,
    /// The bus cannot be reached.
    LinkDown,
    /// A controller said something to this agent.
    Message(ToAgent),
    /// A controller asked every agent for a hello.
    Pinged,
    /// A controller told every agent the keys that are valid now.
    KeysChanged(Signed<KeyRing>),
    /// The commit is synced.
    Committed(CommitId),
    /// The commit may not have been kept, for this reason.
    CommitFailed(CommitId, String),
    /// After [`Action::ReopenJournal`]: what the journal really holds, or why it cannot be used yet.
    JournalReopened(Result<Vec<(JobId, Record)>, String>),
    /// An execution has started.
    Started {
        /// The job.
        job: JobId,
        /// How to find it after a crash.
        handle: Handle,
    },
    /// An execution has ended.
    Ended {
        /// The job.
        job: JobId,
        /// How.
        finished: Box<Finished>,
    },
    /// The executor gave up without a word (a defect): something may be left behind.
    Broke(JobId),
    /// What an earlier run of the agent left behind was ended, or not.
    LeftoversEnded {
        /// The job.
        job: JobId,
        /// Why not, if not.
        result: Result<(), String>,
        /// What is there of its output.
        output: Output,
    },
    /// A chunk that was to be sent cannot be read any more.
    ChunkLost {
        /// The job.
        job: JobId,
        /// Which part.
        chunk: Chunk,
    },
    /// The broker has denied the agent's connection something; so often by now.
    Denied(u64),
    /// The time that [`Machine::next_due`](super::Machine::next_due) told has come.
    Due,
    /// The agent is to end.
    Drain,
}

/// What to do. Actions are done in order; a report or chunk that cannot be sent now may be dropped, since it is repeated.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Publish this: hellos and receipts on `h`, the rest on `w`.
    Send(FromAgent),
    /// Publish the signed report that the journal keeps.
    SendReport(JobId),
    /// Publish this part of the kept output.
    SendChunk {
        /// The job.
        job: JobId,
        /// Which part.
        chunk: Chunk,
        /// The stream that it is a part of.
        of: Chunked,
    },
    /// Write this to the journal and tell when it is synced. Commits are written in the order of their ids.
    Commit {
        /// Its id.
        id: CommitId,
        /// The changes, in order.
        changes: Vec<Change>,
    },
    /// A commit failed, and none is under way: open the journal anew and tell what it holds.
    ReopenJournal,
    /// Perform this, now.
    Start {
        /// What is started.
        task: Task,
        /// From when on, by the clock that counts since boot, it must not be started any more.
        start_by: Duration,
    },
    /// Make an execution end.
    Stop(JobId, StopReason),
    /// End what an earlier run of the agent left behind.
    EndLeftovers(Handle),
    /// The kept output of this job is not needed any more.
    DiscardOutput(JobId),
    /// Tell those who read the log.
    Notice(Notice),
    /// The agent has drained and may end.
    Done(Drained),
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Reports that no controller has answered; the journal keeps them.
    pub unanswered: usize,
    /// Accepted jobs that did not start; the journal keeps them.
    pub waiting: usize,
    /// Executions that had not ended.
    pub running: usize,
}

/// What those who read the log should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An order or a cancel was refused.
    Refused(Option<JobId>, Refusal),
    /// Two different orders bear the id of one job.
    OtherBody(JobId),
    /// A cancel was ignored.
    CancelIgnored(Option<JobId>, &'static str),
    /// The host's names do not fit into a registration.
    NotRegistered,
    /// A welcome was ignored.
    WelcomeIgnored(&'static str),
    /// A key ring that was told to everybody was ignored.
    RingIgnored(&'static str),
    /// The agent is not let in.
    KeptOut(RegistrationRefusal),
    /// An answer was ignored.
    AnswerIgnored(Option<JobId>, &'static str),
    /// The store has another report of an execution of this agent.
    Conflict(JobId),
    /// Nobody knows the job of a report any more.
    Gone(JobId),
    /// The journal cannot be written: no new job is taken until it can be.
    JournalFailed(String),
    /// The journal can be written again, and has everything that it lacked.
    JournalRecovered,
    /// An earlier run of the agent left something behind that cannot be ended.
    LeftoversRemain(JobId, String),
    /// Kept output could not be read, so it is missing.
    OutputLost(JobId),
    /// An execution was interrupted by a crash, and its outcome is lost.
    Lost(JobId),
}

impl Notice {
    /// Whether somebody has to look at it.
    #[must_use]
    pub fn is_alarm(&self) -> bool {
        match self {
            Self::OtherBody(_)
            | Self::NotRegistered
            | Self::KeptOut(_)
            | Self::Conflict(_)
            | Self::JournalFailed(_)
            | Self::LeftoversRemain(..)
            | Self::OutputLost(_)
            | Self::Lost(_) => true,
            Self::Refused(..)
            | Self::CancelIgnored(..)
            | Self::WelcomeIgnored(_)
            | Self::RingIgnored(_)
            | Self::AnswerIgnored(..)
            | Self::JournalRecovered
            | Self::Gone(_) => false,
        }
    }

    /// The job that it is about.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        match self {
            Self::Refused(job, _) | Self::CancelIgnored(job, _) | Self::AnswerIgnored(job, _) => {
                *job
            }
            Self::OtherBody(job)
            | Self::Conflict(job)
            | Self::Gone(job)
            | Self::LeftoversRemain(job, _)
            | Self::OutputLost(job)
            | Self::Lost(job) => Some(*job),
            Self::NotRegistered
            | Self::WelcomeIgnored(_)
            | Self::RingIgnored(_)
            | Self::KeptOut(_)
            | Self::JournalFailed(_)
            | Self::JournalRecovered => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(_, why) => write!(f, "order refused: {why:?}"),
            Self::OtherBody(_) => f.write_str("a second order bears the id of a known job"),
            Self::CancelIgnored(_, why) => write!(f, "cancel ignored: {why}"),
            Self::NotRegistered => f.write_str("the host's names do not fit into a registration"),
            Self::WelcomeIgnored(why) => write!(f, "welcome ignored: {why}"),
            Self::RingIgnored(why) => write!(f, "key ring ignored: {why}"),
            Self::KeptOut(why) => write!(f, "not let into the fleet: {why}"),
            Self::AnswerIgnored(_, why) => write!(f, "answer ignored: {why}"),
            Self::Conflict(_) => f.write_str("the store has another report of this execution"),
            Self::Gone(_) => f.write_str("no controller knows the job of this report any more"),
            Self::JournalFailed(why) => {
                write!(f, "journal cannot be written, no new job is taken until it can be: {why}")
            }
            Self::JournalRecovered => f.write_str("journal can be written again"),
            Self::LeftoversRemain(_, why) => {
                write!(f, "what a crash left of this execution cannot be ended: {why}")
            }
            Self::OutputLost(_) => f.write_str("kept output cannot be read"),
            Self::Lost(_) => f.write_str("execution was interrupted, its outcome is lost"),
        }
    }
}
