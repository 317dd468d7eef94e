//! The view of one job, kept incrementally.

use std::sync::Arc;

use super::execution::Execution;
use super::{Row, known_until};
use crate::clock::Timestamp;
use crate::id::{AgentName, Identity, InstanceId};
use crate::job::facts::{JobFacts, ReportFacts, StoredReport};
use crate::job::record::{ClaimRecord, ClaimRule, Holder, Host, JobRecord};
use crate::job::state::{JobStatus, Tally};
use crate::job::timeline::{self, Moment};
use crate::job::word::{Listed, ReceiptKind, Word};

/// What a controller keeps in memory of one job. See the [module](super) for what it is told and what it shows.
#[derive(Debug, Clone)]
pub struct JobView {
    facts: JobFacts,
    /// In the order of their names.
    executions: Box<[Execution]>,
    /// Which one is shown, where only one is.
    shown: usize,
    /// Claims that the job asks for and that are not there.
    unclaimed: usize,
    tally: Tally,
    cancel: Option<Timestamp>,
    known_until: Timestamp,
    /// No execution is due before this.
    due: Option<Timestamp>,
}

/// Whether a report of some agent may be written, as far as the view knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission<'a> {
    /// It would be the first.
    Open,
    /// There is one already: the same if [`ReportFacts::signed`] is equal, else it is a conflict.
    Present(&'a ReportFacts),
    /// The job is not addressed to that identity.
    NotAddressed,
    /// The job asks for a claim, and the view knows of none yet: it may be the agent's.
    NotClaimed,
    /// The claim that the job asks for is another's, or void.
    NotTheirs,
}

impl JobView {
    /// The view of a job of which nothing was heard. Each name is in `hosts` once.
    #[must_use]
    pub fn new(record: &JobRecord, hosts: Vec<Host>) -> Self {
        let hosts = hosts.into_iter().map(|host| (Arc::new(host.identity), host.unreachable));
        Self::with_shared(JobFacts::of(record), hosts)
    }

    /// The same with identities that several jobs share; beside each, whether the host was `unreachable`.
    #[must_use]
    pub fn with_shared(
        facts: JobFacts,
        hosts: impl IntoIterator<Item = (Arc<Identity>, bool)>,
    ) -> Self {
        let mut executions: Box<[_]> =
            hosts.into_iter().map(|(who, unreachable)| Execution::new(who, unreachable)).collect();
        let first = executions.iter().find(|first| !first.is_unreachable()).or(executions.first());
        let first = first.map(|first| Arc::clone(&first.identity));
        executions.sort_by(|a, b| a.identity.cmp(&b.identity));
        let shown = first.and_then(|first| position(&executions, &first)).unwrap_or(0);
        let addressed = executions.iter().filter(|execution| execution.is_open()).count();
        let unclaimed = match facts.claim {
            ClaimRule::None => 0,
            ClaimRule::Host => addressed,
            ClaimRule::Job => addressed.min(1),
        };
        let (tally, known_until) = (Tally::default(), Timestamp::from_unix_millis(0));
        let (cancel, due) = (None, None);
        let mut view =
            Self { facts, executions, shown, unclaimed, tally, cancel, known_until, due };
        view.count();
        view
    }

    /// A report is in the store. Its signature is verified, and it is of this fleet.
    pub fn on_report(&mut self, report: StoredReport) -> bool {
        match position(&self.executions, &report.identity) {
            Some(at) if report.job == self.facts.job => {
                let rule = self.facts.claim;
                self.change(at, |execution| execution.on_report(report.facts, rule))
            }
            _ => false,
        }
    }

    /// A claim is in the store.
    pub fn on_claim(&mut self, claim: &ClaimRecord) -> bool {
        if claim.job != self.facts.job {
            return false;
        }
        match (self.facts.claim, &claim.host) {
            (ClaimRule::None, _) | (ClaimRule::Host, None) | (ClaimRule::Job, Some(_)) => false,
            (ClaimRule::Host, Some(name)) => self.claim_one(name, claim),
            (ClaimRule::Job, None) => self.claim_whole(claim),
        }
    }

    /// A cancel, made at `at`, is in the store. It is written once.
    pub fn on_cancel(&mut self, at: Timestamp) -> bool {
        let is_first = self.cancel.is_none();
        self.cancel.get_or_insert(at);
        is_first
    }

