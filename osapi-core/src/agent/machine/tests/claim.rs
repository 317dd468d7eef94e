//! The claim exchange: nothing starts before it was answered, whatever the answer was meant for or comes too late for.

use super::super::{Event, Notice};
use super::world::*;
use crate::agent::journal::Stage;
use crate::id::{JobId, Nonce};
use crate::job::{ClaimRule, Outcome};
use crate::message::order::{AnswerKind, Order};
use crate::message::{ReceiptKind, Refusal};

pub(super) const RULES: [ClaimRule; 2] = [ClaimRule::Host, ClaimRule::Job];

/// A job whose claim was asked for.
pub(super) fn claiming(world: &mut World, rule: ClaimRule) -> Order {
    let order = world.order_with(rule);
    let actions = world.tell(world.dispatch(&order));
    assert_eq!((claimed(&actions), starts(&actions)), (vec![order.job], vec![]));
    order
}

pub(super) fn stage(world: &World, job: JobId) -> Stage {
    world.entries().into_iter().find(|(known, _)| *known == job).unwrap().1.stage
}

#[track_caller]
pub(super) fn assert_closed(world: &mut World, order: &Order) {
    assert_eq!(receipts(&world.tell(world.dispatch(order))), [refused(Refusal::Claimed)]);
    let actions = world.live(s(20));
    let is_silent = |jobs: Vec<JobId>| !jobs.contains(&order.job);
    assert!(is_silent(claimed(&actions)) && is_silent(reports(&actions)));
    let hello = world.tell(Event::Pinged);
    assert!(!hellos(&hello)[0].accepted.contains(&order.job));
    assert_eq!(stage(world, order.job), Stage::Closed);
}

#[test]
fn acceptance_is_synced_before_the_claim_and_the_claim_before_the_start() {
    for rule in RULES {
        let mut world = World::ready();
        world.syncs_at_once = false;
        let order = world.order_with(rule);
        let actions = world.tell(world.dispatch(&order));
        assert!(claimed(&actions).is_empty() && receipts(&actions).is_empty());
        let actions = world.sync();
        assert!(matches!(stage(&world, order.job), Stage::Accepted { .. }));
        assert_eq!(receipts(&actions), [ReceiptKind::Accepted]);
        let request = claims(&actions).remove(0);
        assert_eq!((request.job, &request.identity), (order.job, &world.identity()));
        assert_eq!(request.nonce, world.nonce(order.job));

        let actions = world.tell(world.yours(order.job));
        assert_eq!((starts(&actions).len(), commits(&actions)), (0, 1));
        let actions = world.sync();
        assert_eq!(starts(&actions), [order.job]);
        assert_eq!(stage(&world, order.job), Stage::Starting);
        world.syncs_at_once = true;
        world.started(order.job);
        let actions = world.ended(order.job, Outcome::Exited { code: 0 });
        assert_eq!(reports(&actions), [order.job]);
    }
}

#[test]
fn a_claim_is_asked_for_with_the_same_nonce_until_it_is_answered() {
    let mut world = World::ready();
    let order = claiming(&mut world, ClaimRule::Host);
    let nonce = world.nonce(order.job);
    let mut asked_at = Vec::new();
    for tick in 1..=300 {
        for request in claims(&world.wait(std::time::Duration::from_millis(50))) {
            assert_eq!(request.nonce, nonce);
            asked_at.push(tick * 50);
        }
    }
    assert_eq!(asked_at, [300, 900, 2100, 4500, 9300, 14300]);
    let hello = world.tell(Event::Pinged);
    assert_eq!(hellos(&hello)[0].accepted, [order.job], "it is in the journal");
    assert_eq!(receipts(&world.tell(world.dispatch(&order))), [ReceiptKind::Accepted]);
    assert_eq!(starts(&world.tell(world.yours(order.job))), [order.job]);
    assert!(claimed(&world.live(s(20))).is_empty());
}

#[test]
fn a_void_claim_closes_the_job_without_a_report() {
    for rule in RULES {
        let mut world = World::ready();
        let order = claiming(&mut world, rule);
        let actions = world.tell(world.void(order.job));
        assert!(starts(&actions).is_empty() && reports(&actions).is_empty());
        assert_closed(&mut world, &order);
        // A cancel changes nothing, nor does an answer that was on its way.
        let actions = world.tell(world.cancel(&order));
        assert_eq!(receipts(&actions), [refused(Refusal::Claimed)]);
        assert!(starts(&world.tell(world.yours(order.job))).is_empty());
        assert_closed(&mut world, &order);
        world.crash();
        world.connect();
        assert_closed(&mut world, &order);
    }
}

