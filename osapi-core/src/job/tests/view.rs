//! The view's rules one by one, each at its bound.

use super::generators::{
    agent, at, at_s, claim, host, identity, instance, job, job_id, report, stored,
};
use crate::clock::Timestamp;
use crate::id::Identity;
use crate::job::facts::{JobFacts, ReportFacts};
use crate::job::timeline::Event;
use crate::job::view::{Admission, EXECUTION_SIZE, JobView};
use crate::job::word::{Listed, NotTaken, ReceiptKind};
use crate::job::{
    ClaimRule, ExecutionState as State, Holder, Host, JobStatus, Outcome, Row, StoredReport,
    VoidReason,
};

const EXITED: Outcome = Outcome::Exited { code: 0 };
const STARTED_AT_1: ReceiptKind =
    ReceiptKind::Started { at: Timestamp::from_unix_millis(1_790_000_001_000) };

fn view_of(rule: ClaimRule, hosts: &[usize]) -> JobView {
    JobView::new(&job(rule), hosts.iter().map(|who| host(*who)).collect())
}

fn one_host() -> JobView {
    view_of(ClaimRule::None, &[0])
}

fn states(view: &JobView) -> Vec<State> {
    view.rows().map(|row| row.state).collect()
}

fn receipt(view: &mut JobView, who: usize, kind: ReceiptKind) -> bool {
    view.on_receipt(&identity(who), instance(1), kind, at(500))
}

fn reported(who: usize, outcome: Outcome, n: u64) -> StoredReport {
    stored(&report(who, outcome), n)
}

/// The first millisecond at which time alone settles `view`.
#[track_caller]
fn settles_at(mut view: JobView, due: Timestamp) {
    let connected_since = Some(at(0));
    assert!(view.next_due().is_some_and(|next| next <= due), "it may be early, never late");
    assert!(!view.settle(Timestamp::from_unix_millis(due.as_unix_millis() - 1), connected_since));
    assert!(!view.is_settled());
    assert!(view.settle(due, connected_since));
    assert_eq!((states(&view), view.next_due()), (vec![State::NoAnswer], None));
    assert_eq!((view.status(), view.is_final()), (JobStatus::Failed, false));
    assert_eq!(view.settled_at(), Some(due));
}

#[test]
fn without_a_word_the_deadline_settles() {
    settles_at(one_host(), at_s(30 + 10));
}

#[test]
fn busy_and_refused_are_no_words_but_are_shown() {
    let mut view = one_host();
    assert!(receipt(&mut view, 0, ReceiptKind::Busy));
    let row = view.row(&identity(0).name).unwrap();
    assert_eq!((row.state, row.not_taken), (State::Pending, Some(NotTaken::Busy)));
    settles_at(view, at_s(30 + 10));
}

#[test]
fn accepted_it_may_start_until_the_deadline() {
    let mut view = one_host();
    assert!(receipt(&mut view, 0, ReceiptKind::Accepted));
    assert_eq!((states(&view), view.status()), (vec![State::Accepted], JobStatus::Pending));
    // The earlier deadline may be asked for, and changes nothing.
    assert!(!view.settle(at_s(30 + 10), Some(at(0))));
    settles_at(view, at_s(30 + 25 + 10));
}

#[test]
fn running_since_an_unknown_moment_it_may_have_started_at_the_deadline() {
    let mut view = one_host();
    assert!(view.on_hello(&identity(0), instance(1), Listed::Running, at(500)));
    assert_eq!((states(&view), view.status()), (vec![State::Running], JobStatus::Running));
    assert!(!view.settle(at_s(30 + 10), Some(at(0))));
    settles_at(view, at_s(30 + 25 + 10));
}

#[test]
fn started_it_has_its_time() {
    let mut view = one_host();
    assert!(receipt(&mut view, 0, STARTED_AT_1));
    settles_at(view, at_s(1 + 25 + 10));
}

#[test]
fn a_clock_that_lies_gains_nothing() {
    for (start, due) in [(at_s(3600), at_s(30 + 25 + 10)), (at_s(-3600), at_s(25 + 10))] {
        let mut view = one_host();
        receipt(&mut view, 0, ReceiptKind::Started { at: start });
        settles_at(view, due);
    }
}

#[test]
fn silence_means_nothing_before_15_seconds_of_connection() {
    let mut view = one_host();
    let now = at_s(600);
    assert!(!view.settle(now, None));
    assert!(!view.settle(now, Some(at(600_000 - 14_999))));
    assert_eq!(states(&view), [State::Pending]);
    assert!(view.settle(now, Some(at(600_000 - 15_000))));
    assert_eq!(states(&view), [State::NoAnswer]);
}

