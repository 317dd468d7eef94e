//! Records are read as they are written, and by older builds than the one that wrote them.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::generators::{agent, claim, host, job, outcome, place, report, stored};
use crate::id::Digest;
use crate::job::{
    ClaimRecord, ClaimRule, Exec, ExecutionState, Failure, Holder, Host, JobRecord, JobStatus,
    Operation, Outcome, Parts, Report, ReportFacts, Step, StreamReport, VoidReason,
};

#[track_caller]
fn round_trips<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(record: &T) -> Value {
    let text = serde_json::to_string(record).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *record, "{text}");
    let mut newer: Value = serde_json::from_str(&text).unwrap();
    newer["added_later"] = json!({"x": [1, 2]});
    assert_eq!(serde_json::from_value::<T>(newer.clone()).unwrap(), *record, "{newer}");
    newer
}

#[test]
fn job_records() {
    let mut record = job(ClaimRule::Host);
    round_trips(&record);
    record.retry_of = Some(record.job);
    round_trips(&record);
}

#[test]
fn a_job_record_with_half_an_operation_is_none() {
    let mut record = serde_json::to_value(job(ClaimRule::None)).unwrap();
    record["operation"]["exec"]["added_later"] = json!(1);
    assert!(serde_json::from_value::<JobRecord>(record).is_err());
}

#[test]
fn host_rows() {
    let listed = host(1);
    assert!(round_trips(&listed).get("unreachable").is_none(), "the usual row stays small");
    round_trips(&Host { unreachable: true, ..listed });
}

#[test]
fn claims() {
    round_trips(&claim(None, agent(1)));
    for reason in [VoidReason::Expired, VoidReason::Cancelled] {
        round_trips::<ClaimRecord>(&claim(Some(2), Holder::Void(reason)));
    }
}

#[test]
fn failures_and_streams() {
    round_trips(&Failure::new("policy", "not here"));
    let mut failure = Failure::new("start_failed", "no such program");
    (failure.step, failure.errno) = (Some(Step::Program), Some(2));
    round_trips(&failure);
    round_trips(&StreamReport::empty());
    let incomplete = true;
    round_trips(&StreamReport { inline: None, incomplete, ..StreamReport::empty() });
    let parts = Some(Parts { size: 1, sha256: vec![Digest::of(b"a")] });
    round_trips(&StreamReport { parts, ..StreamReport::empty() });
}

#[test]
fn an_unknown_outcome_is_not_taken_for_another() {
    let mut newer = serde_json::to_value(report(0, Outcome::Lost)).unwrap();
    newer["outcome"] = json!("evaporated");
    assert!(serde_json::from_value::<Report>(newer).is_err());
}

#[test]
fn words_of_states_are_those_of_the_records() {
    for state in ExecutionState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    for status in JobStatus::ALL {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        assert_eq!(status.as_str().parse(), Ok(status));
    }
    assert!("done".parse::<JobStatus>().is_err());
}

#[test]
fn each_outcome_gives_its_state() {
    use ExecutionState as State;
    let failure = || Failure::new("x", "y");
    for (outcome, state) in [
        (Outcome::Exited { code: 0 }, State::Succeeded),
        (Outcome::Exited { code: 1 }, State::Failed),
        (Outcome::Signaled { signal: 9, killed_for_memory: true }, State::Failed),
        (Outcome::Returned { value: Value::Null }, State::Succeeded),
        (Outcome::Failed(failure()), State::Failed),
        (Outcome::TimedOut, State::TimedOut),
        (Outcome::Cancelled, State::Cancelled),
        (Outcome::Rejected(failure()), State::Rejected),
        (Outcome::Expired, State::Expired),
        (Outcome::Lost, State::Lost),
    ] {
        assert_eq!(outcome.state(), state, "{outcome:?}");
        assert!(state.is_final());
    }
}

#[test]
fn the_longest_run_is_the_timeout_and_the_grace() {
    let mut record = job(ClaimRule::None);
    record.operation = Operation::Exec(Exec { timeout: 300, ..Exec::new("true") });
    assert_eq!(record.run_limit().as_secs(), 305);
    assert_eq!(record.last_end().since(record.created_at).as_secs(), 30 + 305);
}

#[test]
fn facts_are_those_of_the_report() {
    let mut exited = report(1, Outcome::Exited { code: 3 });
    exited.stdout = StreamReport {
        total: 100,
        kept: 10,
        head: 5,
        sha256: Digest::of(b"0123456789"),
        inline: None,
        incomplete: true,
        parts: None,
    };
    let facts = ReportFacts::of(&exited, Digest::of(b"signed"), place(3));
    assert_eq!(
        (facts.state, facts.exit_code, facts.signal),
        (ExecutionState::Failed, Some(3), None)
    );
    assert_eq!((facts.place, facts.signed), (place(3), Digest::of(b"signed")));
    assert_eq!((facts.stdout.total, facts.stdout.kept, facts.stdout.head), (100, 10, 5));
    assert_eq!(facts.stdout.sha256, Digest::of(b"0123456789"));
    assert!(facts.stdout.incomplete && !facts.stdout.inline);
    assert!(facts.stderr.inline && !facts.stderr.incomplete);
    assert_eq!((facts.started_at, facts.ended_at), (exited.started_at, exited.ended_at));
    let signaled =
        stored(&report(1, Outcome::Signaled { signal: 15, killed_for_memory: false }), 0).facts;
    assert_eq!((signaled.exit_code, signaled.signal), (None, Some(15)));
}

#[test]
fn an_agent_cannot_fill_the_memory_with_a_failure() {
    let mut failure = Failure::new("é".repeat(100_000), "€".repeat(80_000));
    failure.errno = Some(2);
    let facts = stored(&report(1, Outcome::Rejected(failure)), 0).facts;
    let kept = facts.failure.unwrap();
    assert_eq!((kept.code.len(), kept.message.len()), (512, 510), "whole characters");
    assert_eq!(kept.errno, Some(2));
}

proptest! {
    #[test]
    fn reports(outcome in outcome(), started in any::<bool>()) {
        let mut record = report(0, outcome);
        record.started_at = record.started_at.filter(|_| started);
        round_trips(&record);
    }
}
