//! From the queue to the executor: what is journaled before what, and what stops a start at the last moment.

use super::super::{Action, Event, Output};
use super::world::*;
use crate::agent::journal::{Change, Stage};
use crate::executor::StopReason;
use crate::job::{Exec, Operation, Outcome};
use crate::message::ReceiptKind;

#[test]
fn a_start_follows_the_sync_of_starting_and_costs_one_commit() {
    let mut world = World::ready();
    world.syncs_at_once = false;
    let order = world.order();
    let actions = world.tell(world.dispatch(&order));
    assert_eq!((starts(&actions).len(), commits(&actions)), (0, 1));
    let is_starting = |change: &Change| match change {
        Change::Put(job, record) => *job == order.job && record.stage == Stage::Starting,
        _ => false,
    };
    assert!(world.pending[0].1.iter().any(is_starting));
    assert!(receipts(&world.tell(world.dispatch(&order))).is_empty(), "nothing is certain yet");
    assert_eq!(starts(&world.sync()), [order.job]);
    assert_eq!(world.journal.commits(), 2, "one for the ring, one for the start");
}

#[test]
fn the_deadline_is_checked_again_after_the_sync() {
    for step in [true, false] {
        let mut world = World::ready();
        world.syncs_at_once = false;
        let order = world.order();
        world.tell(world.dispatch(&order));
        // The sync takes long, or the wall clock steps.
        world.now.wall = world.now.wall + s(30);
        if step {
            world.now.boottime += s(30);
        }
        world.syncs_at_once = true;
        let actions = world.sync();
        assert!(starts(&actions).is_empty());
        assert_eq!(reports(&actions), [order.job]);
        assert_eq!(world.outcome(order.job), Outcome::Expired);
    }
}

#[test]
fn a_cancel_during_the_sync_prevents_the_start() {
    let mut world = World::ready();
    world.syncs_at_once = false;
    let order = world.order();
    world.tell(world.dispatch(&order));
    world.tell(world.cancel(&order));
    world.syncs_at_once = true;
    let actions = world.sync();
    assert!(starts(&actions).is_empty());
    assert_eq!(world.outcome(order.job), Outcome::Cancelled);
    assert_eq!(starts(&world.tell(world.dispatch(&world.order()))).len(), 1, "its slot is free");
}

#[test]
fn jobs_wait_for_a_slot_in_the_order_in_which_they_came() {
    let mut world = World::ready();
    let orders: Vec<_> = (0..4).map(|_| world.order()).collect();
    let mut started = Vec::new();
    for order in &orders {
        let actions = world.tell(world.dispatch(order));
        started.extend(starts(&actions));
        let waits = receipts(&actions) == [ReceiptKind::Accepted];
        assert_eq!(waits, starts(&actions).is_empty());
    }
    assert_eq!(started, [orders[0].job, orders[1].job]);
    world.started(orders[1].job);
    let actions = world.ended(orders[1].job, Outcome::Exited { code: 1 });
    assert_eq!(starts(&actions), [orders[2].job]);
    assert_eq!(commits(&actions), 1, "the outcome and the next start go together");
    assert_eq!(starts(&world.ended(orders[0].job, Outcome::Exited { code: 0 })), [orders[3].job]);
}

#[test]
fn what_waits_beyond_its_deadline_expires_by_itself() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let (running, queued) = (world.order(), world.order());
    world.tell(world.dispatch(&running));
    world.tell(world.dispatch(&queued));
    let due = world.machine.next_due(world.now).unwrap();
    assert!(due <= world.now.boottime + s(30));
    let actions = world.live(s(31));
    assert_eq!(reports(&actions).first(), Some(&queued.job));
    assert_eq!(world.outcome(queued.job), Outcome::Expired);
    assert!(starts(&world.ended(running.job, Outcome::Exited { code: 0 })).is_empty());
}

#[test]
fn a_start_is_told_and_its_handle_is_journaled_soon() {
    let mut world = World::ready();
    let order = world.order();
    world.tell(world.dispatch(&order));
    let at = world.now.wall;
    let actions = world.started(order.job);
    assert_eq!(receipts(&actions), [ReceiptKind::Started { at }]);
    assert_eq!(commits(&actions), 0, "nothing waits for it");
    let hello = world.tell(Event::Pinged);
    assert_eq!(hellos(&hello)[0].running, [order.job]);
    world.live(std::time::Duration::from_millis(60));
    assert!(matches!(&world.entries()[0].1.stage, Stage::Running { handle, .. }
        if handle.detail["pid"] == 7));
}

#[test]
fn a_timeout_stops_the_execution_and_its_word_counts() {
    let mut world = World::ready();
    let mut order = world.order();
    order.operation = Operation::Exec(Exec { timeout: 5, ..Exec::new("sleep") });
    world.tell(world.dispatch(&order));
    world.started(order.job);
    assert!(!world.wait(s(4)).contains(&Action::Stop(order.job, StopReason::Timeout)));
    assert!(world.wait(s(1)).contains(&Action::Stop(order.job, StopReason::Timeout)));
    world.ended(order.job, Outcome::TimedOut);
    assert_eq!(world.outcome(order.job), Outcome::TimedOut);

    // One that has ended is not stopped.
    let order = world.run();
    let stops = world.live(s(400)).into_iter().filter(|a| matches!(a, Action::Stop(..))).count();
    assert_eq!((stops, world.outcome(order.job)), (0, Outcome::Exited { code: 0 }));
}

#[test]
fn an_executor_that_breaks_leaves_a_lost_execution() {
    let mut world = World::ready();
    let order = world.order();
    world.tell(world.dispatch(&order));
    world.started(order.job);
    let actions = world.tell(Event::Broke(order.job));
    assert!(actions.iter().any(|a| matches!(a, Action::EndLeftovers(h) if h.detail["pid"] == 7)));
    world.tell(Event::LeftoversEnded { job: order.job, result: Ok(()), output: Output::unknown() });
    assert_eq!(world.outcome(order.job), Outcome::Lost);
}
