//! What needs a claim and is refused where it came: a host says so under its claim, a candidate leaves the claim to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::Event;
use super::claim::{RULES, assert_closed, claiming, stage};
use super::world::*;
use crate::agent::journal::Stage;
use crate::job::{ClaimRule, Custom, Exec, Failure, Operation, Outcome, Submitter};
use crate::message::order::Order;
use crate::message::{ReceiptKind, Refusal};

fn forbidden(order: Order) -> Order {
    let custom = Custom {
        name: "x".into(),
        permission: crate::auth::permission::Permission::JOB_WRITE,
        input: serde_json::Value::Null,
        timeout: 1,
    };
    Order { operation: Operation::Custom(custom), ..order }
}

#[test]
fn a_host_that_refuses_takes_its_claim_first() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let running = world.order();
    world.tell(world.dispatch(&running));
    let invalid = |world: &World| {
        let operation = Operation::Exec(Exec::new(""));
        Order { operation, ..world.order_with(ClaimRule::Host) }
    };
    for (order, code) in [
        (forbidden(world.order_with(ClaimRule::Host)), "unsupported"),
        (invalid(&world), "invalid"),
    ] {
        let actions = world.tell(world.dispatch(&order));
        assert_eq!(claimed(&actions), [order.job], "it needs no slot");
        assert!(reports(&actions).is_empty());
        // Before the answer it is as good as unknown how it ends, also after a crash.
        assert!(reports(&world.tell(world.dispatch(&order))).is_empty());
        let actions = world.tell(world.yours(order.job));
        assert_eq!(reports(&actions), [order.job]);
        let outcome = world.outcome(order.job);
        assert!(matches!(&outcome, Outcome::Rejected(f) if f.code == code), "{outcome:?}");
    }
    let order = forbidden(world.order_with(ClaimRule::Host));
    world.tell(world.dispatch(&order));
    world.tell(world.void(order.job));
    assert_closed(&mut world, &order);
}

#[test]
fn a_candidate_that_refuses_only_says_so() {
    let mut world = World::ready();
    let policy = forbidden(world.order_with(ClaimRule::Job));
    let draining = world.order_with(ClaimRule::Job);
    for (order, why) in [(policy, Refusal::Policy), (draining, Refusal::Draining)] {
        if why == Refusal::Draining {
            world.tell(Event::Drain);
        }
        let before = (world.entries(), world.journal.commits());
        let actions = world.tell(world.dispatch(&order));
        assert_eq!(receipts(&actions), [refused(why)]);
        assert!(claimed(&actions).is_empty() && reports(&actions).is_empty());
        assert_eq!((world.entries(), world.journal.commits()), before);
    }
}

#[test]
fn a_candidate_that_waits_and_is_then_forbidden_leaves_it_to_the_next() {
    let is_allowed = Arc::new(AtomicBool::new(true));
    let allows = Arc::clone(&is_allowed);
    let mut world = World::ready_with(|config| {
        config.slots = 1;
        config.admit = Arc::new(move |_: &Operation, _: &Submitter| {
            let refuses = || Failure::new("policy", "not any more");
            allows.load(Ordering::Relaxed).then_some(()).ok_or_else(refuses)
        });
    });
    let running = world.order();
    world.tell(world.dispatch(&running));
    world.started(running.job);
    let [only, candidate] = RULES.map(|rule| {
        let order = world.order_with(rule);
        assert_eq!(receipts(&world.tell(world.dispatch(&order))), [ReceiptKind::Accepted]);
        order
    });
    is_allowed.store(false, Ordering::Relaxed);
    let actions = world.ended(running.job, Outcome::Exited { code: 0 });
    assert_eq!(claimed(&actions), [only.job], "nobody else can say what became of that one");
    assert_eq!(receipts(&actions), [refused(Refusal::Policy)]);
    assert_eq!(stage(&world, candidate.job), Stage::Closed);
    // Whoever has not heard it is told the same.
    let again = world.tell(world.dispatch(&candidate));
    assert_eq!(receipts(&again), [refused(Refusal::Policy)]);
    assert!(!claimed(&world.live(s(20))).contains(&candidate.job));
}

#[test]
fn a_policy_that_changed_with_a_restart_is_asked_again() {
    let mut world = World::ready();
    let order = claiming(&mut world, ClaimRule::Job);
    world.config.admit =
        Arc::new(|_: &Operation, _: &Submitter| Err(Failure::new("policy", "not any more")));
    world.crash();
    assert_eq!(claimed(&world.connect()), [order.job], "it may hold the claim");
    assert_eq!(reports(&world.tell(world.yours(order.job))), [order.job]);
    assert!(matches!(world.outcome(order.job), Outcome::Rejected(f) if f.code == "policy"));
}
