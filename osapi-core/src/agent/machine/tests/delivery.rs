//! Getting an outcome to the store, and forgetting it.

use super::super::{Action, Event, Notice, Output};
use super::world::*;
use crate::agent::journal::Stage;
use crate::id::{Digest, JobId};
use crate::job::limits::{CHUNK_MAX, INLINE_OUTPUT_MAX};
use crate::job::report::Stream;
use crate::job::{Outcome, StreamReport};
use crate::message::order::AnswerKind;
use crate::message::word::{OutputSettled, ReceiptKind};
use crate::message::{Readiness, ToAgent};

/// A stream whose kept bytes take this many chunks.
pub(super) fn large(count: u64) -> StreamReport {
    let kept = count * CHUNK_MAX as u64;
    let (total, head, sha256) = (kept, kept, Digest::of(b"large"));
    StreamReport { total, kept, head, sha256, inline: None, incomplete: false, parts: None }
}

fn run_with(world: &mut World, output: Output) -> (JobId, Vec<Action>) {
    let order = world.order();
    world.tell(world.dispatch(&order));
    world.started(order.job);
    (order.job, world.ended_with(order.job, Outcome::Exited { code: 0 }, output))
}

fn settled(world: &World, job: JobId, stream: Stream, offset: u64) -> Event {
    let (identity, sha256) = (world.identity(), Digest::of(b"large"));
    let settled = OutputSettled { identity, job, stream, offset, sha256, stored: true };
    Event::Message(ToAgent::OutputSettled(settled))
}

#[test]
fn a_report_is_repeated_with_backoff_until_it_is_stored() {
    let mut world = World::ready();
    let order = world.run();
    let times: Vec<_> = (0..600)
        .filter(|_| !reports(&world.wait(std::time::Duration::from_millis(50))).is_empty())
        .collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]) * 50).collect();
    assert_eq!((times[0], &gaps[..5]), (5, &[600, 1200, 2400, 4800, 5000][..]));

    // It is written down with whatever comes next, or soon.
    let actions = world.tell(world.answer(order.job, AnswerKind::Stored));
    assert_eq!(commits(&actions), 0);
    assert_eq!(commits(&world.wait(std::time::Duration::from_millis(50))), 1);
    assert!(reports(&world.live(s(60))).is_empty());
    assert!(matches!(&world.entries()[0].1.stage, Stage::Ended(e) if e.keep_until.is_some()));
}

#[test]
fn a_link_that_comes_back_sends_what_is_not_answered() {
    let mut world = World::ready();
    let (open, closed) = (world.run(), world.run());
    world.tell(world.answer(closed.job, AnswerKind::Stored));
    world.tell(Event::LinkDown);
    assert!(reports(&world.live(s(60))).is_empty());
    assert_eq!(reports(&world.tell(Event::LinkUp)), [open.job]);
}

#[test]
fn only_a_genuine_answer_about_this_report_counts() {
    let mut world = World::ready();
    let order = world.run();
    let (job, me) = (order.job, world.identity());
    let stored = AnswerKind::Stored(world.signed_report(job).digest());
    let other = world.run();
    for answer in [
        world.answer_by(&STRANGER, me.clone(), job, stored.clone()),
        world.answer_by(&TOKENS, me.clone(), job, stored.clone()),
        world.answer_by(&JOBS, stranger(me.clone()), job, stored.clone()),
        world.answer_by(&JOBS, me.clone(), job, AnswerKind::Stored(Digest::of(b"other"))),
        world.answer_by(&JOBS, me.clone(), other.job, stored.clone()),
    ] {
        let actions = world.tell(answer);
        assert!(matches!(notices(&actions)[..], [Notice::AnswerIgnored(..)]));
        assert_eq!(commits(&actions), 0);
    }
    assert!(notices(&world.tell(world.answer_by(&JOBS, me, job, stored))).is_empty());
    assert_eq!(commits(&world.wait(std::time::Duration::from_millis(50))), 1);
}

#[test]
fn an_answer_that_a_crash_overtakes_is_asked_for_again() {
    let mut world = World::ready();
    let order = world.run();
    world.tell(world.answer(order.job, AnswerKind::Stored));
    world.crash();
    assert_eq!(reports(&world.connect()), [order.job]);
}

#[test]
fn conflict_and_gone_end_the_sending_and_are_told() {
    for (kind, notice) in [
        (AnswerKind::Conflict as fn(Digest) -> AnswerKind, Notice::Conflict as fn(JobId) -> Notice),
        (AnswerKind::Gone, Notice::Gone),
    ] {
        let mut world = World::ready();
        let order = world.run();
        let actions = world.tell(world.answer(order.job, kind));
        assert_eq!(notices(&actions), [&notice(order.job)]);
        assert!(reports(&world.live(s(60))).is_empty());
        world.crash();
        assert!(reports(&world.connect()).is_empty());
        assert_eq!(reports(&world.tell(world.dispatch(&order))), [order.job], "it is still known");
    }
}

#[test]
fn an_unanswered_outcome_is_never_forgotten() {
    let mut world = World::ready();
    let order = world.run();
    world.live(s(600));
    world.now.wall = world.now.wall + s(400 * 24 * 3600);
    world.tell(world.welcome());
    world.wait(s(10));
    assert_eq!(world.entries()[0].0, order.job);
    world.tell(world.answer(order.job, AnswerKind::Stored));
    world.live(s(3590));
    assert_eq!(world.entries().len(), 1, "kept for the store's retention");
    world.live(s(30));
    assert!(world.entries().is_empty());
}

