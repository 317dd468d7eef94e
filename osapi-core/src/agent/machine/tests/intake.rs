//! What comes in: each rule in its place, and what is refused changes nothing.

use super::super::{Event, Machine, Notice};
use super::world::*;
use crate::agent::journal::Journal;
use crate::job::{Custom, Exec, Failure, Operation, Outcome};
use crate::message::order::{AnswerKind, Order};
use crate::message::{ReceiptKind, Refusal, ToAgent};

/// Refused with this receipt, and as if it had never come.
#[track_caller]
fn assert_refused(world: &mut World, event: Event, why: Refusal) {
    let before = (world.header(), world.entries(), world.journal.commits());
    let actions = world.tell(event);
    assert_eq!(receipts(&actions), [refused(why)]);
    assert!(starts(&actions).is_empty() && reports(&actions).is_empty());
    assert!(
        notices(&actions).iter().any(|n| matches!(n, Notice::Refused(Some(_), w) if *w == why))
    );
    assert_eq!((world.header(), world.entries(), world.journal.commits()), before);
}

fn altered(change: impl FnOnce(&mut Order)) -> (World, Order) {
    let world = World::ready();
    let mut order = world.order();
    change(&mut order);
    (world, order)
}

#[test]
fn an_order_that_is_not_authentic_or_not_for_me_changes_nothing() {
    let mut world = World::ready();
    let order = world.order();

    let strange = world.dispatch_signed(signed(&order, &STRANGER));
    assert_refused(&mut world, strange, Refusal::UnknownKey);
    // A key of the ring that is for tokens signs no orders.
    let token = world.dispatch_signed(signed(&order, &TOKENS));
    assert_refused(&mut world, token, Refusal::UnknownKey);

    let text = signed(&order, &JOBS).as_str().to_owned();
    let (body, footer) = text.rsplit_once('.').unwrap();
    let place = body.len() - 20;
    let other = if &body[place..=place] == "A" { "B" } else { "A" };
    let forged = format!("{}{other}{}.{footer}", &body[..place], &body[place + 1..]);
    let forged = world.dispatch_signed(crate::auth::envelope::Signed::from_text(forged));
    assert_refused(&mut world, forged, Refusal::BadSignature);

    let membership = world.tree().membership(1).unwrap();
    let order = signed(&order, &JOBS);
    let not_mine = Event::Message(ToAgent::Dispatch { order, membership });
    assert_refused(&mut world, not_mine, Refusal::NotAddressed);
}

#[test]
fn an_order_of_another_fleet_version_or_form_changes_nothing() {
    for change in [
        (|order: &mut Order| order.v = 2) as fn(&mut Order),
        |order| order.fleet = STRANGER.public().fleet(),
        |order| order.not_after = order.iat + s(24 * 3600 + 31),
    ] {
        let (mut world, order) = altered(change);
        let event = world.dispatch(&order);
        assert_refused(&mut world, event, Refusal::Unsupported);
    }
}

#[test]
fn an_order_with_an_unknown_field_is_refused() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Newer {
        #[serde(flatten)]
        order: Order,
        become_user: String,
    }
    impl crate::auth::envelope::Document for Newer {
        const ASSERTION: &'static str = <Order as crate::auth::envelope::Document>::ASSERTION;
        const MAX: usize = 1 << 20;
    }
    let mut world = World::ready();
    let newer = Newer { order: world.order(), become_user: "root".into() };
    let text = signed(&newer, &JOBS).as_str().to_owned();
    let event = world.dispatch_signed(crate::auth::envelope::Signed::from_text(text));
    assert_refused(&mut world, event, Refusal::Unsupported);

    let (world_order, padding) = (world.order(), "x".repeat(1 << 20));
    let newer = Newer { order: world_order, become_user: padding[..900_000].to_owned() };
    let text = signed(&newer, &JOBS).as_str().to_owned();
    let event = world.dispatch_signed(crate::auth::envelope::Signed::from_text(text));
    assert_refused(&mut world, event, Refusal::TooLarge);
}

#[test]
fn without_a_welcome_nothing_is_taken() {
    let mut world = World::new();
    world.tell(Event::LinkUp);
    let event = world.dispatch(&world.order());
    assert_refused(&mut world, event, Refusal::NotReady);
}