    /// A receipt for this job was heard at `now`, by the controller's wall clock.
    pub fn on_receipt(
        &mut self,
        from: &Identity,
        instance: InstanceId,
        kind: ReceiptKind,
        now: Timestamp,
    ) -> bool {
        self.on_word(from, instance, Word::Receipt(kind), now)
    }

    /// A hello of a host was heard at `now`, which lists this job so.
    pub fn on_hello(
        &mut self,
        from: &Identity,
        instance: InstanceId,
        listed: Listed,
        now: Timestamp,
    ) -> bool {
        self.on_word(from, instance, Word::Hello(listed), now)
    }

    /// Time has passed. `now` is the moment at which the view was last known current; `connected_since` is absent while the controller
    /// is not connected.
    pub fn settle(&mut self, now: Timestamp, connected_since: Option<Timestamp>) -> bool {
        let Some(now) = known_until(now, connected_since) else { return false };
        self.known_until = self.known_until.max(now);
        if self.due.is_none_or(|due| self.known_until < due) {
            return false;
        }
        let before = self.tally;
        for execution in &mut self.executions {
            execution.refresh(&self.facts, self.known_until);
        }
        self.count();
        self.tally != before
    }

    /// The moment from which on [`JobView::settle`] may change something; absent when everything has settled. Before the controller has
    /// been connected for 15 s, and while it is not connected, nothing is settled and this moment stays, in the past: do not wait for it alone.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.filter(|_| !self.is_settled())
    }

    /// Where the job stands.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        self.tally.status(self.cancel.is_some())
    }

    /// How many executions are in which state.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether waiting ends: every execution is final, or `no_answer`.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.tally.is_settled()
    }

    /// Whether nothing can change any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.tally.is_final()
    }

    /// When the job settled, from which its retention counts. Once it has settled this costs a look at every host, before that nothing.
    #[must_use]
    pub fn settled_at(&self) -> Option<Timestamp> {
        let times =
            || self.shown().iter().filter_map(|execution| execution.settled_at(&self.facts));
        self.is_settled().then(|| times().fold(self.facts.created_at, Timestamp::max))
    }

    /// When a cancel was recorded.
    #[must_use]
    pub fn cancel_requested_at(&self) -> Option<Timestamp> {
        self.cancel
    }

    /// The facts of the job record.
    #[must_use]
    pub fn facts(&self) -> &JobFacts {
        &self.facts
    }

    /// The executions as they are shown.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.shown().iter().map(|execution| execution.row(&self.facts, self.cancel.is_some()))
    }

    /// The execution of one host, if it is shown.
    #[must_use]
    pub fn row(&self, host: &AgentName) -> Option<Row<'_>> {
        let shown = self.shown();
        by_name(shown, host).map(|at| shown[at].row(&self.facts, self.cancel.is_some()))
    }

    /// What happened when, as far as is known, earliest first.
    #[must_use]
    pub fn timeline(&self) -> Vec<Moment<'_>> {
        timeline::of(&self.facts, self.cancel, self.rows())
    }

    /// Whether a report of `identity` may be written.
    #[must_use]
    pub fn admission(&self, identity: &Identity) -> Admission<'_> {
        let found = position(&self.executions, identity).map(|at| &self.executions[at]);
        match found.filter(|execution| !execution.is_unreachable()) {
            None => Admission::NotAddressed,
            Some(execution) if !execution.is_entitled(self.facts.claim) => {
                match self.is_unclaimed(execution) {
                    true => Admission::NotClaimed,
                    false => Admission::NotTheirs,
                }
            }
            Some(execution) => {
                execution.report(self.facts.claim).map_or(Admission::Open, Admission::Present)
            }
        }
    }

    /// How many claims that the job asks for are not there: somebody may still take them, or make them void.
    #[must_use]
    pub fn unclaimed_count(&self) -> usize {
        self.unclaimed
    }

    /// Whose claims are not there; where the job is claimed as a whole, the candidate that is shown.
    pub fn unclaimed(&self) -> impl Iterator<Item = &Identity> {
        let open = self.shown().iter().filter(|execution| self.is_unclaimed(execution));
        open.map(|execution| &*execution.identity)
    }

    /// Whether that host may still do anything for the job: its execution is not final, and no other has claimed it.
    #[must_use]
    pub fn is_awaited(&self, identity: &Identity) -> bool {
        position(&self.executions, identity).is_some_and(|at| {
            let execution = &self.executions[at];
            let is_shown = self.facts.claim != ClaimRule::Job || at == self.shown;
            !execution.state.is_final() && (is_shown || self.unclaimed > 0)
        })
    }

    /// Whether that host holds the claim that the job asks for.
    #[must_use]
    pub fn holds_claim(&self, identity: &Identity) -> bool {
        let is_theirs = |at: usize| self.executions[at].is_entitled(self.facts.claim);
        self.facts.claim != ClaimRule::None
            && position(&self.executions, identity).is_some_and(is_theirs)
    }

    fn is_unclaimed(&self, execution: &Execution) -> bool {
        match self.facts.claim {
            ClaimRule::None => false,
            ClaimRule::Host => execution.is_open(),
            ClaimRule::Job => self.unclaimed > 0,
        }
    }

    fn on_word(&mut self, from: &Identity, by: InstanceId, word: Word, at: Timestamp) -> bool {
        position(&self.executions, from)
            .is_some_and(|found| self.change(found, |execution| execution.on_word(by, word, at)))
    }

    fn claim_one(&mut self, name: &AgentName, claim: &ClaimRecord) -> bool {
        let Some(at) = by_name(&self.executions, name) else { return false };
        let (void, is_addressed) = match &claim.holder {
            Holder::Void(reason) => (Some(*reason), true),
            Holder::Agent { identity, .. } => (None, *identity == *self.executions[at].identity),
        };
        let is_first = is_addressed && self.executions[at].is_open();
        self.unclaimed -= usize::from(is_first);
        is_first && self.change(at, |execution| execution.on_claim(void, claim.at))
    }

    /// The claim on the whole job. It is written once, so the first that is told is the only one. The claimant is shown from then on.
    fn claim_whole(&mut self, claim: &ClaimRecord) -> bool {
        let (void, at) = match &claim.holder {
            Holder::Void(reason) => (Some(*reason), Some(self.shown)),
            Holder::Agent { identity, .. } => (None, position(&self.executions, identity)),
        };
        let is_open = |at: &usize| self.executions.get(*at).is_some_and(Execution::is_open);
        match at.filter(|at| is_open(at) && is_open(&self.shown)) {
            None => false,
            Some(at) => {
                self.unclaimed = 0;
                self.executions[at].on_claim(void, claim.at);
                self.executions[at].refresh(&self.facts, self.known_until);
                self.shown = at;
                self.count();
                true
            }
        }
    }

    /// Applies `absorb` to one execution and brings everything that is derived from it up to date.
    fn change(&mut self, at: usize, absorb: impl FnOnce(&mut Execution) -> bool) -> bool {
        let is_shown = self.facts.claim != ClaimRule::Job || at == self.shown;
        let execution = &mut self.executions[at];
        let before = execution.state;
        let news = absorb(execution);
        execution.refresh(&self.facts, self.known_until);
        if is_shown {
            self.tally.remove(before);
            self.tally.add(execution.state);
            self.due = earlier(self.due, execution.due(&self.facts));
        }
        is_shown && (news || before != execution.state)
    }

    fn shown(&self) -> &[Execution] {
        match self.facts.claim {
            ClaimRule::None | ClaimRule::Host => &self.executions,
            ClaimRule::Job => self.executions.get(self.shown..=self.shown).unwrap_or_default(),
        }
    }

    fn count(&mut self) {
        self.tally = self.shown().iter().map(|execution| execution.state).collect();
        self.due = self
            .shown()
            .iter()
            .fold(None, |due, execution| earlier(due, execution.due(&self.facts)));
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

fn by_name(executions: &[Execution], name: &AgentName) -> Option<usize> {
    executions.binary_search_by(|execution| execution.identity.name.cmp(name)).ok()
}

/// Where `identity` is. Another identity under the same name is not the one that the job is addressed to.
fn position(executions: &[Execution], identity: &Identity) -> Option<usize> {
    by_name(executions, &identity.name).filter(|at| *executions[*at].identity == *identity)
}
