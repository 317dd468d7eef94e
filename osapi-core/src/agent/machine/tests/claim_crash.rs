//! A crash at every point of the claim exchange, and how it goes on.

use super::super::{Event, Output};
use super::world::*;
use crate::job::{ClaimRule, Outcome};

#[test]
fn before_acceptance_is_synced_nothing_was_asked() {
    let mut world = World::ready();
    world.syncs_at_once = false;
    let order = world.order_with(ClaimRule::Host);
    assert!(claimed(&world.tell(world.dispatch(&order))).is_empty());
    world.syncs_at_once = true;
    world.crash();
    world.connect();
    assert_eq!(claimed(&world.tell(world.dispatch(&order))), [order.job]);
}

#[test]
fn afterwards_the_same_nonce_is_asked_with_again() {
    for is_answered in [true, false] {
        let mut world = World::ready();
        let order = world.order_with(ClaimRule::Job);
        let first = claims(&world.tell(world.dispatch(&order))).remove(0);
        if is_answered {
            // It was granted, and that was not written down.
            world.syncs_at_once = false;
            world.tell(world.yours(order.job));
            world.syncs_at_once = true;
        }
        world.crash();
        assert!(starts(&world.tell(Event::LinkUp)).is_empty());
        let actions = world.tell(world.welcome());
        assert_eq!(claims(&actions), [first]);
        assert!(starts(&actions).is_empty(), "only the answer starts it");
        assert_eq!(starts(&world.tell(world.yours(order.job))), [order.job]);
    }
}

#[test]
fn once_starting_is_synced_it_is_lost_and_reported_and_never_asked_for_again() {
    let mut world = World::ready();
    let order = world.order_with(ClaimRule::Job);
    world.tell(world.dispatch(&order));
    let yours = world.yours(order.job);
    assert_eq!(starts(&world.tell(yours.clone())), [order.job]);
    world.crash();
    assert!(claimed(&world.connect()).is_empty());
    assert!(starts(&world.tell(yours)).is_empty());
    let actions = world.tell(Event::LeftoversEnded {
        job: order.job,
        result: Ok(()),
        output: Output::unknown(),
    });
    assert_eq!((starts(&actions), reports(&actions)), (vec![], vec![order.job]));
    assert_eq!(world.outcome(order.job), Outcome::Lost);
}

#[test]
fn a_void_that_was_not_written_down_is_asked_for_once_more() {
    let mut world = World::ready();
    let order = world.order_with(ClaimRule::Job);
    world.tell(world.dispatch(&order));
    world.tell(world.void(order.job));
    world.crash();
    assert_eq!(claimed(&world.connect()), [order.job]);
    world.tell(world.void(order.job));
    world.live(s(1));
    world.crash();
    assert!(claimed(&world.connect()).is_empty(), "now it was");
    assert!(starts(&world.tell(world.dispatch(&order))).is_empty());
}

#[test]
fn a_deadline_that_passes_meanwhile_is_reported_only_under_the_claim() {
    for is_mine in [true, false] {
        let mut world = World::ready();
        let order = world.order_with(ClaimRule::Host);
        world.tell(world.dispatch(&order));
        world.now.wall = world.now.wall + s(30);
        world.crash();
        assert!(reports(&world.tell(Event::LinkUp)).is_empty());
        assert_eq!(claimed(&world.tell(world.welcome())), [order.job]);
        let answer = if is_mine { world.yours(order.job) } else { world.void(order.job) };
        let actions = world.tell(answer);
        assert_eq!((starts(&actions).len(), reports(&actions).len()), (0, usize::from(is_mine)));
        if is_mine {
            assert_eq!(world.outcome(order.job), Outcome::Expired);
        }
    }
}

#[test]
fn an_outcome_under_a_claim_is_sent_again_with_the_same_bytes() {
    let mut world = World::ready();
    let order = world.order_with(ClaimRule::Host);
    world.tell(world.dispatch(&order));
    world.tell(world.yours(order.job));
    world.started(order.job);
    world.ended(order.job, Outcome::Exited { code: 0 });
    let before = world.signed_report(order.job);
    world.crash();
    let actions = world.connect();
    assert_eq!((reports(&actions), claimed(&actions)), (vec![order.job], vec![]));
    assert_eq!(world.signed_report(order.job), before);
}