#[test]
fn only_a_genuine_answer_to_this_request_counts() {
    let mut world = World::ready();
    let order = claiming(&mut world, ClaimRule::Job);
    let other = claiming(&mut world, ClaimRule::Job);
    let (job, me, mine) = (order.job, world.identity(), world.nonce(order.job));
    for kind in [AnswerKind::Yours as fn(Nonce) -> AnswerKind, AnswerKind::Void] {
        for answer in [
            world.answer_by(&STRANGER, me.clone(), job, kind(mine)),
            world.answer_by(&TOKENS, me.clone(), job, kind(mine)),
            world.answer_by(&JOBS, stranger(me.clone()), job, kind(mine)),
            world.answer_by(&JOBS, me.clone(), job, kind(Nonce::random())),
            world.answer_by(&JOBS, me.clone(), job, kind(world.nonce(other.job))),
            world.answer_by(&JOBS, me.clone(), other.job, kind(mine)),
            world.answer_by(&JOBS, me.clone(), world.new_job(), kind(mine)),
        ] {
            let actions = world.tell(answer);
            assert!(matches!(notices(&actions)[..], [Notice::AnswerIgnored(..)]));
            assert_eq!((starts(&actions).len(), commits(&actions)), (0, 0));
        }
    }
    assert_eq!(starts(&world.tell(world.yours(job))), [job]);
}

#[test]
fn an_answer_that_comes_twice_or_is_taken_back_starts_it_once() {
    let mut world = World::ready();
    world.syncs_at_once = false;
    let order = world.order_with(ClaimRule::Job);
    world.tell(world.dispatch(&order));
    world.sync();
    let (yours, void) = (world.yours(order.job), world.void(order.job));
    world.tell(yours.clone());
    let actions = world.tell(yours.clone());
    assert_eq!(commits(&actions), 0);
    world.tell(void.clone());
    assert_eq!(starts(&world.sync()), [order.job]);
    for answer in [yours, void] {
        let actions = world.tell(answer);
        assert!(starts(&actions).is_empty() && commits(&actions) == 0);
    }
    world.syncs_at_once = true;
    world.started(order.job);
    world.ended(order.job, Outcome::Exited { code: 0 });
    assert_eq!(world.outcome(order.job), Outcome::Exited { code: 0 });
}

#[test]
fn a_claim_is_asked_for_with_a_slot() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let running = world.order();
    world.tell(world.dispatch(&running));
    let order = world.order_with(ClaimRule::Host);
    let actions = world.tell(world.dispatch(&order));
    assert_eq!((receipts(&actions), claimed(&actions).len()), (vec![ReceiptKind::Accepted], 0));
    world.started(running.job);
    let actions = world.ended(running.job, Outcome::Exited { code: 0 });
    assert_eq!(claimed(&actions), [order.job]);
    // The slot is taken while the answer is awaited.
    let plain = world.order();
    assert!(starts(&world.tell(world.dispatch(&plain))).is_empty());
    assert_eq!(starts(&world.tell(world.void(order.job))), [plain.job]);
}

#[test]
fn what_passes_its_deadline_gives_its_slot_back_and_goes_on_asking() {
    for is_asked in [true, false] {
        for is_mine in [true, false] {
            let mut world = World::ready_with(|config| config.slots = 1);
            let order = world.order_with(ClaimRule::Host);
            let first = if is_asked { world.order_with(ClaimRule::Host) } else { world.order() };
            if !is_asked {
                world.tell(world.dispatch(&first));
                world.started(first.job);
            }
            world.tell(world.dispatch(&order));
            world.live(s(29));
            assert!(!claimed(&world.live(s(6))).is_empty(), "also after its deadline");
            let plain = world.order();
            let actions = world.tell(world.dispatch(&plain));
            assert_eq!(starts(&actions).len(), usize::from(is_asked), "its slot is free");
            assert!(reports(&actions).is_empty(), "nothing is certain yet");
            match is_mine {
                true => {
                    assert_eq!(reports(&world.tell(world.yours(order.job))), [order.job]);
                    assert_eq!(world.outcome(order.job), Outcome::Expired);
                }
                false => {
                    assert!(reports(&world.tell(world.void(order.job))).is_empty());
                    assert_closed(&mut world, &order);
                }
            }
        }
    }
}

