//! Shutting down.

use super::super::{Action, Drained, Event};
use super::world::*;
use crate::executor::StopReason;
use crate::job::Outcome;
use crate::message::Readiness;
use crate::message::order::AnswerKind;

#[test]
fn an_idle_agent_ends_at_once() {
    let mut world = World::ready();
    let actions = world.tell(Event::Drain);
    assert_eq!(done(&actions), Some(Drained::default()));
    assert_eq!(hellos(&actions)[0].readiness, Readiness::Draining);
}

#[test]
fn what_runs_may_end_and_is_reported_before_the_agent_ends() {
    let mut world = World::ready_with(|config| config.slots = 1);
    let (running, queued) = (world.order(), world.order());
    world.tell(world.dispatch(&running));
    world.tell(world.dispatch(&queued));
    world.started(running.job);
    assert_eq!(done(&world.tell(Event::Drain)), None);
    let actions = world.ended(running.job, Outcome::Exited { code: 0 });
    assert!(starts(&actions).is_empty() && done(&actions).is_none());
    let actions = world.tell(world.answer(running.job, AnswerKind::Stored));
    assert_eq!(done(&actions), Some(Drained { unanswered: 0, waiting: 1, running: 0 }));
    // What waited goes on after the restart.
    world.crash();
    assert_eq!(starts(&world.connect()), [queued.job]);
}

#[test]
fn what_does_not_end_in_time_is_stopped_and_lost() {
    let mut world = World::ready();
    let order = world.order();
    world.tell(world.dispatch(&order));
    world.started(order.job);
    world.tell(Event::Drain);
    assert!(world.live(s(11)).contains(&Action::Stop(order.job, StopReason::Shutdown)));
    world.ended(order.job, Outcome::Lost);
    assert_eq!(world.outcome(order.job), Outcome::Lost);
    assert_eq!(done(&world.live(s(11))).map(|drained| drained.unanswered), Some(1));
}

#[test]
fn without_a_link_no_report_is_waited_for() {
    let mut world = World::ready();
    world.run();
    world.tell(Event::LinkDown);
    let drained = done(&world.tell(Event::Drain));
    assert_eq!(drained, Some(Drained { unanswered: 1, waiting: 0, running: 0 }));
}
