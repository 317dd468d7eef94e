//! How far a watch has come: pure decisions on what its consumer sends.
//!
//! A consumer numbers what it delivers, so a gap shows; and when idle it says up to where it has looked, so a watch learns that it stands
//! at the head also when what was written there is gone already.

use super::store::StreamInfo;
use crate::backend::{Change, Cursor, Entry, StoreError};

/// Where a consumer says a delivered message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Its sequence in the stream, which is its cursor.
    pub(super) stream: u64,
    /// The how manieth it is that this consumer delivered.
    pub(super) consumer: u64,
    /// When it was stored, in nanoseconds.
    pub(super) stored_at: u64,
}

impl Stamp {
    /// Reads the subject on which a message would be acknowledged:
    /// `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`, and in its newer form with the domain and
    /// the account before the stream, and a token at the end.
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let tokens: Vec<_> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let at = match tokens.len() {
            7 => 3,
            9.. => 5,
            _ => return None,
        };
        let number = |at: usize| tokens.get(at)?.parse().ok();
        Some(Self { stream: number(at)?, consumer: number(at + 1)?, stored_at: number(at + 2)? })
    }
}

/// Why a consumer is of no more use.
#[derive(Debug)]
pub(super) enum Stop {
    /// It goes on with another consumer.
    Again(&'static str),
    /// The stream is not what it was: it goes on with a full scan only.
    Rescan,
}

/// What was told, and what has to be told before the watch has caught up.
#[derive(Debug)]
pub(super) struct Progress {
    /// All up to here was told.
    position: u64,
    /// What all that was there when the watch was opened does not exceed; `None` once that was told.
    opened_at: Option<u64>,
    /// Which stream it is: made again, it has another time.
    created: String,
    /// The last message that was told.
    last: Option<Stamp>,
    /// How many messages the present consumer has delivered.
    delivered: u64,
    /// How many there were when it was made, if that number can be relied on.
    there: Option<u64>,
}

impl Progress {
    /// A watch from `from` on a stream whose leader says `info`.
    pub(super) fn open(from: Option<Cursor>, info: StreamInfo) -> Result<Self, StoreError> {
        let (position, head) = (from.map_or(0, |from| from.0), info.state.last_seq);
        if position > head {
            return Err(StoreError::Rescan);
        }
        Ok(Self {
            position,
            opened_at: Some(head),
            created: info.created,
            last: None,
            delivered: 0,
            there: None,
        })
    }

    /// Whether the watch can go on with the stream whose leader says `info`.
    pub(super) fn reopen(&self, info: &StreamInfo) -> Result<(), Stop> {
        if info.created == self.created && info.state.last_seq >= self.position {
            Ok(())
        } else {
            Err(Stop::Rescan)
        }
    }

    /// Where the next consumer begins: with the message that was told last, to see that it is still the same.
    pub(super) fn begins_at(&self) -> u64 {
        self.last.map_or(self.position + 1, |last| last.stream)
    }

    /// A new consumer was made. `there` is how many messages it has to deliver; several copies of a stream may not agree on that.
    pub(super) fn consuming(&mut self, there: Option<u64>) -> Option<Change> {
        self.delivered = 0;
        self.there = there;
        self.caught_up()
    }

    /// The consumer delivered a message. `entry` is `None` if it is no record.
    pub(super) fn message(
        &mut self,
        stamp: Stamp,
        entry: Option<Entry>,
    ) -> Result<[Option<Change>; 2], Stop> {
        if stamp.consumer != self.delivered + 1 {
            return Err(Stop::Again("messages were lost"));
        }
        self.delivered += 1;
        if stamp.stream <= self.position {
            // Before it was told there was no other one there.
            return match self.last {
                Some(last) if last.stream == stamp.stream && last.stored_at == stamp.stored_at => {
                    Ok([None, self.caught_up()])
                }
                _ => Err(Stop::Rescan),
            };
        }
        self.position = stamp.stream;
        self.last = Some(stamp);
        Ok([entry.map(Change::Put), self.caught_up()])
    }

    /// The consumer is idle: it has delivered `delivered` messages, and there is no other one up to `looked_up_to`.
    pub(super) fn idle(
        &mut self,
        delivered: u64,
        looked_up_to: u64,
    ) -> Result<Option<Change>, Stop> {
        if delivered != self.delivered {
            return Err(Stop::Again("messages were lost"));
        }
        if looked_up_to <= self.position {
            return Ok(self.caught_up());
        }
        self.position = looked_up_to;
        let reached = || Change::Reached(Cursor(looked_up_to));
        Ok(self.caught_up().or_else(|| self.opened_at.is_none().then(reached)))
    }

