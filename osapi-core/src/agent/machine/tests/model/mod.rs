//! The agent as a state machine among hosts, controllers and a store of claims: whatever is delivered, repeated, tampered with, retired,
//! forbidden, cancelled, answered late or twice, wiped, copied, or lost in a crash, and whatever the clocks do, the promises hold.
//!
//! [`moves`] says what may happen, [`play`] makes it happen, [`rules`] says what must stay true, [`orders`] is what controllers signed. That the
//! rules notice is shown by two [mutations](Mutation) of what surrounds the machine.

mod host;
mod moves;
mod orders;
mod play;
mod rules;
mod store;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use moves::{Move, any_move};
use play::Play;

/// How many plays are tried.
const PLAYS: u32 = 96;
/// Moves of the longest play.
const LONGEST: usize = 160;

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutation {
    /// What follows from `starting` does not wait until that is synced.
    SpawnBeforeSync,
    /// The journal forgets an execution as soon as its report was answered.
    ForgetEarly,
}

/// Which rules were broken.
type Broken = BTreeSet<&'static str>;

fn moves() -> impl Strategy<Value = Vec<Move>> {
    prop::collection::vec(any_move(), 1..LONGEST)
}

/// What is broken by the end of the play, or when `is_enough`.
fn broken_by(
    moves: &[Move],
    mutation: Option<Mutation>,
    is_enough: impl Fn(&Broken) -> bool,
) -> Broken {
    let mut play = Play::new(mutation);
    for step in moves {
        play.play(step);
        if is_enough(&play.broken) {
            return play.broken;
        }
    }
    play.settle();
    play.broken
}

/// Whether one of the usual number of plays breaks the rule.
fn is_noticed(mutation: Mutation, rule: &str) -> bool {
    let mut runner = TestRunner::deterministic();
    let is_enough = |broken: &Broken| broken.contains(rule);
    (0..PLAYS).any(|_| {
        let moves = moves().new_tree(&mut runner).unwrap().current();
        is_enough(&broken_by(&moves, Some(mutation), is_enough))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: PLAYS, ..ProptestConfig::default() })]
    #[test]
    fn a_job_starts_once_in_time_and_after_its_sync_and_its_report_never_changes(moves in moves()) {
        let broken = broken_by(&moves, None, |broken| !broken.is_empty());
        prop_assert!(broken.is_empty(), "{broken:?}");
    }
}

#[test]
fn a_start_that_does_not_wait_for_its_sync_is_noticed() {
    assert!(is_noticed(Mutation::SpawnBeforeSync, rules::UNSYNCED), "no play shows it");
    assert!(is_noticed(Mutation::SpawnBeforeSync, rules::TWICE), "no crash shows why it matters");
}

#[test]
fn a_journal_that_forgets_early_is_noticed() {
    assert!(is_noticed(Mutation::ForgetEarly, rules::TWICE), "no play shows it");
}
