//! What words of agents mean together.

use super::generators::{at_s, instance};
use crate::job::word::{Listed, NotTaken, ReceiptKind, Refusal, Said, Word, Words};

const ACCEPTED: Word = Word::Receipt(ReceiptKind::Accepted);
const BUSY: Word = Word::Receipt(ReceiptKind::Busy);
const UNLISTED: Word = Word::Hello(Listed::No);

fn started(seconds: i64) -> Word {
    Word::Receipt(ReceiptKind::Started { at: at_s(seconds) })
}

fn after(words: &[(u8, Word)]) -> Words {
    let mut all = Words::default();
    words.iter().for_each(|(run, word)| all.absorb(instance(*run), *word));
    all
}

#[test]
fn later_words_do_not_go_back() {
    let start = Some(Said::Running(Some(at_s(1))));
    assert_eq!(after(&[(1, started(1)), (1, ACCEPTED)]).said(), start);
    assert_eq!(after(&[(1, started(1)), (1, Word::Hello(Listed::Accepted))]).said(), start);
    assert_eq!(after(&[(1, started(1)), (1, Word::Hello(Listed::Running))]).said(), start);
    assert_eq!(after(&[(1, started(1)), (1, UNLISTED)]).said(), start);
    assert_eq!(after(&[(1, ACCEPTED), (1, BUSY)]).said(), Some(Said::Accepted));
}

#[test]
fn a_hello_that_lists_the_job_is_a_word() {
    assert_eq!(after(&[(1, UNLISTED)]).said(), None);
    assert_eq!(after(&[(1, Word::Hello(Listed::Accepted))]).said(), Some(Said::Accepted));
    assert_eq!(after(&[(1, Word::Hello(Listed::Running))]).said(), Some(Said::Running(None)));
}

#[test]
fn a_new_run_of_the_agent_voids_what_was_said() {
    assert_eq!(after(&[(1, started(1)), (2, UNLISTED)]).said(), None);
    let taken_up = [(1, started(1)), (2, Word::Hello(Listed::Accepted))];
    assert_eq!(after(&taken_up).said(), Some(Said::Accepted));
    assert_eq!(after(&[(1, BUSY), (2, UNLISTED)]).not_taken(), None);
}

#[test]
fn a_receipt_of_a_run_that_has_ended_says_nothing() {
    assert_eq!(after(&[(1, UNLISTED), (2, UNLISTED), (1, ACCEPTED)]).said(), None);
    assert_eq!(after(&[(1, UNLISTED), (2, ACCEPTED)]).said(), Some(Said::Accepted), "a new run");
}

#[test]
fn the_next_hello_repairs_a_mistake() {
    let late = [(1, UNLISTED), (2, ACCEPTED), (1, UNLISTED)];
    assert_eq!(after(&late).said(), None, "a hello of an earlier run came late");
    let repaired = [late.as_slice(), &[(2, Word::Hello(Listed::Accepted))]].concat();
    assert_eq!(after(&repaired).said(), Some(Said::Accepted));
}

#[test]
fn the_last_refusal_is_kept_until_the_job_is_taken() {
    let refused = Word::Receipt(ReceiptKind::Refused(Refusal::NotReady));
    let not_ready = Some(NotTaken::Refused(Refusal::NotReady));
    assert_eq!(after(&[(1, BUSY)]).not_taken(), Some(NotTaken::Busy));
    assert_eq!(after(&[(1, BUSY), (1, refused)]).not_taken(), not_ready);
    assert_eq!(after(&[(1, refused), (1, UNLISTED)]).not_taken(), not_ready);
    assert_eq!(after(&[(1, refused), (1, ACCEPTED)]).not_taken(), None);
    assert_eq!(after(&[(1, refused)]).said(), None);
}

#[test]
fn words_in_the_api_are_those_of_the_messages() {
    for why in [
        Refusal::TooLarge,
        Refusal::UnknownKey,
        Refusal::BadSignature,
        Refusal::Unsupported,
        Refusal::NotAddressed,
        Refusal::OtherBody,
        Refusal::NoMemory,
        Refusal::NotReady,
        Refusal::ClockSkew,
        Refusal::Journal,
    ] {
        assert_eq!(serde_json::to_value(why).unwrap(), NotTaken::Refused(why).as_str());
    }
}