    /// Tells once that all that was there has been told.
    fn caught_up(&mut self) -> Option<Change> {
        let opened_at = self.opened_at?;
        // What was there when the consumer was made comes first. If some of it is removed meanwhile, later ones make up the number.
        let has_all = self.there.is_some_and(|there| self.delivered >= there);
        if self.position < opened_at && !has_all {
            return None;
        }
        self.opened_at = None;
        self.position = self.position.max(opened_at);
        Some(Change::CaughtUp(Cursor(self.position)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::{StreamState, entry};
    use super::*;
    use crate::backend::Key;

    fn info(created: &str, last_seq: u64) -> StreamInfo {
        let config = serde_json::Value::Null;
        StreamInfo { config, created: created.into(), state: StreamState { last_seq } }
    }

    fn progress(from: u64, head: u64) -> Progress {
        Progress::open(Some(Cursor(from)), info("x", head)).unwrap()
    }

    fn put(sequence: u64) -> Option<Entry> {
        Some(entry(Key::of(&[&sequence]), "v".into(), sequence))
    }

    fn stamp(stream: u64, consumer: u64) -> Stamp {
        Stamp { stream, consumer, stored_at: stream * 1000 }
    }

    /// The cursors of the changes, with what kind they are.
    fn told(changes: impl IntoIterator<Item = Option<Change>>) -> Vec<(char, u64)> {
        let kind = |change| match change {
            Change::Put(entry) => ('p', entry.cursor.0),
            Change::CaughtUp(cursor) => ('c', cursor.0),
            Change::Reached(cursor) => ('r', cursor.0),
            Change::Deleted(_, cursor) => ('d', cursor.0),
        };
        changes.into_iter().flatten().map(kind).collect()
    }

    #[test]
    fn stamps_are_read_in_both_forms() {
        let expected = Stamp { stream: 5, consumer: 2, stored_at: 1_795_643_680 };
        let old = "$JS.ACK.KV_a-b.c1.1.5.2.1795643680.0";
        let new = "$JS.ACK._.hash.KV_a-b.c1.1.5.2.1795643680.0.token";
        assert_eq!(Stamp::parse(old), Some(expected));
        assert_eq!(Stamp::parse(new), Some(expected));
        for bad in ["", "$JS.ACK.a.b", "$JS.ACK.KV.c1.1.x.2.3.0", "$JS.FC.KV_a.c1.1.5.2.17.0"] {
            assert_eq!(Stamp::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_empty_result_has_caught_up_at_once() {
        let mut progress = progress(0, 9);
        assert_eq!(told([progress.consuming(Some(0))]), [('c', 9)]);
        assert_eq!(told([progress.idle(0, 9).unwrap()]), []);
        assert_eq!(told([progress.idle(0, 12).unwrap()]), [('r', 12)]);
    }

    #[test]
    fn it_has_caught_up_after_as_many_as_there_were() {
        let mut progress = progress(0, 9);
        assert_eq!(told([progress.consuming(Some(2))]), []);
        assert_eq!(told(progress.message(stamp(3, 1), put(3)).unwrap()), [('p', 3)]);
        assert_eq!(told(progress.message(stamp(7, 2), put(7)).unwrap()), [('p', 7), ('c', 9)]);
        assert_eq!(told(progress.message(stamp(10, 3), put(10)).unwrap()), [('p', 10)]);
    }

    #[test]
    fn without_a_number_it_has_caught_up_where_the_head_was() {
        let mut progress = progress(2, 9);
        assert_eq!(told([progress.consuming(None)]), []);
        assert_eq!(told(progress.message(stamp(3, 1), put(3)).unwrap()), [('p', 3)]);
        assert_eq!(told([progress.idle(1, 8).unwrap()]), []);
        assert_eq!(told([progress.idle(1, 9).unwrap()]), [('c', 9)]);
        let mut progress = self::progress(9, 9);
        assert_eq!(told([progress.consuming(None)]), [('c', 9)]);
    }

    #[test]
    fn what_was_removed_before_it_was_told_holds_nothing_up() {
        let mut progress = progress(0, 9);
        assert_eq!(told([progress.consuming(Some(2))]), []);
        assert_eq!(told(progress.message(stamp(3, 1), put(3)).unwrap()), [('p', 3)]);
        assert_eq!(told([progress.idle(1, 9).unwrap()]), [('c', 9)]);
    }

    #[test]
    fn a_gap_is_seen() {
        let mut one = progress(0, 0);
        one.consuming(Some(0));
        one.message(stamp(1, 1), put(1)).unwrap();
        assert!(matches!(one.message(stamp(3, 3), put(3)), Err(Stop::Again(_))));
        let mut two = progress(0, 0);
        two.consuming(Some(0));
        assert!(matches!(two.idle(1, 1), Err(Stop::Again(_))));
    }

    #[test]
    fn the_next_consumer_begins_with_what_was_told_last() {
        let mut progress = progress(0, 4);
        assert_eq!(progress.begins_at(), 1);
        progress.consuming(Some(1));
        progress.message(stamp(4, 1), put(4)).unwrap();
        progress.idle(1, 6).unwrap();
        assert_eq!(progress.begins_at(), 4);
        assert!(progress.reopen(&info("x", 6)).is_ok());
        progress.consuming(Some(2));
        assert_eq!(told(progress.message(stamp(4, 1), put(4)).unwrap()), []);
        assert_eq!(told(progress.message(stamp(8, 2), put(8)).unwrap()), [('p', 8)]);
    }

    #[test]
    fn a_stream_that_went_back_or_was_made_again_calls_for_a_rescan() {
        assert!(Progress::open(Some(Cursor(10)), info("x", 9)).is_err());
        let mut progress = progress(0, 4);
        progress.consuming(Some(1));
        progress.message(stamp(4, 1), put(4)).unwrap();
        progress.idle(1, 6).unwrap();
        assert!(matches!(progress.reopen(&info("x", 5)), Err(Stop::Rescan)));
        assert!(matches!(progress.reopen(&info("y", 99)), Err(Stop::Rescan)));
        // It lost what it had and was written again.
        progress.consuming(None);
        let other = Stamp { stored_at: 1, ..stamp(4, 1) };
        assert!(matches!(progress.message(other, put(4)), Err(Stop::Rescan)));
        progress.consuming(None);
        assert!(matches!(progress.message(stamp(5, 1), put(5)), Err(Stop::Rescan)));
    }
}
