//! The local policy has its say about every order, and knows who asked, also after a crash.

use std::sync::Arc;

use super::super::{Action, Admit};
use super::world::*;
use crate::job::{ClaimRule, Failure, Operation, Outcome, Submitter};
use crate::message::Order;

/// Refuses one subject.
fn all_but(refused: &'static str) -> Admit {
    Arc::new(move |_: &Operation, submitter: &Submitter| {
        if submitter.subject == refused {
            return Err(Failure::new("policy", "no rule allows it"));
        }
        Ok(())
    })
}

fn of(subject: &str, order: Order) -> Order {
    let submitter = Submitter { subject: subject.into(), ..order.submitter.clone() };
    Order { submitter, ..order }
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected(failure) if failure.code == "policy")
}

/// Who asked for what is started.
fn started_for(actions: &[Action]) -> Vec<String> {
    let subject = |action: &Action| match action {
        Action::Start { task, .. } => Some(task.submitter.subject.clone()),
        _ => None,
    };
    actions.iter().filter_map(subject).collect()
}

#[test]
fn a_refusal_of_the_policy_is_how_it_ended() {
    let mut world = World::ready_with(|config| config.admit = all_but("mallory"));
    let order = of("mallory", world.order());
    let actions = world.tell(world.dispatch(&order));
    assert!(starts(&actions).is_empty());
    assert_eq!(reports(&actions), [order.job]);
    assert!(is_refused(&world.outcome(order.job)));
    let order = of("ann", world.order());
    assert_eq!(started_for(&world.tell(world.dispatch(&order))), ["ann"]);
}

#[test]
fn who_asked_is_known_after_a_crash_as_well() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let first = world.order();
    world.tell(world.dispatch(&first));
    let mallory = of("mallory", world.order_with(ClaimRule::Host));
    let bob = of("bob", world.order());
    world.tell(world.dispatch(&mallory));
    world.tell(world.dispatch(&bob));
    (world.config.admit, world.config.slots) = (all_but("mallory"), 2);
    world.crash();
    let mut actions = world.connect();
    actions.extend(world.live(s(5)));
    assert_eq!(claimed(&actions)[0], mallory.job, "the report is under its claim");
    assert_eq!(started_for(&actions), ["bob"]);
    world.tell(world.yours(mallory.job));
    assert!(is_refused(&world.outcome(mallory.job)));
}