#[test]
fn a_wall_clock_that_jumps_ahead_alone_makes_nothing_forgotten() {
    let mut world = World::ready();
    let order = world.run();
    world.tell(world.answer(order.job, AnswerKind::Stored));
    world.now.wall = world.now.wall + s(400 * 24 * 3600);
    world.live(s(60));
    assert_eq!(world.entries().len(), 1);
}

#[test]
fn small_output_travels_in_the_report() {
    let mut world = World::ready();
    let mut output = Output::empty();
    output.stdout.inline = Some("aGk=".into());
    (output.stdout.total, output.stdout.kept) = (2, 2);
    let (job, actions) = run_with(&mut world, output.clone());
    assert_eq!((reports(&actions), chunks(&actions).len()), (vec![job], 0));
    assert!(actions.contains(&Action::DiscardOutput(job)));
    assert_eq!(world.report(job).stdout, output.stdout);
}

#[test]
fn a_report_never_outgrows_its_bound() {
    let mut world = World::ready();
    let kept = INLINE_OUTPUT_MAX as u64;
    let stdout = StreamReport {
        total: kept,
        kept,
        head: kept,
        inline: Some("A".repeat(300_000)),
        ..large(1)
    };
    let output = Output { stdout, ..Output::empty() };
    let (job, actions) = run_with(&mut world, output);
    assert_eq!(world.report(job).stdout.inline, None);
    assert_eq!(chunks(&actions).len(), 2, "what does not fit goes beside it");

    let order = world.order();
    world.tell(world.dispatch(&order));
    let value = serde_json::Value::String("x".repeat(300_000));
    world.ended(order.job, Outcome::Returned { value });
    assert!(matches!(world.outcome(order.job), Outcome::Failed(f) if f.code == "result_too_large"));
}

#[test]
fn large_output_goes_before_its_report() {
    let mut world = World::ready();
    let output = Output { stdout: large(9), ..Output::empty() };
    let (job, actions) = run_with(&mut world, output);
    let mut sent = chunks(&actions);
    assert_eq!((sent.len(), reports(&actions).len()), (8, 0));
    let at = world.now.wall;
    let dispatched = world.tell(Event::Pinged);
    assert_eq!(hellos(&dispatched)[0].running, [job], "until its report is sent");
    let mut actions = Vec::new();
    for n in 0..9 {
        assert!(reports(&actions).is_empty());
        actions = world.tell(settled(&world, job, Stream::Stdout, n * CHUNK_MAX as u64));
        sent.extend(chunks(&actions));
    }
    assert_eq!((sent.len(), reports(&actions)), (9, vec![job]));
    assert!(actions.contains(&Action::DiscardOutput(job)));
    assert_eq!(world.report(job).started_at, Some(at));
}

#[test]
fn a_report_waits_ten_seconds_for_output_that_does_not_move() {
    let mut world = World::ready();
    let output = Output { stdout: large(1), ..Output::empty() };
    let (job, _) = run_with(&mut world, output);
    let actions = world.live(s(9));
    assert!(reports(&actions).is_empty() && !chunks(&actions).is_empty());
    let actions = world.live(s(2));
    assert_eq!(reports(&actions).first(), Some(&job));
    // The output goes on being sent, also after the report was stored.
    world.tell(world.answer(job, AnswerKind::Stored));
    let actions = world.live(s(20));
    assert!(reports(&actions).is_empty() && !chunks(&actions).is_empty());
    world.crash();
    let actions = world.connect();
    assert!(reports(&actions).is_empty() && !chunks(&actions).is_empty());
    world.tell(settled(&world, job, Stream::Stdout, 0));
    world.live(s(1));
    assert!(!world.machine.needs_output(job));
    world.crash();
    assert!(chunks(&world.connect()).is_empty());
}

#[test]
fn output_that_cannot_be_read_holds_nothing_back() {
    let mut world = World::ready();
    let output = Output { stdout: large(1), ..Output::empty() };
    let (job, actions) = run_with(&mut world, output);
    let chunk = chunks(&actions)[0].0;
    let actions = world.tell(Event::ChunkLost { job, chunk });
    assert_eq!(reports(&actions), [job]);
    assert!(notices(&actions).contains(&&Notice::OutputLost(job)));
}

#[test]
fn somebody_elses_settled_output_is_not_mine() {
    let mut world = World::ready();
    let output = Output { stdout: large(1), ..Output::empty() };
    let (job, _) = run_with(&mut world, output);
    let Event::Message(ToAgent::OutputSettled(mut other)) = settled(&world, job, Stream::Stdout, 0)
    else {
        unreachable!()
    };
    other.identity = stranger(other.identity);
    let actions = world.tell(Event::Message(ToAgent::OutputSettled(other)));
    assert!(reports(&actions).is_empty());
    assert_eq!(world.machine.readiness(), Readiness::Ready);
    let order = world.order();
    assert!(!receipts(&world.tell(world.dispatch(&order))).contains(&ReceiptKind::Busy));
}
