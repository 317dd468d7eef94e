//! What must stay true, whatever happens.

use super::super::super::Action;
use super::super::world::claims;
use super::orders::SignedBy;
use super::play::Play;
use crate::agent::journal::{Record, Stage};
use crate::executor::Task;
use crate::id::JobId;
use crate::job::{ClaimRule, Outcome};
use crate::message::{ClaimRequest, FromAgent};

pub(super) const TWICE: &str = "it starts twice on one host";
pub(super) const UNSYNCED: &str = "it starts before that is synced";

impl Play {
    fn must(&mut self, is_kept: bool, rule: &'static str) {
        if !is_kept {
            self.broken.insert(rule);
        }
    }

    pub(super) fn check(&mut self, host: usize, action: &Action) {
        match action {
            Action::Start { task, .. } => self.check_start(host, task),
            Action::SendReport(job) => self.check_report(host, *job),
            Action::Send(FromAgent::Claim(_)) => {
                let request = claims(std::slice::from_ref(action)).remove(0);
                self.check_request(host, &request);
                self.requests.push((self.hosts[host].place, request));
            }
            _ => {}
        }
    }

    fn record(&self, host: usize, job: JobId) -> Option<Record> {
        let entries = self.hosts[host].world.entries();
        entries.into_iter().find(|(known, _)| *known == job).map(|(_, record)| record)
    }

    fn check_start(&mut self, host: usize, task: &Task) {
        let (n, job) = (self.number(task.job), task.job);
        let record = self.record(host, job);
        let (sent, server) = (&self.sent[n], self.server());
        let (place, known) = (self.hosts[host].place, &self.hosts[host]);
        let order = &sent.order;

        let is_genuine = known.vouched.contains(&job) && task.operation == order.operation;
        let is_shared = order.claim == ClaimRule::Job;
        let is_elsewhere =
            self.hosts.iter().any(|other| other.place != place && other.started.contains(&job));
        let needs_claim = order.claim != ClaimRule::None;
        let rules = [
            (sent.by != SignedBy::Stranger && is_genuine, "what starts was never ordered"),
            (sent.life == known.life, "it starts on a host that was installed since"),
            (known.world.now.wall < order.not_after, "late by its own clock"),
            (server < order.not_after, "late by the server's clock"),
            (record.is_some_and(|record| record.stage == Stage::Starting), UNSYNCED),
            (!known.refuses(n), "it starts against the policy"),
            (!(is_shared && is_elsewhere), "it starts on two hosts"),
            (!needs_claim || self.claims.holds(place, order), "it starts without the claim"),
            (!needs_claim || known.granted.contains(&job), "it starts before it was told"),
        ];
        for (is_kept, rule) in rules {
            self.must(is_kept, rule);
        }
        let is_first = self.hosts[host].started.insert(job);
        self.must(is_first, TWICE);
        self.hosts[host].owed.insert(job);
    }

    fn check_report(&mut self, host: usize, job: JobId) {
        let n = self.number(job);
        let (order, known) = (&self.sent[n].order, &self.hosts[host]);
        let (Some(record), Some((report, outcome))) = (self.record(host, job), known.report(job))
        else {
            return self.must(false, "a report is sent that the journal does not have");
        };
        // Of a job that was never seen, only its cancel, nobody knows that it needs a claim.
        let is_barred = record.body.is_none();
        let is_claimed = order.claim == ClaimRule::None || self.claims.holds(known.place, order);
        let has_started = known.started.contains(&job);
        let ran = matches!(outcome, Outcome::Exited { .. });
        let never_ran = matches!(outcome, Outcome::Expired | Outcome::Rejected(_));
        let heard_of = if is_barred { &known.cancelled } else { &known.vouched };
        let rules = [
            (heard_of.contains(&job), "a report of what was never ordered, or cancelled"),
            (is_barred || is_claimed, "a report without the claim"),
            (!ran || has_started, "an outcome of what never started"),
            (!never_ran || !has_started, "it ran, and is said not to have"),
        ];
        for (is_kept, rule) in rules {
            self.must(is_kept, rule);
        }
        let first = *self.hosts[host].told.entry(job).or_insert(report);
        self.must(first == report, "two different reports");
    }

    fn check_request(&mut self, host: usize, request: &ClaimRequest) {
        let nonce = self.record(host, request.job).and_then(|record| record.nonce);
        self.must(nonce == Some(request.nonce), "it asks before that is synced");
    }

    /// Nothing more goes wrong: what was started is reported, every claim that was granted as well, and nobody goes on asking.
    pub(super) fn check_settled(&mut self) {
        let is_asking = !self.requests.is_empty();
        self.must(!is_asking, "it asks for ever");
        for host in 0..self.hosts.len() {
            let known = &self.hosts[host];
            let is_reported = known.owed.iter().all(|job| known.told.contains_key(job));
            self.must(is_reported, "an execution without a report");
        }
        let granted: Vec<_> = self.claims.granted().collect();
        for (job, place) in granted {
            let life = self.sent[self.number(job)].life;
            let mut holders = self.hosts.iter().filter(|host| host.place == place);
            // Whoever was wiped has forgotten it.
            let is_reported = holders.any(|host| host.life != life || host.told.contains_key(&job));
            self.must(is_reported, "a claim without a report");
        }
    }
}