#[test]
fn what_is_cancelled_before_its_claim_is_answered_never_starts() {
    for is_queued in [true, false] {
        for is_mine in [true, false] {
            let mut world = World::ready_with(|config| config.slots = 1);
            if is_queued {
                let running = world.order();
                world.tell(world.dispatch(&running));
            }
            let order = world.order_with(ClaimRule::Job);
            world.tell(world.dispatch(&order));
            let actions = world.tell(world.cancel(&order));
            assert!(reports(&actions).is_empty(), "it may hold the claim");
            assert_eq!(claimed(&actions).len(), usize::from(is_queued), "it asks at once");
            assert!(!claimed(&world.live(s(5))).is_empty());
            world.crash();
            assert!(claimed(&world.tell(Event::LinkUp)).is_empty(), "no answer could be verified");
            assert_eq!(claimed(&world.tell(world.welcome())), [order.job]);
            match is_mine {
                true => {
                    let actions = world.tell(world.yours(order.job));
                    assert_eq!((starts(&actions), reports(&actions)), (vec![], vec![order.job]));
                    assert_eq!(world.outcome(order.job), Outcome::Cancelled);
                }
                false => {
                    world.tell(world.void(order.job));
                    assert_closed(&mut world, &order);
                }
            }
        }
    }
}

#[test]
fn a_cancel_while_acceptance_is_synced_is_remembered() {
    let mut world = World::ready();
    world.syncs_at_once = false;
    let order = world.order_with(ClaimRule::Host);
    world.tell(world.dispatch(&order));
    world.tell(world.cancel(&order));
    world.syncs_at_once = true;
    assert_eq!(claimed(&world.sync()), [order.job]);
    world.crash();
    world.connect();
    assert_eq!(reports(&world.tell(world.yours(order.job))), [order.job]);
    assert_eq!(world.outcome(order.job), Outcome::Cancelled);
}

#[test]
fn deadline_and_cancel_count_until_the_start_itself() {
    for is_cancelled in [true, false] {
        let mut world = World::ready();
        let order = claiming(&mut world, ClaimRule::Job);
        world.syncs_at_once = false;
        world.tell(world.yours(order.job));
        if is_cancelled {
            world.tell(world.cancel(&order));
        } else {
            world.now.wall = world.now.wall + s(30);
        }
        world.syncs_at_once = true;
        let actions = world.sync();
        assert_eq!((starts(&actions), reports(&actions)), (vec![], vec![order.job]));
        let expected = if is_cancelled { Outcome::Cancelled } else { Outcome::Expired };
        assert_eq!(world.outcome(order.job), expected);
        assert_eq!(starts(&world.tell(world.dispatch(&world.order()))).len(), 1);
    }
}

#[test]
fn an_order_that_comes_too_late_for_its_claim_is_not_journaled() {
    for rule in RULES {
        let mut world = World::ready();
        let mut order = world.order_with(rule);
        order.not_after = world.now.wall;
        let before = world.journal.commits();
        let actions = world.tell(world.dispatch(&order));
        assert_eq!(receipts(&actions), [refused(Refusal::Late)]);
        assert_eq!((world.entries().len(), world.journal.commits()), (0, before));
    }
}

#[test]
fn a_full_queue_is_busy_whatever_is_to_be_claimed() {
    let mut world = World::ready_with(|config| (config.slots, config.queue) = (2, 1));
    world.syncs_at_once = false;
    let orders: Vec<_> = (0..4).map(|_| world.order_with(ClaimRule::Job)).collect();
    let words: Vec<_> =
        orders.iter().map(|order| receipts(&world.tell(world.dispatch(order)))).collect();
    assert_eq!(words, [vec![], vec![], vec![], vec![ReceiptKind::Busy]]);
    world.syncs_at_once = true;
    assert_eq!(claimed(&world.sync()), [orders[0].job, orders[1].job]);
    let actions = world.tell(world.dispatch(&orders[3]));
    assert_eq!((receipts(&actions), world.entries().len()), (vec![ReceiptKind::Busy], 3));
}

#[test]
fn an_agent_that_drains_starts_nothing_and_keeps_what_it_asked_for() {
    let mut world = World::ready();
    let order = claiming(&mut world, ClaimRule::Host);
    let yours = world.yours(order.job);
    let actions = world.tell(Event::Drain);
    assert_eq!(done(&actions).map(|drained| drained.waiting), Some(1));
    assert!(starts(&world.tell(yours)).is_empty());
    assert!(claimed(&world.live(s(5))).is_empty());
    world.crash();
    assert_eq!(claimed(&world.connect()), [order.job]);
    assert_eq!(starts(&world.tell(world.yours(order.job))), [order.job]);
}