#[test]
fn no_answer_outlives_a_lost_connection() {
    let mut view = one_host();
    assert!(view.settle(at_s(600), Some(at(0))));
    assert!(!view.settle(at_s(601), None));
    assert!(!view.settle(at_s(602), Some(at_s(601))));
    assert_eq!(states(&view), [State::NoAnswer]);
}

#[test]
fn a_real_answer_replaces_no_answer() {
    let mut view = one_host();
    view.settle(at_s(600), Some(at(0)));
    assert!(view.on_report(reported(0, EXITED, 0)));
    assert_eq!((states(&view), view.status()), (vec![State::Succeeded], JobStatus::Completed));
    assert!(view.is_final());
    assert_eq!(view.settled_at(), Some(at_s(2)), "when it ended, not when that was heard");
}

#[test]
fn a_late_word_is_waited_for_again() {
    let mut view = one_host();
    view.settle(at_s(30 + 10), Some(at(0)));
    assert!(view.on_hello(&identity(0), instance(1), Listed::Running, at_s(41)));
    assert_eq!(states(&view), [State::Running]);
    settles_at(view, at_s(30 + 25 + 10));
}

#[test]
fn the_first_report_in_store_order_counts() {
    let mut view = one_host();
    assert!(view.on_report(reported(0, EXITED, 4)));
    assert!(!view.on_report(reported(0, Outcome::Lost, 5)), "the next of the same record");
    assert!(!view.on_report(reported(0, Outcome::Lost, 6)), "a later record");
    assert!(!view.on_report(reported(0, EXITED, 4)), "told again");
    assert_eq!(states(&view), [State::Succeeded]);
    assert!(view.on_report(reported(0, Outcome::Lost, 3)), "an earlier record, told later");
    assert_eq!(states(&view), [State::Lost]);
}

#[test]
fn words_of_another_identity_under_the_same_name_say_nothing() {
    let (mut view, namesake) = (one_host(), identity(5));
    assert_eq!(namesake.name, identity(0).name);
    assert!(!view.on_receipt(&namesake, instance(1), ReceiptKind::Accepted, at(1)));
    assert!(!view.on_hello(&namesake, instance(1), Listed::Running, at(1)));
    assert!(!view.on_report(reported(5, EXITED, 0)));
    assert_eq!(states(&view), [State::Pending]);
}

#[test]
fn a_report_of_another_job_says_nothing() {
    let mut view = one_host();
    let other = "019c9f2e-0000-7000-8000-000000000009".parse().unwrap();
    assert!(!view.on_report(StoredReport { job: other, ..reported(0, EXITED, 0) }));
    assert_eq!(view.facts().job, job_id());
    assert_eq!(states(&view), [State::Pending]);
}

#[test]
fn a_claim_comes_before_the_report_that_counts() {
    let mut view = view_of(ClaimRule::Host, &[0]);
    assert!(!view.on_report(reported(0, EXITED, 0)));
    assert_eq!(states(&view), [State::Pending]);
    assert!(view.on_claim(&claim(Some(0), agent(0))));
    assert_eq!(states(&view), [State::Succeeded]);
}

#[test]
fn a_void_claim_ends_it_for_ever() {
    let void = |reason| claim(Some(0), Holder::Void(reason));
    for (reason, state) in
        [(VoidReason::Expired, State::Expired), (VoidReason::Cancelled, State::Cancelled)]
    {
        let mut view = view_of(ClaimRule::Host, &[0]);
        view.on_report(reported(0, EXITED, 0));
        assert!(view.on_claim(&void(reason)));
        assert!(!view.on_claim(&claim(Some(0), agent(0))));
        let row = view.row(&identity(0).name).unwrap();
        assert_eq!((row.state, row.report, row.ended_at), (state, None, Some(at_s(31))));
    }
}

#[test]
fn the_claimant_is_in_the_journal_for_certain() {
    let mut view = view_of(ClaimRule::Host, &[0]);
    assert!(view.on_claim(&claim(Some(0), agent(0))));
    assert_eq!(states(&view), [State::Accepted]);
    settles_at(view, at_s(30 + 25 + 10));
}

