//! A cancel in each stage of an execution.

use super::super::{Action, Event, Notice};
use super::world::*;
use crate::executor::StopReason;
use crate::job::Outcome;
use crate::message::order::{AnswerKind, CancelOrder};
use crate::message::{Refusal, ToAgent};

#[test]
fn an_unknown_job_is_barred_and_reported() {
    let mut world = World::ready();
    let order = world.order();
    let actions = world.tell(world.cancel(&order));
    assert_eq!(reports(&actions), [order.job]);
    assert_eq!(world.outcome(order.job), Outcome::Cancelled);
    assert_eq!(world.entries()[0].1.body, None);

    // Its order never starts it, not even after a crash.
    for _ in 0..2 {
        let actions = world.tell(world.dispatch(&order));
        assert!(starts(&actions).is_empty());
        assert_eq!(reports(&actions), [order.job]);
        world.crash();
        world.connect();
    }
}

#[test]
fn a_bar_is_kept_past_the_deadline() {
    let mut world = World::ready();
    let order = world.order();
    world.tell(world.welcome_with(1, |welcome| welcome.retention_s = 0));
    world.tell(world.cancel(&order));
    world.tell(world.answer(order.job, AnswerKind::Stored));
    world.live(s(85));
    assert_eq!(world.entries().len(), 1);
    world.live(s(20));
    assert!(world.entries().is_empty());
    assert_eq!(world.header().forgot_until, order.not_after);
    let actions = world.tell(world.dispatch(&order));
    assert_eq!(receipts(&actions), [refused(Refusal::NoMemory)]);
}

#[test]
fn a_bar_for_what_may_have_been_forgotten_claims_nothing() {
    let mut world = World::ready();
    let forgotten = world.order();
    world.tell(world.welcome_with(1, |welcome| welcome.retention_s = 0));
    world.tell(world.cancel(&forgotten));
    world.tell(world.answer(forgotten.job, AnswerKind::Stored));
    world.live(s(100));
    let actions = world.tell(world.cancel(&forgotten));
    assert!(reports(&actions).is_empty() && world.entries().is_empty());
    assert_eq!(receipts(&actions), [refused(Refusal::NoMemory)]);
}

#[test]
fn a_cancel_that_would_have_to_be_remembered_for_ever_is_ignored() {
    let mut world = World::ready();
    let mut order = world.order();
    order.not_after = world.now.wall + s(2 * 24 * 3600);
    let actions = world.tell(world.cancel(&order));
    assert!(matches!(notices(&actions)[..], [Notice::CancelIgnored(..)]));
    assert!(world.entries().is_empty());
}

#[test]
fn a_queued_job_never_starts() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let (running, queued) = (world.order(), world.order());
    world.tell(world.dispatch(&running));
    world.tell(world.dispatch(&queued));
    world.tell(world.cancel(&queued));
    assert_eq!(world.outcome(queued.job), Outcome::Cancelled);
    assert!(starts(&world.ended(running.job, Outcome::Exited { code: 0 })).is_empty());
}

#[test]
fn a_job_whose_acceptance_is_being_synced_never_starts() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let (running, queued) = (world.order(), world.order());
    world.tell(world.dispatch(&running));
    world.syncs_at_once = false;
    world.tell(world.dispatch(&queued));
    world.tell(world.cancel(&queued));
    world.syncs_at_once = true;
    assert_eq!(reports(&world.sync()), [queued.job]);
    assert_eq!(world.outcome(queued.job), Outcome::Cancelled);
    assert!(starts(&world.ended(running.job, Outcome::Exited { code: 0 })).is_empty());
}

#[test]
fn a_running_job_is_stopped_and_the_executors_word_counts() {
    let mut world = World::ready();
    for (is_started, outcome) in [
        (false, Outcome::Cancelled),
        (true, Outcome::Cancelled),
        (true, Outcome::Exited { code: 0 }),
    ] {
        let order = world.order();
        world.tell(world.dispatch(&order));
        if is_started {
            world.started(order.job);
        }
        let actions = world.tell(world.cancel(&order));
        assert!(actions.contains(&Action::Stop(order.job, StopReason::Cancel)));
        world.ended(order.job, outcome.clone());
        assert_eq!(world.outcome(order.job), outcome);
        // After the end it stays, and is told again.
        let before = world.entries();
        assert_eq!(reports(&world.tell(world.cancel(&order))), [order.job]);
        assert_eq!((world.outcome(order.job), world.entries()), (outcome, before));
    }
}

#[test]
fn only_a_job_key_of_this_fleet_cancels() {
    let mut world = World::ready();
    let order = world.order();
    world.tell(world.dispatch(&order));
    let genuine = CancelOrder {
        v: 1,
        fleet: order.fleet,
        job: order.job,
        not_after: order.not_after,
        by: order.submitter,
        at: world.now.wall,
    };
    let strange = CancelOrder { fleet: STRANGER.public().fleet(), ..genuine.clone() };
    let newer = CancelOrder { v: 2, ..genuine.clone() };
    for cancel in [
        signed(&genuine, &STRANGER),
        signed(&genuine, &TOKENS),
        signed(&strange, &JOBS),
        signed(&newer, &JOBS),
    ] {
        let actions = world.tell(Event::Message(ToAgent::Cancel(cancel)));
        assert!(matches!(actions[..], [Action::Notice(Notice::CancelIgnored(..))]));
    }
}
