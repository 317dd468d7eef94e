//! Rules that hold for every job, whatever is recorded and said of it, in whatever order.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::generators::{Event, World, at, at_s, claim_rule, end_of_time, told, world};
use crate::clock::Timestamp;
use crate::id::Identity;
use crate::job::verdict::{Final, Records, verdict};
use crate::job::view::{JobView, View, known_until, view};
use crate::job::word::{Heard, Said};
use crate::job::{
    ClaimRecord, ClaimRule, ExecutionState, Holder, JobFacts, JobStatus, Row, StoredReport, Tally,
};

/// Everything that was told so far, for computing from scratch.
#[derive(Default)]
struct Told {
    reports: Vec<StoredReport>,
    claims: Vec<ClaimRecord>,
    cancelled: bool,
    words: Vec<Heard>,
    known_until: Option<Timestamp>,
}

impl Told {
    fn all(events: &[Event]) -> Self {
        let mut told = Self::default();
        events.iter().for_each(|event| told.add(event));
        told
    }

    fn add(&mut self, event: &Event) {
        match event.clone() {
            Event::Report(report) => self.reports.push(report),
            Event::Claim(claim) => self.claims.push(claim),
            Event::Cancel(_) => self.cancelled = true,
            Event::Word(heard) => self.words.push(heard),
            Event::Settle { now, connected_since } => {
                self.known_until = self.known_until.max(known_until(now, connected_since));
            }
        }
    }

    fn records<'a>(&'a self, world: &'a World) -> Records<'a> {
        let (job, hosts) = (&world.job, world.hosts.as_slice());
        let (claims, reports) = (self.claims.as_slice(), self.reports.as_slice());
        Records { job, hosts, claims, reports, cancelled: self.cancelled }
    }
}

fn finals(view: &JobView) -> BTreeMap<Identity, ExecutionState> {
    let finals = view.rows().filter(Row::is_final);
    finals.map(|row| (row.identity.clone(), row.state)).collect()
}

fn settled_view(world: &World, events: &[Event]) -> JobView {
    let mut view = world.view();
    for event in events {
        event.tell(&mut view);
    }
    view
}