#[test]
fn an_agent_that_drains_rejects_under_its_claim_before_it_ends() {
    let mut world = World::ready();
    let running = world.order();
    world.tell(world.dispatch(&running));
    world.started(running.job);
    world.tell(Event::Drain);
    let order = world.order_with(ClaimRule::Host);
    assert_eq!(claimed(&world.tell(world.dispatch(&order))), [order.job]);
    world.ended(running.job, Outcome::Exited { code: 0 });
    assert!(done(&world.tell(world.answer(running.job, AnswerKind::Stored))).is_none());
    let actions = world.tell(world.yours(order.job));
    assert!(matches!(world.outcome(order.job), Outcome::Rejected(f) if f.code == "draining"));
    assert!(done(&actions).is_none());
    let drained = done(&world.tell(world.answer(order.job, AnswerKind::Stored))).unwrap();
    assert_eq!((drained.unanswered, drained.waiting), (0, 0));
}

#[test]
fn without_a_link_no_claim_holds_a_slot() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let orders = [claiming(&mut world, ClaimRule::Host), world.order_with(ClaimRule::Job)];
    let (nonce, plain) = (world.nonce(orders[0].job), world.order());
    world.tell(world.dispatch(&orders[1]));
    world.tell(world.dispatch(&plain));
    let actions = world.tell(Event::LinkDown);
    assert_eq!(starts(&actions), [plain.job]);
    assert!(claimed(&world.live(s(5))).is_empty());
    world.ended(plain.job, Outcome::Exited { code: 0 });
    let actions = world.connect();
    assert_eq!(claimed(&actions), [orders[0].job], "in the order in which they came");
    assert_eq!(claims(&actions)[0].nonce, nonce);
    assert_eq!(claimed(&world.tell(world.void(orders[0].job))), [orders[1].job]);
}

#[test]
fn a_journal_that_fails_takes_no_claim_and_starts_none() {
    let mut world = World::ready();
    let order = claiming(&mut world, ClaimRule::Job);
    let other = world.order_with(ClaimRule::Job);
    world.journal.fail();
    let actions = world.tell(world.dispatch(&other));
    assert_eq!(receipts(&actions), [refused(Refusal::Journal)]);
    assert!(claimed(&world.live(s(20))).is_empty(), "another can have it");
    let actions = world.tell(world.yours(order.job));
    assert!(starts(&actions).is_empty() && reports(&actions).is_empty());
    // Its claim is its own all the same, once the journal works again.
    world.crash();
    world.connect();
    assert_eq!(starts(&world.tell(world.yours(order.job))), [order.job]);
}

#[test]
fn a_start_that_cannot_be_journaled_is_none() {
    let mut world = World::ready();
    let order = claiming(&mut world, ClaimRule::Job);
    world.journal.fail();
    assert!(starts(&world.tell(world.yours(order.job))).is_empty());
    assert!(starts(&world.live(s(60))).is_empty());
    world.crash();
    world.connect();
    assert!(starts(&world.tell(world.yours(order.job))).is_empty(), "its time has passed");
    assert_eq!(world.outcome(order.job), Outcome::Expired);
}

#[test]
fn what_was_closed_is_forgotten_once_nobody_can_send_it_any_more() {
    let mut world = World::ready();
    let order = claiming(&mut world, ClaimRule::Job);
    world.tell(world.void(order.job));
    world.live(s(85));
    assert_eq!(world.entries().len(), 1);
    // Not by its own clock alone.
    world.now.wall = world.now.wall + s(3600);
    world.wait(s(1));
    assert_eq!(world.entries().len(), 1);
    world.live(s(20));
    assert!(world.entries().is_empty());
    assert_eq!(world.header().forgot_until, order.not_after);
    assert_eq!(receipts(&world.tell(world.dispatch(&order))), [refused(Refusal::NoMemory)]);
}

#[test]
fn a_bar_outlives_the_order_whose_claim_it_never_took() {
    let mut world = World::ready();
    let order = world.order_with(ClaimRule::Host);
    world.tell(world.cancel(&order));
    let actions = world.tell(world.dispatch(&order));
    assert!(claimed(&actions).is_empty() && starts(&actions).is_empty());
    assert_eq!(reports(&actions), [order.job]);
    let conflict = world.answer(order.job, AnswerKind::Conflict);
    world.tell(conflict);
    assert!(reports(&world.live(s(20))).is_empty());
}
