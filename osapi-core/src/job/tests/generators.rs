//! Jobs, and everything that may be recorded and said of them: also by strangers, by namesakes, and about other jobs.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::id::{AgentName, RequestId};
use crate::id::{Digest, FleetId, Identity, InstanceId, JobId, JournalId, Nonce, PublicKey};
use crate::job::record::VERSION;
use crate::job::view::JobView;
use crate::job::word::{Heard, Listed, ReceiptKind, Refusal, Word};
use crate::job::{
    ClaimRecord, ClaimRule, Exec, Failure, Holder, Host, JobRecord, Operation, Outcome, Place,
    Report, StoredReport, StreamReport, Submitter, VoidReason,
};

/// Hosts that a job may list.
const HOSTS: usize = 5;
/// Identities that may say something: the hosts, namesakes of three of them, and a stranger.
const WHO: usize = HOSTS + 4;

/// Milliseconds after the creation of the job.
pub(super) fn at(millis: i64) -> Timestamp {
    let base = 1_790_000_000_000_i64 + millis;
    Timestamp::from_unix_millis(base.unsigned_abs())
}

/// Seconds after the creation of the job.
pub(super) fn at_s(seconds: i64) -> Timestamp {
    at(seconds * 1000)
}

pub(super) fn job_id() -> JobId {
    "019c9f2e-0000-7000-8000-000000000001".parse().unwrap()
}

fn other_job() -> JobId {
    "019c9f2e-0000-7000-8000-000000000002".parse().unwrap()
}

/// One of those who may say something.
pub(super) fn identity(who: usize) -> Identity {
    let name: AgentName =
        format!("h{}", if who < HOSTS { who } else { who - HOSTS }).parse().unwrap();
    let name = if who + 1 == WHO { "stranger".parse().unwrap() } else { name };
    let byte = u8::try_from(who).unwrap();
    let (key, journal) = (PublicKey::from_bytes([byte; 32]), JournalId::from_bytes([byte; 16]));
    Identity { name, key, journal }
}

pub(super) fn instance(n: u8) -> InstanceId {
    InstanceId::from_bytes([n; 16])
}

/// A job that is created at 0 s, starts until 30 s, and runs for at most 20 s and 5 s of kill grace.
pub(super) fn job(claim: ClaimRule) -> JobRecord {
    let operation = Operation::Exec(Exec { timeout: 20, ..Exec::new("true") });
    let (subject, token_id) = ("user@example.com".to_owned(), "t1".to_owned());
    JobRecord {
        v: VERSION,
        job: job_id(),
        nonce: Nonce::from_bytes([1; 16]),
        created_at: at(0),
        not_after: at_s(30),
        submitter: Submitter { subject, token_id, roles: vec!["admin".to_owned()] },
        operation,
        target: "_all".to_owned(),
        claim,
        envelope: Digest::of(b"envelope"),
        key: format!("k4.pid.{}", "A".repeat(44)).parse().unwrap(),
        hosts: vec![Digest::of(b"hosts")],
        request_id: RequestId::from_bytes([2; 16]),
        retry_of: None,
    }
}

pub(super) fn host(who: usize) -> Host {
    Host { identity: identity(who), unreachable: false }
}

pub(super) fn report(who: usize, outcome: Outcome) -> Report {
    Report {
        v: VERSION,
        fleet: FleetId::from_bytes([3; 16]),
        job: job_id(),
        identity: identity(who),
        outcome,
        started_at: Some(at_s(1)),
        ended_at: at_s(2),
        duration_ms: 1000,
        stdout: StreamReport::empty(),
        stderr: StreamReport::empty(),
    }
}

pub(super) fn place(n: u64) -> Place {
    Place { cursor: n / 2, index: u32::from(n % 2 == 1), key: "job.writer.0".into() }
}

pub(super) fn stored(report: &Report, n: u64) -> StoredReport {
    StoredReport::of(report, Digest::of(&n.to_be_bytes()), place(n))
}

pub(super) fn claim(host: Option<usize>, holder: Holder) -> ClaimRecord {
    let host = host.map(|who| identity(who).name);
    ClaimRecord { v: VERSION, job: job_id(), host, at: at_s(31), holder }
}

pub(super) fn agent(who: usize) -> Holder {
    Holder::Agent { identity: identity(who), nonce: Nonce::from_bytes([4; 16]) }
}

/// A job, and what may be recorded and said of it.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) job: JobRecord,
    pub(super) hosts: Vec<Host>,
    pub(super) events: Vec<Event>,
}

/// What a controller may learn.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Report(StoredReport),
    Claim(ClaimRecord),
    Cancel(Timestamp),
    Word(Heard),
    Settle { now: Timestamp, connected_since: Option<Timestamp> },
}

impl Event {
    pub(super) fn tell(&self, view: &mut JobView) -> bool {
        match self.clone() {
            Self::Report(report) => view.on_report(report),
            Self::Claim(claim) => view.on_claim(&claim),
            Self::Cancel(at) => view.on_cancel(at),
            Self::Word(Heard { identity, instance, at, word: Word::Receipt(kind) }) => {
                view.on_receipt(&identity, instance, kind, at)
            }
            Self::Word(Heard { identity, instance, at, word: Word::Hello(listed) }) => {
                view.on_hello(&identity, instance, listed, at)
            }
            Self::Settle { now, connected_since } => view.settle(now, connected_since),
        }
    }
}

impl World {
    pub(super) fn view(&self) -> JobView {
        JobView::new(&self.job, self.hosts.clone())
    }
}

