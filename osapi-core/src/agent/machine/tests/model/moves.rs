//! What may happen.

use proptest::prelude::*;

use super::orders::{HOSTS, JOBS_IN_PLAY};

/// One of the hosts, and one of the jobs.
pub(super) type At = (usize, usize);

/// A move. Numbers beyond what there is mean it modulo that.
#[derive(Debug, Clone)]
pub(super) enum Move {
    /// An order reaches a host.
    Deliver(At),
    /// An order that came at some time comes again.
    Resend(usize),
    /// An order reaches a host, and nothing disturbs it until its report is answered.
    GoWell(At),
    /// The same job with another body, as authentic as the first.
    DeliverOther(At),
    /// Something that looks like the order and is not.
    Tamper(At, Tampering),
    /// A cancel is recorded, and told to one host.
    Cancel(At),
    /// A request that was made at some time reaches the store, perhaps not for the first time.
    Ask(usize),
    /// An answer that was given at some time reaches its host, and copies of it, perhaps not for the first time.
    Answer(usize),
    /// An answer that was given to one host reaches another.
    Misdeliver(usize, usize),
    /// A `yours` that no job key signed, and answers with a nonce that the host did not ask with.
    Forge(At),
    /// One of the reports that a host told is stored.
    Stored(At),
    /// The first of two job keys is retired.
    RetireKey,
    /// A controller welcomes a host, perhaps with the ring of before.
    Welcome(usize, IsBehind),
    /// A controller tells a host the present ring.
    TellRing(usize),
    /// The host's policy begins, or ends, to refuse a job.
    ChangePolicy(At),
    /// So many of the commits under way are synced, and told.
    Sync(usize, usize),
    /// So many of them are synced, then the process dies and starts again.
    Crash(usize, usize),
    /// The next commit fails, kept or not, and with it all that follow until the cause is gone.
    Fail(usize, IsKept),
    /// The cause is gone.
    Repair(usize),
    /// The host is installed anew: it has its key and nothing else.
    Wipe(usize),
    /// The host is copied, with its disk.
    Copy(usize),
    /// One of the executions of a host tells its handle, or ends, or what a crash left of it is ended.
    Started(At),
    Ended(At),
    LeftoversEnded(At),
    LinkUp(usize),
    LinkDown(usize),
    /// Time passes on all clocks.
    Wait(u64),
    /// One host's wall clock is set by that many seconds.
    SetWall(usize, i64),
    /// The wall clocks of all hosts stand still while time passes, as if the hosts were stopped or their clocks slow.
    Stall(u64),
}

pub(super) type IsBehind = bool;
pub(super) type IsKept = bool;

/// What is wrong with an order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tampering {
    Body,
    Signature,
    /// Signed with a key that nobody knows.
    Stranger,
    /// Signed with a key of the fleet that is for something else.
    OtherUse,
    /// Signed with a job key, for another fleet.
    OtherFleet,
    /// The proof that another host is meant.
    Membership,
}

fn tampering() -> impl Strategy<Value = Tampering> {
    prop_oneof![
        Just(Tampering::Body),
        Just(Tampering::Signature),
        Just(Tampering::Stranger),
        Just(Tampering::OtherUse),
        Just(Tampering::OtherFleet),
        Just(Tampering::Membership),
    ]
}

pub(super) fn any_move() -> impl Strategy<Value = Move> {
    // One more than there are at first: a copy.
    let host = 0..HOSTS + 1;
    let at = (host.clone(), 0..JOBS_IN_PLAY);
    let some = 0..1000_usize;
    prop_oneof![
        12 => at.clone().prop_map(Move::Deliver),
        8 => some.clone().prop_map(Move::Resend),
        4 => at.clone().prop_map(Move::GoWell),
        1 => at.clone().prop_map(Move::DeliverOther),
        1 => (at.clone(), tampering()).prop_map(|(at, how)| Move::Tamper(at, how)),
        1 => at.clone().prop_map(Move::Cancel),
        8 => some.clone().prop_map(Move::Ask),
        8 => some.clone().prop_map(Move::Answer),
        1 => (some, host.clone()).prop_map(|(n, host)| Move::Misdeliver(n, host)),
        1 => at.clone().prop_map(Move::Forge),
        4 => at.clone().prop_map(Move::Stored),
        1 => Just(Move::RetireKey),
        3 => (host.clone(), any::<IsBehind>()).prop_map(|(host, is_behind)| Move::Welcome(host, is_behind)),
        1 => host.clone().prop_map(Move::TellRing),
        1 => at.clone().prop_map(Move::ChangePolicy),
        12 => (host.clone(), 1..4_usize).prop_map(|(host, n)| Move::Sync(host, n)),
        2 => (host.clone(), 0..3_usize).prop_map(|(host, n)| Move::Crash(host, n)),
        2 => (host.clone(), any::<IsKept>()).prop_map(|(host, is_kept)| Move::Fail(host, is_kept)),
        2 => host.clone().prop_map(Move::Repair),
        1 => host.clone().prop_map(Move::Wipe),
        1 => host.clone().prop_map(Move::Copy),
        4 => at.clone().prop_map(Move::Started),
        4 => at.clone().prop_map(Move::Ended),
        2 => at.prop_map(Move::LeftoversEnded),
        2 => host.clone().prop_map(Move::LinkUp),
        1 => host.clone().prop_map(Move::LinkDown),
        2 => (0..20_u64).prop_map(Move::Wait),
        1 => (host, -40..40_i64).prop_map(|(host, by)| Move::SetWall(host, by)),
        1 => (0..20_u64).prop_map(Move::Stall),
    ]
}
