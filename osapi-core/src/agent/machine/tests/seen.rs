//! How far the store had come: what an agent shows of it.

use super::super::{Action, Event};
use super::world::*;
use crate::auth::envelope::Signed;
use crate::id::StoreId;
use crate::message::order::{Answer, Position};
use crate::message::{FromAgent, Seen, ToAgent};

fn at(store: u8, cursor: u64) -> Position {
    Position { store: StoreId::from_bytes([store; 16]), bucket: "reports".into(), cursor }
}

/// What the next hello shows.
fn shown(world: &mut World) -> Option<Seen> {
    let hello = world.tell(Event::Pinged).into_iter().find_map(|action| match action {
        Action::Send(FromAgent::Hello(hello)) => Some(hello),
        _ => None,
    });
    hello.expect("a ping is answered by a hello").seen.map(|seen| *seen)
}

/// Runs a job whose report is stored there, and returns the answer that says so.
fn stored(world: &mut World, position: Position) -> Signed<Answer> {
    let job = world.run().job;
    let answer = world.stored_at(job, position, &JOBS);
    world.tell(Event::Message(ToAgent::Answer(answer.clone())));
    answer
}

#[test]
fn the_latest_position_is_shown_with_its_proof_and_outlives_a_crash() {
    let mut world = World::ready();
    assert_eq!(shown(&mut world), None);
    stored(&mut world, at(1, 5));
    let proof = stored(&mut world, at(1, 9));
    let latest = Seen { position: at(1, 9), proof };
    stored(&mut world, at(1, 7));
    assert_eq!(shown(&mut world), Some(latest.clone()));
    world.wait(std::time::Duration::from_millis(50));
    world.crash();
    world.connect();
    assert_eq!(shown(&mut world), Some(latest));
}

#[test]
fn another_store_does_not_make_it_forget() {
    let mut world = World::ready();
    stored(&mut world, at(1, 9));
    stored(&mut world, at(2, 900));
    assert_eq!(shown(&mut world).map(|seen| seen.position), Some(at(1, 9)));
}

#[test]
fn what_no_job_key_signed_is_not_shown() {
    let mut world = World::ready();
    let job = world.run().job;
    let forged = world.stored_at(job, at(1, 9), &STRANGER);
    world.tell(Event::Message(ToAgent::Answer(forged)));
    assert_eq!(shown(&mut world), None);
}