#[test]
fn of_candidates_one_is_shown() {
    let mut view = view_of(ClaimRule::Job, &[3, 1, 2]);
    let shown = |view: &JobView| view.rows().map(|row| row.identity.clone()).collect::<Vec<_>>();
    assert_eq!(shown(&view), [identity(3)], "the first as written, not by name");
    assert!(!receipt(&mut view, 1, ReceiptKind::Accepted), "not shown");
    assert_eq!(states(&view), [State::Pending]);
    assert!(view.on_claim(&claim(None, agent(1))));
    assert_eq!((shown(&view), states(&view)), (vec![identity(1)], vec![State::Accepted]));
    assert!(!view.on_report(reported(3, Outcome::Lost, 0)));
    assert!(view.on_report(reported(1, EXITED, 1)));
    assert_eq!((states(&view), view.tally().total()), (vec![State::Succeeded], 1));
    assert_eq!(view.row(&identity(3).name), None);
}

#[test]
fn a_claim_on_the_whole_job_is_never_moved() {
    let void = claim(None, Holder::Void(VoidReason::Expired));
    let mut view = view_of(ClaimRule::Job, &[0, 1]);
    assert!(view.on_claim(&void));
    assert!(!view.on_claim(&claim(None, agent(1))));
    assert_eq!(states(&view), [State::Expired]);
    let mut view = view_of(ClaimRule::Job, &[0, 1]);
    assert!(view.on_claim(&claim(None, agent(1))));
    assert!(!view.on_claim(&claim(None, agent(0))));
    assert!(!view.on_claim(&void));
    assert!(view.row(&identity(1).name).is_some_and(|row| row.state == State::Accepted));
}

#[test]
fn a_clock_that_lies_does_not_move_the_retention() {
    for (ended_at, settled_at) in
        [(at_s(-3600), at(0)), (at_s(7), at_s(7)), (at_s(3600), at_s(30 + 25))]
    {
        let mut view = one_host();
        assert_eq!(view.settled_at(), None);
        let report = crate::job::Report { ended_at, ..report(0, EXITED) };
        view.on_report(stored(&report, 0));
        assert_eq!(view.settled_at(), Some(settled_at));
    }
}

#[test]
fn hosts_are_shown_by_name_with_the_unreachable() {
    let unreachable = Host { unreachable: true, ..host(1) };
    let mut view = JobView::new(&job(ClaimRule::None), vec![host(2), unreachable, host(0)]);
    assert_eq!(states(&view), [State::Pending, State::Unreachable, State::Pending]);
    assert_eq!(view.status(), JobStatus::Pending, "an unreachable host has started nothing");
    view.on_report(reported(2, EXITED, 0));
    view.on_report(reported(0, EXITED, 1));
    assert_eq!(states(&view), [State::Succeeded, State::Unreachable, State::Succeeded]);
    assert_eq!(view.status(), JobStatus::PartialFailure);
}

#[test]
fn a_job_for_unreachable_hosts_is_over_at_once() {
    let hosts = vec![Host { unreachable: true, ..host(0) }];
    let view = JobView::new(&job(ClaimRule::None), hosts);
    assert_eq!((view.status(), view.next_due(), view.is_final()), (JobStatus::Failed, None, true));
    assert_eq!(view.settled_at(), Some(at(0)));
}

#[test]
fn a_cancel_is_requested_until_it_is_certain() {
    let mut view = view_of(ClaimRule::None, &[0, 1]);
    receipt(&mut view, 0, STARTED_AT_1);
    assert!(view.on_cancel(at_s(5)));
    assert!(!view.on_cancel(at_s(5)));
    let requested =
        |view: &JobView| view.rows().map(|row| row.cancel_requested).collect::<Vec<_>>();
    assert_eq!((requested(&view), view.status()), (vec![true, true], JobStatus::Running));
    view.on_report(reported(0, Outcome::Cancelled, 0));
    assert_eq!(requested(&view), [false, true]);
    view.settle(at_s(600), Some(at(0)));
    assert_eq!(requested(&view), [false, true], "no answer is not certain");
    assert_eq!(view.status(), JobStatus::Cancelled);
    view.on_report(reported(1, EXITED, 1));
    assert_eq!((requested(&view), view.status()), (vec![false, false], JobStatus::Cancelled));
}