/// Words end with an execution, so when it was first heard of depends on what came first.
fn without_hints(mut row: Row<'_>) -> Row<'_> {
    row.accepted_at = row.accepted_at.filter(|_| !row.is_final());
    row
}

/// The same events with the reports in store order, as a watch tells them.
fn in_store_order(events: &[Event]) -> Vec<Event> {
    let mut reports: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Report(report) = event { Some(report) } else { None })
        .collect();
    reports.sort_by_key(|report| &report.facts.place);
    let mut reports = reports.into_iter().cloned();
    let in_order = events.iter().map(|event| match event {
        Event::Report(_) => Event::Report(reports.next().unwrap()),
        other => other.clone(),
    });
    in_order.collect()
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_matter((world, one, other) in told(2)) {
        let (one, other) = (settled_view(&world, &one), settled_view(&world, &other));
        let once = settled_view(&world, &world.events);
        prop_assert_eq!(finals(&one), finals(&other));
        prop_assert_eq!(finals(&one), finals(&once));
    }

    #[test]
    fn the_final_states_are_those_of_the_verdict((world, events, _) in told(1)) {
        let told = Told::all(&events);
        let records = told.records(&world);
        let ended = verdict(&records).into_iter().filter_map(|verdict| {
            Some((verdict.host.identity.clone(), verdict.ended?.state()))
        });
        prop_assert_eq!(finals(&settled_view(&world, &events)), ended.collect());
    }

    #[test]
    fn the_kept_view_is_the_full_one((world, events, _) in told(2)) {
        let (mut kept, mut told) = (world.view(), Told::default());
        for event in &events {
            event.tell(&mut kept);
            told.add(event);
            let records = told.records(&world);
            let View { status, rows } = view(&records, &told.words, told.known_until.unwrap_or(at(-1)));
            prop_assert_eq!(kept.status(), status, "after {:?}", event);
            prop_assert_eq!(*kept.tally(), rows.iter().map(|row| row.state).collect::<Tally>());
            prop_assert_eq!(kept.is_settled(), rows.iter().all(|row| row.state.is_settled()));
            prop_assert_eq!(kept.is_final(), rows.iter().all(Row::is_final));
            prop_assert_eq!(kept.settled_at().is_some(), kept.is_settled());
            let kept_rows: Vec<_> = kept.rows().map(without_hints).collect();
            let rows: Vec<_> = rows.into_iter().map(without_hints).collect();
            prop_assert_eq!(kept_rows, rows, "after {:?}", event);
        }
    }

    #[test]
    fn a_final_state_never_changes((world, events, _) in told(2)) {
        let mut view = world.view();
        let mut ended = finals(&view);
        for event in in_store_order(&events) {
            event.tell(&mut view);
            let now = finals(&view);
            for (host, state) in &ended {
                prop_assert_eq!(now.get(host), Some(state), "{:?}: {:?}", event, host);
            }
            ended = now;
        }
    }

    #[test]
    fn time_replaces_nothing_that_is_settled((world, events, _) in told(1)) {
        let mut view = world.view();
        for event in &events {
            let before: Vec<_> = view.rows().map(|row| row.state).collect();
            event.tell(&mut view);
            if let Event::Settle { .. } = event {
                for (before, row) in before.into_iter().zip(view.rows()) {
                    let is_settling = !before.is_settled() && row.state == ExecutionState::NoAnswer;
                    prop_assert!(row.state == before || is_settling, "{before} to {}", row.state);
                }
            }
        }
    }

    #[test]
    fn what_is_told_again_changes_nothing((world, events, _) in told(1)) {
        let mut view = world.view();
        for event in &events {
            event.tell(&mut view);
            let rows: Vec<_> = view.rows().map(|row| format!("{row:?}")).collect();
            prop_assert!(!event.tell(&mut view), "{event:?}");
            prop_assert_eq!(rows, view.rows().map(|row| format!("{row:?}")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_change_is_told((world, events, _) in told(1)) {
        let mut view = world.view();
        for event in &events {
            let before: Vec<_> = view.rows().map(|row| format!("{row:?}")).collect();
            let is_told = event.tell(&mut view);
            let after: Vec<_> = view.rows().map(|row| format!("{row:?}")).collect();
            prop_assert!(is_told || before == after, "{event:?}: {before:?} to {after:?}");
        }
    }

    #[test]
    fn time_settles_everything_when_it_said_it_would((world, events, _) in told(1)) {
        let mut view = world.view();
        for event in events.iter().chain([&end_of_time()]) {
            let (due, settled) = (view.next_due(), view.is_settled());
            prop_assert_eq!(due.is_none(), settled);
            let is_changed = event.tell(&mut view);
            if let (Event::Settle { now, .. }, true) = (event, is_changed) {
                prop_assert!(due.is_some_and(|due| due <= *now));
            }
        }
        prop_assert!(view.is_settled());
        prop_assert_eq!(view.next_due(), None);
        let settled_at = view.settled_at().unwrap();
        prop_assert!((at(0)..=at_s(30 + 25 + 10)).contains(&settled_at), "{settled_at}");
    }

    #[test]
    fn silence_is_told_late_enough((world, events, _) in told(1)) {
        let (mut view, mut silent_until) = (world.view(), None);
        for event in &events {
            if let Event::Settle { now, connected_since: Some(since) } = event
                && since.as_unix_millis() + 15_000 <= now.as_unix_millis()
            {
                silent_until = silent_until.max(Some(*now));
            }
            event.tell(&mut view);
            if view.rows().any(|row| row.state == ExecutionState::NoAnswer) {
                // At the earliest it was started with the creation: 25 s at most, and 10 s for the answer.
                prop_assert!(silent_until >= Some(at_s(25 + 10)), "{silent_until:?}");
            }
        }
    }

    #[test]
    fn under_a_claim_only_its_holder_answers((world, events, _) in told(1)) {
        let told = Told::all(&events);
        let view = settled_view(&world, &events);
        for row in view.rows().filter(|row| row.report.is_some()) {
            let is_own = |claim: &&ClaimRecord| {
                let of = claim.host.as_ref();
                let is_scope = match world.job.claim {
                    ClaimRule::None => false,
                    ClaimRule::Host => of == Some(&row.identity.name),
                    ClaimRule::Job => of.is_none(),
                };
                claim.job == world.job.job
                    && is_scope
                    && matches!(&claim.holder, Holder::Agent { identity, .. } if identity == row.identity)
            };
            let has_own = told.claims.iter().any(|claim| is_own(&claim));
            prop_assert!(world.job.claim == ClaimRule::None || has_own, "{row:?}");
        }
    }

    #[test]
    fn an_unreachable_host_stays_so((world, events, _) in told(1)) {
        let view = settled_view(&world, &events);
        for host in world.hosts.iter().filter(|host| host.unreachable) {
            if let Some(row) = view.row(&host.identity.name) {
                prop_assert_eq!(row.state, ExecutionState::Unreachable);
                prop_assert_eq!(row.report, None);
            }
        }
    }

    #[test]
    fn a_report_counts_if_and_only_if_it_is_the_hosts_own_first(world in world(claim_rule())) {
        let told = Told::all(&world.events);
        for verdict in verdict(&told.records(&world)) {
            let own = told.reports.iter().filter(|report| {
                report.identity == verdict.host.identity && report.job == world.job.job
            });
            let first = own.map(|report| &report.facts).min_by_key(|facts| &facts.place);
            if let Some(Final::Reported(report)) = verdict.ended {
                prop_assert_eq!(Some(report), first);
            } else if world.job.claim == ClaimRule::None && !verdict.host.unreachable {
                prop_assert_eq!(first, None);
            }
        }
    }

    #[test]
    fn a_job_that_is_claimed_as_a_whole_has_one_row(world in world(Just(ClaimRule::Job))) {
        let view = settled_view(&world, &world.events);
        prop_assert_eq!(view.rows().count(), world.hosts.len().min(1));
    }

    #[test]
    fn no_clock_moves_a_deadline_out_of_bounds(claim in claim_rule(), start in any::<u64>()) {
        let facts = JobFacts::of(&super::generators::job(claim));
        let due = facts.due(Some(Said::Running(Some(Timestamp::from_unix_millis(start)))));
        prop_assert!((at_s(25 + 10)..=at_s(30 + 25 + 10)).contains(&due), "{due}");
    }

    #[test]
    fn a_job_has_one_status(
        states in vec(select(ExecutionState::ALL.as_slice()), 0..6),
        cancelled in any::<bool>(),
    ) {
        use ExecutionState as State;
        let status = JobStatus::of(states.iter().copied(), cancelled);
        let all = |is: fn(State) -> bool| states.iter().all(|state| is(*state));
        let any = |is: fn(State) -> bool| states.iter().any(|state| is(*state));
        prop_assert_eq!(status.is_settled(), all(State::is_settled));
        let succeeded = !states.is_empty() && all(|state| state == State::Succeeded);
        prop_assert_eq!(status == JobStatus::Completed, succeeded);
        let said_by_nobody = |state| {
            matches!(
                state,
                State::Pending | State::Accepted | State::Unreachable | State::NotStarted
            )
        };
        match status {
            JobStatus::Pending => prop_assert!(all(said_by_nobody)),
            JobStatus::Running => prop_assert!(!all(said_by_nobody)),
            JobStatus::Completed => {}
            JobStatus::Cancelled => {
                prop_assert!(cancelled && any(|state| state == State::Cancelled));
            }
            JobStatus::Failed => prop_assert!(all(|state| state != State::Succeeded)),
            JobStatus::PartialFailure => {
                prop_assert!(any(|state| state == State::Succeeded));
                prop_assert!(any(|state| state != State::Succeeded));
            }
        }
        let mut tally: Tally = states.iter().copied().collect();
        prop_assert_eq!(tally.status(cancelled), status);
        tally.add(State::Lost);
        tally.remove(State::Lost);
        prop_assert_eq!(tally.status(cancelled), status);
    }
}