pub(super) fn claim_rule() -> impl Strategy<Value = ClaimRule> {
    prop_oneof![Just(ClaimRule::None), Just(ClaimRule::Host), Just(ClaimRule::Job)]
}

pub(super) fn outcome() -> impl Strategy<Value = Outcome> {
    let failure = || Failure::new("policy", "not here");
    prop_oneof![
        (0..3).prop_map(|code| Outcome::Exited { code }),
        Just(Outcome::Signaled { signal: 9, killed_for_memory: false }),
        Just(Outcome::Returned { value: 7.into() }),
        Just(Outcome::Failed(failure())),
        Just(Outcome::TimedOut),
        Just(Outcome::Cancelled),
        Just(Outcome::Rejected(failure())),
        Just(Outcome::Expired),
        Just(Outcome::Lost),
    ]
}

fn who() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..HOSTS, 1 => HOSTS..WHO]
}

fn holder() -> impl Strategy<Value = Holder> {
    prop_oneof![
        4 => who().prop_map(agent),
        1 => Just(Holder::Void(VoidReason::Expired)),
        1 => Just(Holder::Void(VoidReason::Cancelled)),
    ]
}

/// Each claim is created once: at most one for the job and one for each host; and one for another job.
fn claims() -> impl Strategy<Value = Vec<ClaimRecord>> {
    let own = |who| prop_oneof![2 => Just(agent(who)), 1 => holder()];
    let of_hosts: Vec<_> = (0..HOSTS).map(|who| option::of(own(who))).collect();
    (option::weighted(0.8, holder()), of_hosts, holder()).prop_map(|(whole, of_hosts, other)| {
        let of_hosts = of_hosts.into_iter().enumerate();
        let of_hosts = of_hosts.filter_map(|(who, holder)| Some(claim(Some(who), holder?)));
        let other = ClaimRecord { job: other_job(), ..claim(None, other) };
        whole.map(|holder| claim(None, holder)).into_iter().chain(of_hosts).chain([other]).collect()
    })
}

fn reports() -> impl Strategy<Value = Vec<StoredReport>> {
    let one = (who(), outcome(), prop::bool::weighted(0.9));
    vec(one, 0..10).prop_map(|reports| {
        (0..)
            .zip(reports)
            .map(|(n, (who, outcome, is_ours))| {
                let job = if is_ours { job_id() } else { other_job() };
                stored(&Report { job, ..report(who, outcome) }, n)
            })
            .collect()
    })
}

fn word() -> impl Strategy<Value = Word> {
    let receipt = prop_oneof![
        Just(ReceiptKind::Accepted),
        (-60_i64..90).prop_map(|start| ReceiptKind::Started { at: at_s(start) }),
        Just(ReceiptKind::Busy),
        Just(ReceiptKind::Refused(Refusal::NoMemory)),
    ];
    let listed = prop_oneof![Just(Listed::Running), Just(Listed::Accepted), Just(Listed::No)];
    prop_oneof![receipt.prop_map(Word::Receipt), listed.prop_map(Word::Hello)]
}

fn heard() -> impl Strategy<Value = Heard> {
    (who(), 0_u8..3, 0_i64..60_000, word()).prop_map(|(who, run, heard_at, word)| Heard {
        identity: identity(who),
        instance: instance(run),
        at: at(heard_at),
        word,
    })
}

fn settle() -> impl Strategy<Value = Event> {
    (0_i64..90, option::weighted(0.8, -30_i64..90))
        .prop_map(|(now, since)| Event::Settle { now: at_s(now), connected_since: since.map(at_s) })
}

/// Any job that is claimed by `rule`, with what may be recorded and said of it, the times included.
pub(super) fn world(rule: impl Strategy<Value = ClaimRule>) -> impl Strategy<Value = World> {
    let hosts = (vec(prop::bool::weighted(0.2), 0..=HOSTS)).prop_map(|unreachable| {
        let hosts = unreachable.into_iter().enumerate();
        hosts.map(|(who, unreachable)| Host { unreachable, ..host(who) }).collect::<Vec<_>>()
    });
    let hosts = hosts.prop_flat_map(|hosts| Just(hosts).prop_shuffle());
    let cancel = option::of((0_i64..40).prop_map(at_s));
    let said = (vec(heard(), 0..20), vec(settle(), 0..6));
    (rule, hosts, reports(), claims(), cancel, said).prop_map(
        |(rule, hosts, reports, claims, cancel, (words, settles))| {
            let events = (reports.into_iter().map(Event::Report))
                .chain(claims.into_iter().map(Event::Claim))
                .chain(cancel.map(Event::Cancel))
                .chain(words.into_iter().map(Event::Word))
                .chain(settles)
                .collect();
            World { job: job(rule), hosts, events }
        },
    )
}

/// A world, and two orders in which a controller may be told all of it, each event up to `times` times.
pub(super) fn told(times: usize) -> impl Strategy<Value = (World, Vec<Event>, Vec<Event>)> {
    world(claim_rule()).prop_flat_map(move |world| {
        let again = std::iter::repeat_n(world.events.clone(), times).flatten().collect::<Vec<_>>();
        let orders = (Just(again.clone()).prop_shuffle(), Just(again).prop_shuffle());
        (Just(world), orders).prop_map(|(world, (one, other))| (world, one, other))
    })
}

/// Long after everything is due.
pub(super) fn end_of_time() -> Event {
    let connected_since = Some(at(0));
    Event::Settle { now: at(0) + Duration::from_secs(3600), connected_since }
}