#[test]
fn a_second_body_of_a_known_job_is_an_alarm() {
    let mut world = World::ready();
    let order = world.order();
    world.tell(world.dispatch(&order));
    let other = Order { operation: Operation::Exec(Exec::new("false")), ..order };
    let before = world.entries();
    let actions = world.tell(world.dispatch(&other));
    assert_eq!(receipts(&actions), [refused(Refusal::OtherBody)]);
    assert!(notices(&actions).iter().any(|n| matches!(n, Notice::OtherBody(_)) && n.is_alarm()));
    assert_eq!(world.entries(), before);
    assert!(starts(&actions).is_empty());
}

#[test]
fn the_clock_must_not_be_behind_what_is_known_to_be_past() {
    let mut world = World::ready();
    let mut ahead = world.order();
    ahead.iat = world.now.wall + s(31);
    ahead.not_after = ahead.iat + s(30);
    world.now.wall = world.now.wall - s(31);
    let slow = world.order();
    world.tell(world.welcome_with(1, |welcome| welcome.wall = START + s(31)));
    let event = world.dispatch(&ahead);
    assert_refused(&mut world, event, Refusal::ClockSkew);

    // Once such an order was seen, one that fits the slow clock is no better.
    let event = world.dispatch(&slow);
    assert_refused(&mut world, event, Refusal::ClockSkew);

    let mut world = World::ready();
    let mut tolerated = world.order();
    tolerated.iat = world.now.wall + s(30);
    assert_eq!(starts(&world.tell(world.dispatch(&tolerated))), [tolerated.job]);
}

#[test]
fn who_signs_with_a_clock_that_is_ahead_stops_nobody_else() {
    let mut world = World::ready();
    for ahead in [31, 3600, 1000 * 365 * 24 * 3600] {
        let mut order = world.order();
        order.iat = world.now.wall + s(ahead);
        order.not_after = order.iat + s(30);
        let event = world.dispatch(&order);
        assert_refused(&mut world, event, Refusal::ClockSkew);
        let good = world.order();
        assert_eq!(starts(&world.tell(world.dispatch(&good))), [good.job], "{ahead}");
        world.started(good.job);
        world.ended(good.job, Outcome::Exited { code: 0 });
    }
}

#[test]
fn a_clock_that_stepped_back_is_noticed_after_a_crash_too() {
    let mut world = World::ready();
    world.run();
    world.crash();
    world.now.wall = world.now.wall - s(3600);
    world.connect();
    let event = world.dispatch(&world.order());
    assert_refused(&mut world, event, Refusal::ClockSkew);
}

/// Journaled and reported with this outcome; never started.
#[track_caller]
fn assert_closed(world: &mut World, order: &Order, outcome: &Outcome) {
    let actions = world.tell(world.dispatch(order));
    assert!(starts(&actions).is_empty());
    assert_eq!(reports(&actions), [order.job]);
    assert_eq!(&world.outcome(order.job), outcome);
    let report = world.report(order.job);
    assert_eq!((report.started_at, report.identity), (None, world.identity()));
    // The same order is answered by the same report.
    let before = world.entries();
    assert_eq!(reports(&world.tell(world.dispatch(order))), [order.job]);
    assert_eq!(world.entries(), before);
}

#[test]
fn a_deadline_that_either_clock_has_passed_is_expired() {
    let mut world = World::ready();
    let mut order = world.order();
    order.not_after = world.now.wall;
    assert_closed(&mut world, &order, &Outcome::Expired);

    let mut order = world.order();
    order.iat = world.now.wall - s(20);
    order.not_after = world.now.wall + s(10);
    world.now.wall = world.now.wall - s(15);
    world.tell(world.welcome_with(1, |welcome| welcome.wall = order.not_after));
    assert_closed(&mut world, &order, &Outcome::Expired);
}

#[test]
fn what_is_judged_and_refused_is_reported_as_rejected() {
    let mut world = World::ready();
    let mut order = world.order();
    order.operation = Operation::Exec(Exec::new(""));
    let message = "command must be the name or path of a program, not empty";
    assert_closed(&mut world, &order, &Outcome::Rejected(Failure::new("invalid", message)));

    let mut order = world.order();
    order.operation = Operation::Custom(Custom {
        name: "x".into(),
        permission: crate::auth::permission::Permission::JOB_WRITE,
        input: serde_json::Value::Null,
        timeout: 1,
    });
    let failure = Failure::new("unsupported", "not here");
    assert_closed(&mut world, &order, &Outcome::Rejected(failure));

    let order = world.order();
    world.tell(Event::Drain);
    let failure = Failure::new("draining", "the agent is shutting down");
    assert_closed(&mut world, &order, &Outcome::Rejected(failure));
}

