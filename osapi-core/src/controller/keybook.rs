//! Which keys are valid, and which have been. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::auth::envelope::Signed;
use crate::auth::keys::{KeyRing, KeyUse, key_id};
use crate::id::KeyId;

/// Serials beyond the known one that agents may plausibly have seen. What is said beyond that is not believed: serials grow by one.
const PLAUSIBLE: u64 = 10_000;

/// Every key ring of the fleet, as far as it matters.
#[derive(Debug, Default)]
pub(super) struct KeyBook {
    latest: Option<(Arc<KeyRing>, Signed<KeyRing>)>,
    /// The job keys of the latest ring.
    valid: HashSet<KeyId>,
    /// The job keys of every ring, with the serial of the first that has them. One that is not valid any more was retired; one that is not
    /// here is perhaps in a ring that was not read yet.
    ever: HashMap<Arc<KeyId>, u64>,
    /// The serial of the latest ring with which a store that went back in time was accepted; 0 without one.
    restored: u64,
    /// The highest serial that an agent has said.
    heard: u64,
}

/// What is known of a job key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Valid,
    /// It was valid, and is not any more.
    Retired,
    /// It is in no ring that was read.
    Unknown,
}

impl KeyBook {
    /// Takes a ring that verifies. Whether it is the latest one, and new.
    pub(super) fn take(&mut self, ring: KeyRing, signed: Signed<KeyRing>) -> bool {
        let job_keys = ring.keys.iter().filter(|key| key.usage == KeyUse::Job);
        let ids: Vec<_> = job_keys.filter_map(|key| key_id(&key.key)).collect();
        for id in ids.iter().cloned().map(Arc::new) {
            let first = self.ever.entry(id).or_insert(ring.serial);
            *first = ring.serial.min(*first);
        }
        if ring.is_after_restore {
            self.restored = ring.serial.max(self.restored);
        }
        if ring.serial <= self.serial() {
            return false;
        }
        self.valid = ids.into_iter().collect();
        self.latest = Some((Arc::new(ring), signed));
        true
    }

    pub(super) fn latest(&self) -> Option<&Arc<KeyRing>> {
        self.latest.as_ref().map(|(ring, _)| ring)
    }

    /// The latest ring as the root key signed it.
    pub(super) fn signed(&self) -> Option<&Signed<KeyRing>> {
        self.latest.as_ref().map(|(_, signed)| signed)
    }

    /// The serial of the latest ring; 0 without one.
    pub(super) fn serial(&self) -> u64 {
        self.latest().map_or(0, |ring| ring.serial)
    }

    /// An agent says that it has the ring of this serial.
    pub(super) fn hear(&mut self, serial: u64) {
        if serial <= self.serial().saturating_add(PLAUSIBLE) {
            self.heard = self.heard.max(serial);
        }
    }

    /// The highest serial that is known, or was said by an agent.
    pub(super) fn highest(&self) -> u64 {
        self.heard.max(self.serial())
    }

    pub(super) fn standing(&self, job_key: &KeyId) -> Standing {
        match () {
            () if self.valid.contains(job_key) => Standing::Valid,
            () if self.ever.contains_key(job_key) => Standing::Retired,
            () => Standing::Unknown,
        }
    }

    /// The serial of the latest ring with which a store that went back in time was accepted; 0 without one.
    pub(super) fn restored(&self) -> u64 {
        self.restored
    }

    /// Whether the store has gone back in time since this key was made: of jobs that were ordered under it, it may have lost whose they are.
    pub(super) fn is_before_restore(&self, job_key: &KeyId) -> bool {
        self.ever.get(job_key).is_some_and(|first| *first < self.restored)
    }

    /// The same id, as every job that was ordered under the key shares it.
    pub(super) fn shared(&mut self, job_key: KeyId) -> Arc<KeyId> {
        match self.ever.get_key_value(&job_key) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(job_key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::{RingKey, SigningKey};
    use crate::clock::Timestamp;

    fn ring(root: &SigningKey, serial: u64, keys: &[&SigningKey]) -> (KeyRing, Signed<KeyRing>) {
        let keys = keys.iter().map(|key| RingKey { key: key.public(), usage: KeyUse::Job });
        let at = Timestamp::from_unix_millis(0);
        let signed = KeyRing::issue(root, serial, at, keys.collect()).unwrap();
        (KeyRing::open(&signed, &root.public()).unwrap(), signed)
    }

    #[test]
    fn a_key_is_retired_only_by_a_ring_without_it() {
        let [root, a, b] = std::array::from_fn(|_| SigningKey::generate());
        let rings = [ring(&root, 1, &[&a]), ring(&root, 2, &[&a, &b]), ring(&root, 3, &[&b])];
        let mut book = KeyBook::default();
        assert_eq!(book.standing(&a.id()), Standing::Unknown);
        let standings: Vec<_> = rings
            .iter()
            .map(|(ring, signed)| {
                assert!(book.take(ring.clone(), signed.clone()));
                (book.standing(&a.id()), book.standing(&b.id()))
            })
            .collect();
        use Standing::{Retired, Unknown, Valid};
        assert_eq!(standings, [(Valid, Unknown), (Valid, Valid), (Retired, Valid)]);
        // In whatever order they are told.
        let mut book = KeyBook::default();
        for (ring, signed) in rings.iter().rev() {
            book.take(ring.clone(), signed.clone());
        }
        assert_eq!((book.standing(&a.id()), book.serial()), (Retired, 3));
    }

    #[test]
    fn a_restore_is_behind_every_key_that_was_made_after_it() {
        let [root, a, b, c] = std::array::from_fn(|_| SigningKey::generate());
        let at = Timestamp::from_unix_millis(0);
        let keys = vec![RingKey { key: b.public(), usage: KeyUse::Job }];
        let restored = KeyRing::issue_after_restore(&root, 5, at, keys).unwrap();
        let restored = (KeyRing::open(&restored, &root.public()).unwrap(), restored);
        let rings = [ring(&root, 1, &[&a]), restored, ring(&root, 6, &[&b, &c])];
        for is_reversed in [false, true] {
            let mut book = KeyBook::default();
            let mut told = rings.to_vec();
            if is_reversed {
                told.reverse();
            }
            for (ring, signed) in told {
                book.take(ring, signed);
            }
            let before = [&a, &b, &c].map(|key| book.is_before_restore(&key.id()));
            assert_eq!((before, book.restored()), ([true, false, false], 5));
            assert!(!book.is_before_restore(&SigningKey::generate().id()));
        }
    }

    #[test]
    fn what_agents_say_of_serials_is_believed_within_reason() {
        let [root, a] = std::array::from_fn(|_| SigningKey::generate());
        let mut book = KeyBook::default();
        let (ring, signed) = ring(&root, 5, &[&a]);
        book.take(ring, signed);
        for (said, highest) in [(3, 5), (7, 7), (6, 7), (u64::MAX, 7)] {
            book.hear(said);
            assert_eq!(book.highest(), highest, "{said}");
        }
    }
}
