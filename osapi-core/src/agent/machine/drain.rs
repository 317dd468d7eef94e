//! Shutting down: nothing new starts, what runs gets a while to end, then it is stopped; reports get a while to be answered.

use std::time::Duration;

use super::{Action, Drained, Machine, Phase, Wake};
use crate::executor::StopReason;
use crate::id::JobId;
use crate::job::limits::KILL_GRACE;

/// How long the last reports may take to be answered.
const LAST_WORDS: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    /// It is not shutting down.
    No,
    /// What runs may end by itself.
    Waiting,
    /// What still ran was told to stop.
    Stopping,
    /// It has said how it ended.
    Done,
}

impl Machine {
    pub(super) fn start_draining(&mut self) {
        if self.drain == Drain::No {
            self.drain = Drain::Waiting;
            self.hand_back_claims();
            self.timers.set(Wake::Drain, self.now.boottime + self.config.drain_grace);
        }
    }

    /// The time that was given is over.
    pub(super) fn lose_patience(&mut self) {
        match self.drain {
            Drain::Waiting => {
                self.drain = Drain::Stopping;
                let active = self.active();
                let grace = if active.is_empty() { Duration::ZERO } else { KILL_GRACE };
                for job in active {
                    self.do_it(Action::Stop(job, StopReason::Shutdown));
                }
                self.timers.set(Wake::Drain, self.now.boottime + grace + LAST_WORDS);
            }
            Drain::Stopping => self.say_done(),
            Drain::No | Drain::Done => {}
        }
    }

    pub(super) fn check_drained(&mut self) {
        let is_draining = matches!(self.drain, Drain::Waiting | Drain::Stopping);
        if is_draining
            && self.writes.is_idle()
            && self.busy == 0
            && self.active().is_empty()
            && (self.unanswered() + self.ending_claims() == 0
                || !self.session.is_up()
                || self.writes.is_broken())
        {
            self.say_done();
        }
    }

    fn say_done(&mut self) {
        self.drain = Drain::Done;
        let drained = Drained {
            unanswered: self.unanswered(),
            waiting: self.deadlines.len() + self.accepting + self.ending_claims(),
            running: self.active().len(),
        };
        self.do_it(Action::Done(drained));
    }

    /// Jobs of which something may be running.
    fn active(&self) -> Vec<JobId> {
        let is_active = |phase: &Phase| {
            matches!(phase, Phase::Launched | Phase::Running { .. } | Phase::Leftovers { .. })
        };
        self.open.iter().filter(|job| is_active(&self.jobs[*job].phase)).copied().collect()
    }

    fn unanswered(&self) -> usize {
        let is_unanswered = |phase: &Phase| match phase {
            Phase::Settling { .. } => true,
            Phase::Ended(delivery) => delivery.ended.keep_until.is_none(),
            _ => false,
        };
        self.jobs.values().filter(|job| is_unanswered(&job.phase)).count()
    }
}
