//! What a crash leaves behind at each stage, and how it goes on.

use super::super::{Action, Event, Notice, Output};
use super::world::*;
use crate::job::Outcome;
use crate::job::report::Stream;

#[test]
fn before_the_sync_it_is_as_if_the_order_had_never_come() {
    let mut world = World::ready();
    world.syncs_at_once = false;
    let order = world.order();
    world.tell(world.dispatch(&order));
    world.syncs_at_once = true;
    world.crash();
    world.connect();
    assert_eq!(starts(&world.tell(world.dispatch(&order))), [order.job]);
}

#[test]
fn an_accepted_job_starts_after_the_next_welcome() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let (first, second) = (world.order(), world.order());
    world.tell(world.dispatch(&first));
    world.tell(world.dispatch(&second));
    world.crash();
    assert!(starts(&world.tell(Event::LinkUp)).is_empty(), "the server's time is not known");
    assert_eq!(starts(&world.tell(world.welcome())), [second.job]);
}

#[test]
fn an_accepted_job_whose_deadline_passed_meanwhile_expires() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let (first, second) = (world.order(), world.order());
    world.tell(world.dispatch(&first));
    world.tell(world.dispatch(&second));
    world.now.wall = world.now.wall + s(30);
    world.crash();
    world.connect();
    assert_eq!(world.outcome(second.job), Outcome::Expired);
}

#[test]
fn a_started_job_is_ended_and_lost_and_never_runs_again() {
    for is_running_kept in [false, true] {
        let mut world = World::ready();
        let order = world.order();
        world.tell(world.dispatch(&order));
        if is_running_kept {
            world.started(order.job);
            world.live(s(1));
        }
        let actions = world.crash();
        let ends = |a: &Action| match a {
            Action::EndLeftovers(handle) => {
                handle.job == order.job && handle.detail.is_null() != is_running_kept
            }
            _ => false,
        };
        assert!(actions.iter().any(ends));
        world.connect();
        assert!(starts(&world.tell(world.dispatch(&order))).is_empty());
        let actions = world.tell(Event::LeftoversEnded {
            job: order.job,
            result: Ok(()),
            output: Output::unknown(),
        });
        assert_eq!(reports(&actions), [order.job]);
        assert!(notices(&actions).contains(&&Notice::Lost(order.job)));
        let report = world.report(order.job);
        assert_eq!(report.outcome, Outcome::Lost);
        assert_eq!(report.started_at.is_some(), is_running_kept);
        assert!(report.stdout.incomplete);
        // A crash after that changes nothing.
        let before = world.signed_report(order.job);
        world.crash();
        world.connect();
        assert!(starts(&world.tell(world.dispatch(&order))).is_empty());
        assert_eq!(world.signed_report(order.job), before);
    }
}

#[test]
fn leftovers_that_stay_are_tried_again_and_then_told() {
    let mut world = World::ready();
    let order = world.order();
    world.tell(world.dispatch(&order));
    world.crash();
    let failed = Event::LeftoversEnded {
        job: order.job,
        result: Err("no".into()),
        output: Output::unknown(),
    };
    for _ in 0..2 {
        assert!(notices(&world.tell(failed.clone())).is_empty());
        let actions = world.live(s(6));
        assert!(actions.iter().any(|a| matches!(a, Action::EndLeftovers(_))));
    }
    let actions = world.tell(failed);
    let remain = Notice::LeftoversRemain(order.job, "no".into());
    assert!(notices(&actions).contains(&&remain) && remain.is_alarm());
    assert_eq!(world.outcome(order.job), Outcome::Lost);
}

#[test]
fn an_outcome_that_was_not_synced_is_lost() {
    let mut world = World::ready();
    let order = world.order();
    world.tell(world.dispatch(&order));
    world.started(order.job);
    world.syncs_at_once = false;
    let actions = world.ended(order.job, Outcome::Exited { code: 0 });
    assert!(reports(&actions).is_empty(), "nothing is told before it is synced");
    world.syncs_at_once = true;
    world.crash();
    world.tell(Event::LeftoversEnded { job: order.job, result: Ok(()), output: Output::unknown() });
    assert_eq!(world.outcome(order.job), Outcome::Lost);
}

#[test]
fn an_unanswered_outcome_is_sent_again_with_the_same_bytes() {
    let mut world = World::ready();
    let order = world.run();
    let before = world.signed_report(order.job);
    world.now.wall = world.now.wall + s(100);
    world.crash();
    assert_eq!(reports(&world.tell(Event::LinkUp)), [order.job]);
    assert_eq!(world.signed_report(order.job), before);
}

#[test]
fn output_that_was_not_settled_is_sent_again() {
    let mut world = World::ready();
    let order = world.order();
    world.tell(world.dispatch(&order));
    world.started(order.job);
    let mut output = Output::empty();
    output.stderr = super::delivery::large(1);
    world.ended_with(order.job, Outcome::Exited { code: 0 }, output);
    world.crash();
    assert!(world.machine.needs_output(order.job));
    let sent = chunks(&world.connect());
    assert_eq!(sent[0].0.stream, Stream::Stderr);
}
