//! Where a byte of a stream is stored: the head at its own place, the tail in a ring behind it. Pure arithmetic.

use std::ops::Range;

/// How the kept bytes of one stream are laid out while they are collected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    head: u64,
    tail: u64,
}

impl Layout {
    /// At most `limit` bytes: the first half from the head of the stream, the other from its tail.
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit as u64;
        Self { head: limit - limit / 2, tail: limit / 2 }
    }

    /// Bytes that are stored at most.
    pub(super) fn limit(self) -> u64 {
        self.head + self.tail
    }

    /// What is kept of a stream of `total` bytes.
    pub(super) fn extent(self, total: u64) -> Extent {
        if total <= self.limit() { Extent::whole(total) } else { self.cut(total) }
    }

    fn cut(self, total: u64) -> Extent {
        Extent { total, kept: self.limit(), head: self.head, ring: self.tail }
    }

    /// What is certain of a stream of `total` bytes while the next `len` are being stored: not what they take the place of.
    pub(super) fn extent_during(self, total: u64, len: usize) -> Extent {
        let from = (total + len as u64).saturating_sub(self.tail);
        if total <= self.head || from <= self.head {
            return self.extent(total);
        }
        let tail = total.saturating_sub(from);
        Extent { total, kept: self.head + tail, head: self.head, ring: self.tail }
    }

    /// What is still certain after `total` bytes were stored and writing the next `lost` ones failed somewhere.
    pub(super) fn extent_after_failure(self, total: u64, lost: usize) -> Extent {
        let all = total + lost as u64;
        // A write that turns around in the ring may have destroyed bytes that were there.
        let kept = if all <= self.limit() { total } else { total.min(self.head) };
        Extent { total: all, kept, head: kept, ring: 0 }
    }

    /// Which parts of `len` bytes go where, if the first of them is byte `at` of the stream.
    pub(super) fn place(self, at: u64, len: usize) -> Vec<Place> {
        let mut places = Vec::with_capacity(3);
        let end = at + len as u64;
        let mut from = at;
        if from < self.head && from < end {
            let to = end.min(self.head);
            places.push(Place { source: range(from - at, to - at), offset: from });
            from = to;
        }
        // Of what is longer than the ring, only the end remains.
        from = from.max(end.saturating_sub(self.tail));
        while from < end && self.tail > 0 {
            let turn = (from - self.head) % self.tail;
            let to = end.min(from + self.tail - turn);
            places.push(Place { source: range(from - at, to - at), offset: self.head + turn });
            from = to;
        }
        places
    }
}

/// A part of what is written, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The part.
    pub(super) source: Range<usize>,
    /// Where it is stored.
    pub(super) offset: u64,
}

/// What was kept of a stream. Together with the arithmetic here it tells where each kept byte is stored, so that nothing needs to be
/// moved when the stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes that were written.
    pub(super) total: u64,
    /// Bytes that were kept.
    pub(super) kept: u64,
    /// Of the kept bytes, those before the gap.
    pub(super) head: u64,
    /// Places of the ring behind the head. All of them are of use, unless storing was interrupted.
    pub(super) ring: u64,
}

impl Extent {
    /// Everything was kept.
    pub(super) fn whole(total: u64) -> Self {
        Self { total, kept: total, head: total, ring: 0 }
    }

    /// Whether the numbers fit each other.
    pub(super) fn is_sound(self) -> bool {
        self.head <= self.kept
            && self.kept <= self.total
            && (self.head == self.kept || self.kept < self.total)
            && self.kept - self.head <= self.ring
    }

    /// Where the kept bytes `range` are stored, in order, as ranges of the storage.
    pub(super) fn locate(self, range: Range<u64>) -> Vec<Range<u64>> {
        let tail = self.kept - self.head;
        // Where the next byte would go: the tail ends there.
        let turn = if tail == 0 { 0 } else { (self.total - self.head) % self.ring };
        let before_turn = tail.min(turn);
        let (ring, behind) = (self.head + self.ring, tail - before_turn);
        // In the order of the stream: the head, then the ring from its oldest byte on, then its beginning.
        let pieces =
            [0..self.head, ring - behind..ring, self.head + turn - before_turn..self.head + turn];
        let mut located = Vec::with_capacity(pieces.len());
        let mut at = 0;
        for piece in pieces {
            let len = piece.end - piece.start;
            let (from, to) = (range.start.max(at), range.end.min(at + len));
            if from < to {
                located.push(piece.start + from - at..piece.start + to - at);
            }
            at += len;
        }
        located
    }
}

fn range(from: u64, to: u64) -> Range<usize> {
    // Both lie within a slice that is in memory.
    from as usize..to as usize
}