#[test]
fn a_full_queue_is_busy_and_forgets_the_order() {
    let mut world = World::ready();
    let taken: Vec<_> = (0..5).map(|_| world.order()).collect();
    for order in &taken {
        world.tell(world.dispatch(order));
    }
    let (before, order) = (world.entries(), world.order());
    assert_eq!(before.len(), 5);
    let actions = world.tell(world.dispatch(&order));
    assert_eq!(receipts(&actions), [ReceiptKind::Busy]);
    assert_eq!(world.entries(), before);
    // Once there is room, it is taken.
    let first = taken[0].job;
    world.started(first);
    world.ended(first, Outcome::Exited { code: 0 });
    assert_eq!(receipts(&world.tell(world.dispatch(&order))), [ReceiptKind::Accepted]);
}

#[test]
fn a_known_body_gets_the_last_word_whatever_time_and_keys_say() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let (running, queued) = (world.order(), world.order());
    world.tell(world.dispatch(&running));
    assert_eq!(receipts(&world.tell(world.dispatch(&running))), [ReceiptKind::Accepted]);
    world.started(running.job);
    world.tell(world.dispatch(&queued));
    let at = world.now.wall;

    assert_eq!(receipts(&world.tell(world.dispatch(&queued))), [ReceiptKind::Accepted]);
    let again = world.dispatch(&running);
    world.now.wall = world.now.wall + s(20);
    world.tell(world.welcome_with(2, |welcome| {
        let mut other = ring(2);
        other.keys.clear();
        welcome.ring = signed(&other, &ROOT);
    }));
    assert_eq!(receipts(&world.tell(again.clone())), [ReceiptKind::Started { at }]);

    world.ended(running.job, Outcome::Exited { code: 0 });
    world.now.wall = world.now.wall + s(3600);
    assert_eq!(reports(&world.tell(again.clone())), [running.job]);
    // Also right after a restart, before any welcome.
    world.crash();
    world.tell(Event::LinkUp);
    assert_eq!(reports(&world.tell(again)), [running.job]);
}

#[test]
fn what_was_forgotten_is_never_run_again() {
    let mut world = World::ready();
    let order = world.run();
    let again = world.dispatch(&order);
    world.tell(world.answer(order.job, AnswerKind::Stored));
    world.wait(s(3600));
    world.wait(s(10));
    assert!(world.entries().is_empty());
    assert_eq!(world.header().forgot_until, order.not_after);

    // Even if both clocks were to say that its time has not come yet.
    let mut frozen = World::ready();
    frozen.journal = world.journal.clone();
    frozen.machine = Machine::new(frozen.config.clone(), world.journal.header(), Vec::new());
    frozen.tell(Event::Begin);
    frozen.connect();
    assert_refused(&mut frozen, again, Refusal::NoMemory);
}

#[test]
fn a_journal_that_fails_takes_no_jobs_and_starts_none() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let (running, queued) = (world.order(), world.order());
    world.tell(world.dispatch(&running));
    world.tell(world.dispatch(&queued));
    world.journal.fail();
    let order = world.order();
    let before = world.entries();
    let actions = world.tell(world.dispatch(&order));
    assert_eq!(receipts(&actions), [refused(Refusal::Journal)]);
    assert_eq!(hellos(&actions).last().unwrap().readiness, crate::message::Readiness::NotReady);
    assert!(notices(&actions).iter().any(|n| matches!(n, Notice::JournalFailed(_))));

    // The outcome of what runs cannot be kept, so it is not told either, and nothing takes its place.
    world.journal.repair();
    world.started(running.job);
    let actions = world.ended(running.job, Outcome::Exited { code: 0 });
    assert!(reports(&actions).is_empty() && starts(&actions).is_empty());
    let actions = world.tell(world.dispatch(&world.order()));
    assert_eq!(receipts(&actions), [refused(Refusal::Journal)]);
    assert_eq!(world.entries(), before);
}
