//! Link, registration, key ring, and the server's time.

use super::super::{Action, Event, Notice};
use super::world::*;
use crate::auth::envelope::Signed;
use crate::auth::keys::{KeyRing, SigningKey};
use crate::job::Outcome;
use crate::message::{FromAgent, Readiness, Refused, Registration, RegistrationRefusal, ToAgent};

fn registrations(actions: &[Action]) -> Vec<&Signed<Registration>> {
    fn registration(action: &Action) -> Option<&Signed<Registration>> {
        match action {
            Action::Send(FromAgent::Register(signed)) => Some(signed),
            _ => None,
        }
    }
    actions.iter().filter_map(registration).collect()
}

#[test]
fn it_registers_until_it_is_welcomed_and_is_ready_only_then() {
    let mut world = World::new();
    assert!(registrations(&world.live(s(30))).is_empty(), "there is no link");
    let actions = world.tell(Event::LinkUp);
    assert_eq!(hellos(&actions)[0].readiness, Readiness::NotReady);
    let registration = registrations(&actions)[0].verify(&world.identity().key).unwrap();
    assert_eq!(registration.identity, world.identity());
    assert!(registrations(&world.live(s(10))).len() >= 4);

    let actions = world.tell(world.welcome());
    let hello = hellos(&actions)[0];
    assert_eq!((hello.readiness, hello.ring), (Readiness::Ready, 1));
    assert!(registrations(&world.live(s(60))).is_empty());
    world.tell(Event::LinkDown);
    assert_eq!(registrations(&world.tell(Event::LinkUp)).len(), 1);
}

#[test]
fn hellos_come_every_ten_seconds_and_when_asked() {
    let mut world = World::ready();
    assert_eq!(hellos(&world.tell(Event::Pinged)).len(), 1);
    assert_eq!(hellos(&world.live(s(60))).len(), 6);
    world.tell(Event::LinkDown);
    assert!(hellos(&world.live(s(60))).is_empty());
}

#[test]
fn a_welcome_that_is_not_for_me_or_not_genuine_is_ignored() {
    let mut world = World::new();
    world.tell(Event::LinkUp);
    let other = stranger(world.identity());
    for welcome in [
        world.welcome_with(1, |welcome| welcome.identity = other),
        world.welcome_with(1, |welcome| welcome.ring = signed(&ring(1), &STRANGER)),
        world.welcome_with(1, |welcome| welcome.ring = signed(&ring(1), &JOBS)),
    ] {
        let actions = world.tell(welcome);
        assert!(matches!(actions[..], [Action::Notice(Notice::WelcomeIgnored(_))]));
        assert_eq!(world.machine.readiness(), Readiness::NotReady);
    }
}

#[test]
fn a_ring_is_remembered_before_it_is_used_and_never_goes_back() {
    let mut world = World::new();
    world.tell(Event::LinkUp);
    world.syncs_at_once = false;
    world.tell(world.welcome_with(5, |_| {}));
    assert_eq!(world.machine.readiness(), Readiness::NotReady);
    assert_eq!(world.pending.len(), 1);
    world.syncs_at_once = true;
    world.sync();
    assert_eq!((world.machine.readiness(), world.header().ring), (Readiness::Ready, 5));

    let older = world.tell(world.welcome_with(4, |_| {}));
    assert!(matches!(older[..], [Action::Notice(Notice::WelcomeIgnored(_)), ..]));
    assert_eq!(world.header().ring, 5);
    // Not even after a crash; the same one is taken again.
    world.crash();
    world.tell(Event::LinkUp);
    world.tell(world.welcome_with(4, |_| {}));
    assert_eq!(world.machine.readiness(), Readiness::NotReady);
    world.tell(world.welcome_with(5, |_| {}));
    assert_eq!(world.machine.readiness(), Readiness::Ready);
}

#[test]
fn a_ring_that_everybody_is_told_is_taken_like_that_of_a_welcome_and_needs_no_answer() {
    let mut world = World::ready();
    let told = |world: &mut World, serial, key: &SigningKey| {
        world.tell(Event::KeysChanged(signed(&ring(serial), key)))
    };
    world.syncs_at_once = false;
    assert!(matches!(told(&mut world, 5, &ROOT)[..], [Action::Commit { .. }]));
    assert_eq!(hellos(&world.tell(Event::Pinged))[0].ring, 1, "not before it is remembered");
    assert!(told(&mut world, 5, &ROOT).is_empty(), "another controller says so too");
    world.syncs_at_once = true;
    assert!(world.sync().is_empty());
    assert_eq!(hellos(&world.tell(Event::Pinged))[0].ring, 5);
    assert!(told(&mut world, 4, &ROOT).is_empty());
    let forged = told(&mut world, 6, &JOBS);
    assert!(matches!(forged[..], [Action::Notice(Notice::RingIgnored(_))]));
    assert_eq!(hellos(&world.tell(Event::Pinged))[0].ring, 5);
}

