//! Which points come after each other on one agent, and what is true at each.

use osapi_core::crash::{Place, Point, Side};

use super::journal::Stage;

/// Points that one agent walks in this order, each after the start that follows the crash before.
pub(super) fn paths() -> Vec<Vec<Point>> {
    let alone = [
        Place::Starting,
        Place::Running,
        Place::Outcome,
        Place::Acknowledged,
        Place::Execution,
        Place::Hello,
        Place::Registration,
        Place::Receipt,
        Place::ClaimRequest,
        Place::Report,
        Place::OutputChunk,
    ];
    let mut paths: Vec<_> = Point::of(&alone).into_iter().map(|point| vec![point]).collect();
    paths.push(vec![Place::Accepted.before()]);
    // What was accepted is cancelled while the agent is dead, so that its claim is not the agent's.
    paths.push(vec![Place::Accepted.after(), Place::Closed.before(), Place::Closed.after()]);
    paths.push(vec![Place::Spawned.before()]);
    paths.push(vec![Place::Spawned.after(), Place::Leftovers.before(), Place::Leftovers.after()]);
    // What is cancelled while the agent is dead is known to it by the cancel alone.
    paths.push(vec![Place::Barred.before(), Place::Barred.after()]);
    paths
}

/// What only one agent walks, and only once.
pub(super) fn once() -> [Vec<Point>; 2] {
    [
        vec![Place::RingSeen.before(), Place::RingSeen.after()],
        // What was closed first is forgotten, more than a minute later.
        vec![Place::Forgotten.before(), Place::Forgotten.after()],
    ]
}

/// What the journal may say, right after a crash, of the job with which the point was passed; an absent one is `None`. Nothing is said of
/// receipts, which tell of any stage.
pub(super) fn stages_at(point: Point) -> Option<&'static [Option<Stage>]> {
    use Stage::{Accepted, Acknowledged, Closed, Ended, Running, Starting};
    Some(match (point.place, point.side) {
        (Place::Accepted, Side::Before) => &[None, Some(Accepted)],
        // A cancel is journaled here too, and what becomes of the claim with it.
        (Place::Accepted, Side::After) => &[Some(Accepted), Some(Ended), Some(Closed)],
        (Place::ClaimRequest, _) => &[Some(Accepted)],
        (Place::Starting, Side::Before) => &[None, Some(Accepted)],
        // From here on it is lost: nothing was started, and the next run of the agent cannot know that.
        (Place::Starting, Side::After) | (Place::Execution, Side::Before) => &[Some(Starting)],
        // How it is found again is journaled a little later, or with whatever comes first.
        (Place::Spawned | Place::Leftovers, _)
        | (Place::Running, Side::Before)
        | (Place::Execution, Side::After) => &[Some(Starting), Some(Running)],
        // A command that ends while others are journaled has its end in the same commit.
        (Place::Running, Side::After) => &[Some(Running), Some(Ended)],
        // What never started has an outcome too.
        (Place::Outcome, Side::Before) => &[Some(Accepted), Some(Starting), Some(Running)],
        (Place::Outcome | Place::Barred, Side::After) => &[Some(Ended)],
        (Place::Barred, Side::Before) | (Place::Forgotten, Side::After) => &[None],
        (Place::Acknowledged, Side::Before) | (Place::Report | Place::OutputChunk, _) => {
            &[Some(Ended), Some(Acknowledged)]
        }
        (Place::Acknowledged, Side::After) => &[Some(Acknowledged)],
        (Place::Closed, Side::Before) => &[Some(Accepted)],
        (Place::Closed, Side::After) | (Place::Forgotten, Side::Before) => &[Some(Closed)],
        (_, Side::Before | Side::After) => return None,
    })
}

/// Whether a job with which an agent crashes at this point has never been started there, and never will be.
pub(super) fn never_runs(point: Point) -> bool {
    matches!(
        (point.place, point.side),
        (Place::Starting, Side::After)
            | (Place::Execution, Side::Before)
            | (Place::Barred | Place::Closed | Place::Forgotten, _)
    )
}