#[test]
fn a_report_is_admitted_once_and_to_its_host() {
    let mut view =
        JobView::new(&job(ClaimRule::None), vec![host(0), Host { unreachable: true, ..host(1) }]);
    assert_eq!(view.admission(&identity(0)), Admission::Open);
    for stranger in [1, 2, 5, 8] {
        assert_eq!(view.admission(&identity(stranger)), Admission::NotAddressed, "{stranger}");
    }
    let stored = reported(0, EXITED, 0);
    view.on_report(stored.clone());
    assert_eq!(view.admission(&identity(0)), Admission::Present(&stored.facts));
    let mut view = view_of(ClaimRule::Job, &[0, 1]);
    assert_eq!(view.admission(&identity(0)), Admission::NotClaimed);
    view.on_claim(&claim(None, agent(1)));
    assert_eq!(view.admission(&identity(0)), Admission::NotTheirs);
    assert_eq!(view.admission(&identity(1)), Admission::Open);
    let mut view = view_of(ClaimRule::Host, &[0, 1]);
    view.on_claim(&claim(Some(0), Holder::Void(VoidReason::Expired)));
    assert_eq!(view.admission(&identity(0)), Admission::NotTheirs);
    assert_eq!(view.admission(&identity(1)), Admission::NotClaimed);
}

#[test]
fn what_is_not_claimed_is_counted_and_who_may_still_do_it_is_known() {
    let unclaimed = |view: &JobView| view.unclaimed().cloned().collect::<Vec<_>>();
    let awaited = |view: &JobView| [0, 1].map(|who| view.is_awaited(&identity(who)));
    let mut view = view_of(ClaimRule::Host, &[1, 0]);
    assert_eq!((unclaimed(&view), awaited(&view)), ([0, 1].map(identity).into(), [true; 2]));
    view.on_claim(&claim(Some(0), Holder::Void(VoidReason::Expired)));
    assert_eq!((unclaimed(&view), awaited(&view)), (vec![identity(1)], [false, true]));
    view.on_claim(&claim(Some(1), agent(1)));
    assert!(
        view.unclaimed_count() == 0
            && view.holds_claim(&identity(1))
            && view.is_awaited(&identity(1))
    );
    assert!(!view.holds_claim(&identity(0)));

    let mut view = view_of(ClaimRule::Job, &[1, 0]);
    assert_eq!((unclaimed(&view), awaited(&view)), (vec![identity(1)], [true; 2]));
    view.on_claim(&claim(None, agent(0)));
    assert_eq!((unclaimed(&view), awaited(&view)), (vec![], [true, false]));
    view.on_report(reported(0, EXITED, 0));
    assert_eq!((view.unclaimed_count(), awaited(&view)), (0, [false; 2]));

    let plain = view_of(ClaimRule::None, &[0, 1]);
    assert_eq!((unclaimed(&plain), awaited(&plain)), (vec![], [true; 2]));
    assert!(plain.unclaimed_count() == 0 && !plain.holds_claim(&identity(0)));
}

#[test]
fn a_timeline_tells_what_is_known() {
    let mut view = one_host();
    receipt(&mut view, 0, ReceiptKind::Accepted);
    receipt(&mut view, 0, STARTED_AT_1);
    let told = |view: &JobView| {
        let moments = view.timeline();
        assert!(moments.is_sorted_by_key(|moment| moment.at));
        moments.iter().map(|moment| (moment.at, moment.event)).collect::<Vec<_>>()
    };
    let (created, accepted) = ((at(0), Event::Created), (at(500), Event::Accepted));
    let started = (at_s(1), Event::Started);
    assert_eq!(told(&view), [created, accepted, started, (at_s(30), Event::Deadline)]);
    view.on_cancel(at(100));
    view.on_report(reported(0, Outcome::Cancelled, 0));
    let (asked, ended) =
        ((at(100), Event::CancelRequested), (at_s(2), Event::Ended(State::Cancelled)));
    assert_eq!(told(&view), [created, asked, accepted, started, ended]);
    assert_eq!(view.timeline()[2].host, Some(&identity(0).name));
    assert_eq!(view.timeline()[0].host, None);
}

#[test]
fn a_retained_job_of_one_host_takes_less_than_1_kib() {
    // The rest of the view is: the subject, the target and the record's key as text, 250 bytes at the most in practice.
    let mut view = one_host();
    view.on_report(reported(0, EXITED, 0));
    let fixed = size_of::<JobView>() + EXECUTION_SIZE + size_of::<ReportFacts>();
    let shared = size_of::<Identity>() + identity(0).name.as_str().len();
    assert!(fixed + shared <= 1024 - 250, "{fixed} and {shared} bytes");
    assert!(size_of::<JobFacts>() <= 200);
    assert!(view.rows().all(|row: Row<'_>| row.is_final()));
}
