//! A journal that fails, and goes on.

use super::super::{Action, Event, Notice, Output};
use super::world::*;
use crate::agent::journal::Stage;
use crate::job::{ClaimRule, Outcome};
use crate::message::{Readiness, Refusal};

/// A machine with one slot: something runs, something waits, and the next commit fails, kept or not.
fn failing(is_kept: bool) -> (World, [crate::message::Order; 2]) {
    let mut world = World::ready_with(|config| config.slots = 1);
    let orders = [world.order(), world.order()];
    for order in &orders {
        world.tell(world.dispatch(order));
    }
    world.started(orders[0].job);
    world.live(s(1));
    if is_kept {
        world.journal.fail_and_keep()
    } else {
        world.journal.fail()
    }
    (world, orders)
}

fn is_ready(world: &World) -> bool {
    world.machine.readiness() == Readiness::Ready
}

#[test]
fn it_goes_on_once_the_cause_is_gone_and_lacks_nothing() {
    for is_kept in [true, false] {
        let (mut world, [running, queued]) = failing(is_kept);
        let actions = world.ended(running.job, Outcome::Exited { code: 3 });
        assert!(reports(&actions).is_empty() && starts(&actions).is_empty());
        assert!(world.machine.readiness() == Readiness::NotReady);
        // It tries again and again, and says so once.
        let actions = world.live(s(20));
        let tries = actions.iter().filter(|action| **action == Action::ReopenJournal).count();
        assert!((4..10).contains(&tries), "{tries} times");
        assert!(!notices(&actions).iter().any(|n| matches!(n, Notice::JournalFailed(_))));
        assert!(reports(&actions).is_empty() && starts(&actions).is_empty());

        world.journal.repair();
        let actions = world.live(s(6));
        assert!(notices(&actions).contains(&&Notice::JournalRecovered));
        assert_eq!(hellos(&actions).last().unwrap().readiness, Readiness::Ready);
        assert_eq!(reports(&actions)[0], running.job, "the outcome was not lost");
        assert_eq!(world.outcome(running.job), Outcome::Exited { code: 3 });
        assert_eq!(starts(&actions), [queued.job], "in time still");
        let order = world.order();
        world.ended(queued.job, Outcome::Exited { code: 0 });
        assert_eq!(starts(&world.tell(world.dispatch(&order))), [order.job]);
        // The journal is as if nothing had ever failed.
        world.crash();
        assert_eq!(reports(&world.connect()).len(), 2);
        world.tell(Event::LeftoversEnded {
            job: order.job,
            result: Ok(()),
            output: Output::unknown(),
        });
        assert_eq!(world.outcome(order.job), Outcome::Lost);
    }
}

#[test]
fn what_was_not_taken_is_not_found_in_it_later() {
    for is_kept in [true, false] {
        let mut world = World::ready();
        let order = world.order();
        if is_kept {
            world.journal.fail_and_keep()
        } else {
            world.journal.fail()
        }
        let actions = world.tell(world.dispatch(&order));
        assert_eq!(receipts(&actions), [refused(Refusal::Journal)]);
        assert_eq!(world.entries().len(), usize::from(is_kept), "as the disk would have it");
        world.journal.repair();
        world.live(s(2));
        assert!(is_ready(&world) && world.entries().is_empty());
        world.crash();
        let actions = world.connect();
        assert!(reports(&actions).is_empty(), "nobody says that it was lost");
        assert_eq!(starts(&world.tell(world.dispatch(&order))), [order.job], "it comes again");
    }
}

#[test]
fn a_start_that_waits_for_the_journal_is_still_in_time_or_none() {
    for seconds in [5, 40] {
        let mut world = World::ready();
        let order = world.order_with(ClaimRule::Host);
        world.tell(world.dispatch(&order));
        let yours = world.yours(order.job);
        world.journal.fail();
        assert!(starts(&world.tell(yours.clone())).is_empty());
        world.live(s(seconds));
        world.journal.repair();
        let mut actions = world.live(s(6));
        assert!(is_ready(&world));
        actions.extend(world.tell(yours));
        let is_late = seconds > 30;
        assert_eq!(starts(&actions).len(), usize::from(!is_late));
        if is_late {
            assert_eq!(world.outcome(order.job), Outcome::Expired);
        }
    }
}

#[test]
fn it_fails_again_and_is_tried_again() {
    let (mut world, [running, _]) = failing(false);
    world.ended(running.job, Outcome::Exited { code: 0 });
    world.journal.repair();
    world.syncs_at_once = false;
    world.live(s(1));
    assert_eq!(world.pending.len(), 1, "what it lacks is being written");
    assert!(!is_ready(&world), "and nobody knows whether that can be done");
    world.journal.fail();
    world.syncs_at_once = true;
    assert!(reports(&world.sync()).is_empty());
    assert!(!is_ready(&world));
    world.journal.repair();
    assert_eq!(reports(&world.live(s(6)))[0], running.job);
    assert!(is_ready(&world));
}

#[test]
fn a_key_ring_is_used_once_it_is_kept() {
    let mut world = World::ready();
    world.journal.fail();
    world.tell(world.welcome_with(2, |_| {}));
    let said = |actions: &[Action]| hellos(actions).last().unwrap().ring;
    assert_eq!(said(&world.tell(Event::Pinged)), 1);
    world.journal.repair();
    world.live(s(2));
    assert_eq!((said(&world.tell(Event::Pinged)), world.header().ring), (2, 2));
}

#[test]
fn a_cancel_that_comes_meanwhile_has_its_effect() {
    let (mut world, [running, queued]) = failing(true);
    world.ended(running.job, Outcome::Exited { code: 0 });
    world.tell(world.cancel(&queued));
    world.journal.repair();
    let actions = world.live(s(6));
    assert!(starts(&actions).is_empty());
    assert_eq!(world.outcome(queued.job), Outcome::Cancelled);
    let ended =
        |entry: &(_, crate::agent::journal::Record)| matches!(entry.1.stage, Stage::Ended(_));
    assert!(world.entries().iter().all(ended));
}
