//! What was thrown, and how often: a test that throws nothing shows nothing.

use std::collections::BTreeMap;

use super::tape::{Heard, Kind};

/// What was done to a message before it was thrown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// Nothing.
    Repeated,
    /// It goes where it did not belong.
    Moved,
    /// Some bits are others.
    Flipped,
    /// Its end is missing.
    Cut,
    /// There is more than there was.
    Lengthened,
    /// A field is as it is in another message.
    FieldSwapped,
    /// Body, signature or footer of a signed text is another's.
    TokenMixed,
    /// It was made up, and signed with a key that does not count.
    Forged,
}

impl Deed {
    /// What is done to messages that are signed.
    const ALL: [Self; 8] = [
        Self::Repeated,
        Self::Moved,
        Self::Flipped,
        Self::Cut,
        Self::Lengthened,
        Self::FieldSwapped,
        Self::TokenMixed,
        Self::Forged,
    ];
}

/// A message that is to be thrown.
#[derive(Debug)]
pub(super) struct Missile {
    pub(super) message: Heard,
    /// What it was.
    pub(super) kind: Kind,
    pub(super) deed: Deed,
}

/// How often each kind of message was thrown, by what was done to it.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<(Kind, Deed), usize>);

impl Tally {
    pub(super) fn note(&mut self, missile: &Missile) {
        *self.0.entry((missile.kind, missile.deed)).or_default() += 1;
    }

    /// Everything that is signed was thrown in every way, and everything else as it was.
    pub(super) fn is_complete(&self) {
        for kind in Kind::SIGNED {
            Deed::ALL.iter().for_each(|deed| self.has(kind, *deed));
        }
        for kind in Kind::UNSIGNED {
            [Deed::Repeated, Deed::Moved].iter().for_each(|deed| self.has(kind, *deed));
        }
    }

    /// Each of these was made up.
    pub(super) fn has_forged(&self, kinds: &[Kind]) {
        kinds.iter().for_each(|kind| self.has(*kind, Deed::Forged));
    }

    fn has(&self, kind: Kind, deed: Deed) {
        assert!(self.0.contains_key(&(kind, deed)), "no {kind:?} was {deed:?}: {self:?}");
    }
}
