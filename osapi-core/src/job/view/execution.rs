//! What is kept of one execution.

use std::sync::Arc;

use super::{Row, said, started_at, unended};
use crate::clock::Timestamp;
use crate::id::{Identity, InstanceId};
use crate::job::facts::{JobFacts, ReportFacts};
use crate::job::record::{ClaimRule, VoidReason};
use crate::job::state::ExecutionState;
use crate::job::word::{Word, Words};

/// One execution: what records said of it, and until it ended also what its agent said.
#[derive(Debug, Clone)]
pub(super) struct Execution {
    pub(super) identity: Arc<Identity>,
    pub(super) state: ExecutionState,
    standing: Standing,
    accepted_at: Option<Timestamp>,
    /// The first of the agent's reports, whether or not it counts yet: a report may be seen before the claim under which it was made.
    report: Option<Box<ReportFacts>>,
    words: Option<Box<Words>>,
}

/// Whether the execution may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// No: its host is not in the signed set.
    Unreachable,
    /// Yes, or once it is claimed.
    Open,
    /// Yes, its host holds the claim, since then.
    Claimed { at: Timestamp },
    /// No, for ever.
    Void { reason: VoidReason, at: Timestamp },
}

impl Execution {
    pub(super) fn new(identity: Arc<Identity>, unreachable: bool) -> Self {
        let (state, standing) = if unreachable {
            (ExecutionState::Unreachable, Standing::Unreachable)
        } else {
            (ExecutionState::Pending, Standing::Open)
        };
        Self { identity, state, standing, accepted_at: None, report: None, words: None }
    }

    pub(super) fn is_unreachable(&self) -> bool {
        self.standing == Standing::Unreachable
    }

    /// Whether it may still be claimed.
    pub(super) fn is_open(&self) -> bool {
        self.standing == Standing::Open
    }

    /// Whether the claim that `rule` asks for is there.
    pub(super) fn is_entitled(&self, rule: ClaimRule) -> bool {
        match rule {
            ClaimRule::None => self.is_open(),
            ClaimRule::Host | ClaimRule::Job => self.is_claimed(),
        }
    }

    /// The report that counts.
    pub(super) fn report(&self, rule: ClaimRule) -> Option<&ReportFacts> {
        self.report.as_deref().filter(|_| self.is_entitled(rule))
    }

    pub(super) fn on_report(&mut self, report: ReportFacts, rule: ClaimRule) -> bool {
        let is_first = self.report.as_ref().is_none_or(|first| report.place < first.place);
        if is_first {
            self.report = Some(Box::new(report));
        }
        is_first && self.is_entitled(rule)
    }

    /// Its host holds the claim, or nobody ever will. A claim is written once, so the first is the only one.
    pub(super) fn on_claim(&mut self, void: Option<VoidReason>, at: Timestamp) -> bool {
        let is_open = self.is_open();
        if is_open {
            self.standing = match void {
                None => Standing::Claimed { at },
                Some(reason) => Standing::Void { reason, at },
            };
        }
        is_open
    }

    fn is_claimed(&self) -> bool {
        matches!(self.standing, Standing::Claimed { .. })
    }

    pub(super) fn on_word(&mut self, instance: InstanceId, word: Word, at: Timestamp) -> bool {
        if self.state.is_final() {
            return false;
        }
        let before = (self.accepted_at, self.words.as_deref().copied());
        if word.is_taken() {
            self.accepted_at = Some(self.accepted_at.map_or(at, |first| first.min(at)));
        }
        let words = self.words.get_or_insert_default();
        words.absorb(instance, word);
        before != (self.accepted_at, Some(**words))
    }

    /// Brings the state up to date.
    pub(super) fn refresh(&mut self, facts: &JobFacts, known_until: Timestamp) {
        self.state = match (self.standing, self.report(facts.claim)) {
            (Standing::Unreachable, _) => ExecutionState::Unreachable,
            (Standing::Void { reason, .. }, _) => reason.state(),
            (Standing::Open | Standing::Claimed { .. }, Some(report)) => report.state,
            (Standing::Open | Standing::Claimed { .. }, None) => {
                let words = self.words.as_ref().and_then(|words| words.said());
                unended(facts, said(words, self.is_claimed()), known_until)
            }
        };
        if self.state.is_final() {
            self.words = None;
        }
    }

    /// When time alone settles it; absent if it is settled.
    pub(super) fn due(&self, facts: &JobFacts) -> Option<Timestamp> {
        let words = self.words.as_ref().and_then(|words| words.said());
        let due = || facts.due(said(words, self.is_claimed()));
        (!self.state.is_settled()).then(due)
    }

    /// When it settled, bounded by what a lying clock cannot move: between the creation of the job and the end of its last run.
    pub(super) fn settled_at(&self, facts: &JobFacts) -> Option<Timestamp> {
        let last = facts.not_after + facts.run_limit;
        match (self.state, self.standing, self.report(facts.claim)) {
            (state, ..) if !state.is_settled() => None,
            (_, Standing::Unreachable, _) => Some(facts.created_at),
            (_, Standing::Void { at, .. }, _) => Some(at),
            (_, _, Some(report)) => Some(report.ended_at.max(facts.created_at).min(last)),
            (_, _, None) => {
                let words = self.words.as_ref().and_then(|words| words.said());
                Some(facts.due(said(words, self.is_claimed())))
            }
        }
    }

    pub(super) fn row(&self, facts: &JobFacts, cancelled: bool) -> Row<'_> {
        let report = self.report(facts.claim);
        let words = self.words.as_deref().copied().unwrap_or_default();
        Row {
            identity: &self.identity,
            state: self.state,
            cancel_requested: cancelled && !self.state.is_final(),
            accepted_at: self.accepted_at,
            claimed_at: match self.standing {
                Standing::Claimed { at } => Some(at),
                Standing::Unreachable | Standing::Open | Standing::Void { .. } => None,
            },
            started_at: started_at(report, words.said()),
            ended_at: match self.standing {
                Standing::Void { at, .. } => Some(at),
                Standing::Unreachable | Standing::Open | Standing::Claimed { .. } => {
                    report.map(|report| report.ended_at)
                }
            },
            not_taken: words.not_taken(),
            report,
        }
    }
}