#[test]
fn who_is_told_an_older_ring_shows_the_later_one_until_it_is_known() {
    let mut world = World::ready();
    world.tell(world.welcome_with(5, |_| {}));
    assert_eq!(hellos(&world.tell(Event::Pinged))[0].later_ring, None);
    let actions = world.tell(world.welcome_with(4, |_| {}));
    let shown = hellos(&actions)[0].later_ring.as_deref().unwrap();
    assert_eq!(KeyRing::open(shown, &ROOT.public()).unwrap().serial, 5);
    assert!(hellos(&world.tell(world.welcome_with(3, |_| {}))).is_empty(), "at once only once");
    assert!(hellos(&world.tell(Event::Pinged))[0].later_ring.is_some());
    world.tell(world.welcome_with(5, |_| {}));
    assert_eq!(hellos(&world.tell(Event::Pinged))[0].later_ring, None);
}

#[test]
fn a_key_that_a_newer_ring_withdraws_is_no_longer_taken() {
    let mut world = World::ready();
    let order = world.dispatch(&world.order());
    world.tell(world.welcome_with(2, |welcome| {
        let mut without = ring(2);
        without.keys.remove(0);
        welcome.ring = signed(&without, &ROOT);
    }));
    assert_eq!(receipts(&world.tell(order)), [refused(crate::message::Refusal::UnknownKey)]);
}

#[test]
fn the_servers_time_goes_on_with_the_time_since_boot() {
    let mut world = World::ready();
    let order = world.order();
    // The own clock stands still, or is set back again and again.
    world.now.boottime += s(30);
    world.tell(world.dispatch(&order));
    assert_eq!(world.outcome(order.job), Outcome::Expired);
}

#[test]
fn a_welcome_that_was_delayed_does_not_turn_the_servers_time_back() {
    let mut world = World::ready();
    let (order, delayed) = (world.order(), world.welcome());
    world.now.boottime += s(30);
    world.tell(delayed);
    world.tell(world.dispatch(&order));
    assert_eq!(world.outcome(order.job), Outcome::Expired);

    // The first welcome after a reconnect is believed.
    let order = world.order();
    world.tell(Event::LinkDown);
    world.connect();
    assert_eq!(starts(&world.tell(world.dispatch(&order))), [order.job]);
}

fn kept_out(world: &World, why: RegistrationRefusal) -> Event {
    Event::Message(ToAgent::Refused(Refused { identity: world.identity(), why }))
}

#[test]
fn who_is_not_let_in_says_so_is_not_ready_and_goes_on_asking() {
    let mut world = World::ready();
    let why = RegistrationRefusal::Removed;
    let actions = world.tell(kept_out(&world, why.clone()));
    assert_eq!(actions[0], Action::Notice(Notice::KeptOut(why.clone())));
    assert_eq!(registrations(&actions).len(), 1);
    assert_eq!(hellos(&actions)[0].readiness, Readiness::NotReady);
    assert_eq!(world.machine.refusal(), Some(&why));
    let alarms = |actions: &[Action]| {
        actions.iter().filter(|action| matches!(action, Action::Notice(Notice::KeptOut(_)))).count()
    };
    let mut said = 0;
    for _ in 0..30 {
        let actions = world.live(s(5));
        assert!(!registrations(&actions).is_empty());
        said += alarms(&world.tell(kept_out(&world, why.clone())));
    }
    assert_eq!(said, 2, "once a minute");
    let taken = RegistrationRefusal::NameTaken { key_id: JOBS.id() };
    assert_eq!(alarms(&world.tell(kept_out(&world, taken))), 1, "another reason is news");
    world.tell(world.welcome());
    assert_eq!((world.machine.readiness(), world.machine.refusal()), (Readiness::Ready, None));
    assert!(registrations(&world.live(s(60))).is_empty());
}

#[test]
fn who_is_not_known_asks_again_and_stays_ready() {
    let mut world = World::ready();
    let actions = world.tell(kept_out(&world, RegistrationRefusal::Unknown));
    assert_eq!(registrations(&actions).len(), 1);
    assert_eq!((world.machine.readiness(), world.machine.refusal()), (Readiness::Ready, None));
    world.tell(world.welcome());
    assert!(registrations(&world.live(s(60))).is_empty());
}

#[test]
fn the_refusal_of_another_host_under_the_name_is_not_mine() {
    let mut world = World::ready();
    let identity = stranger(world.identity());
    let refused = Refused { identity, why: RegistrationRefusal::Removed };
    assert!(world.tell(Event::Message(ToAgent::Refused(refused))).is_empty());
    assert_eq!(world.machine.readiness(), Readiness::Ready);
}

#[test]
fn hellos_count_themselves_and_say_what_was_denied() {
    let mut world = World::ready();
    let first = hellos(&world.tell(Event::Pinged))[0].seq;
    world.tell(Event::Denied(3));
    let hello = hellos(&world.tell(Event::Pinged))[0].clone();
    assert_eq!((hello.seq, hello.denied), (first + 1, 3));
}
