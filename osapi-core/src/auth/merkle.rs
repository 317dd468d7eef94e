//! Membership proofs: one signature covers any number of hosts, and each host gets a short proof that it is among them.
//! Hashing as in RFC 9162 §2.1, over SHA-256.

use serde::{Deserialize, Serialize};

use crate::id::{AgentName, Digest, FleetId, Identity, JournalId, PublicKey};
use crate::message::order::HostSet;

/// The proof that one identity is in a [`HostSet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The place of the identity in the set, from 0.
    pub index: u32,
    /// The inclusion path (RFC 9162 §2.1.3), from the leaf up. At most 32 hashes.
    pub path: Vec<Digest>,
}

impl Membership {
    /// Whether `identity` of `fleet` is the one at this place of `set` (RFC 9162 §2.1.3.2).
    #[must_use]
    pub fn proves(&self, fleet: FleetId, identity: &Identity, set: &HostSet) -> bool {
        if self.index >= set.count {
            return false;
        }
        let (mut at, mut last) = (self.index, set.count - 1);
        let mut hash = leaf(fleet, identity);
        for sibling in &self.path {
            if last == 0 {
                return false;
            }
            if at & 1 == 1 || at == last {
                hash = node(sibling, &hash);
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                hash = node(&hash, sibling);
            }
            at >>= 1;
            last >>= 1;
        }
        last == 0 && hash == set.root
    }
}

/// A Merkle tree over the hosts of one job, in the order of its host list. Building it takes one hash per node, a proof none.
#[derive(Debug)]
pub struct HostTree {
    /// The leaves, then each level above them up to the root. The last node of an odd level moves up as it is, which gives the
    /// tree that RFC 9162 defines from the top.
    levels: Vec<Vec<Digest>>,
}

impl HostTree {
    /// The tree over `identities`.
    pub fn new<'a>(fleet: FleetId, identities: impl IntoIterator<Item = &'a Identity>) -> Self {
        Self::over(identities.into_iter().map(|identity| leaf(fleet, identity)).collect())
    }

    fn over(leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let pairs = below.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                rest => rest[0],
            });
            let level = pairs.collect();
            levels.push(level);
        }
        Self { levels }
    }

    /// What is signed of it.
    #[must_use]
    pub fn set(&self) -> HostSet {
        let count = u32::try_from(self.leaves().len()).expect("a job has at most 20,000 hosts");
        HostSet { root: self.root(), count }
    }

    /// The proof for the host at `index`; `None` if there is none.
    #[must_use]
    pub fn membership(&self, index: usize) -> Option<Membership> {
        let place = u32::try_from(index).ok()?;
        (index < self.leaves().len()).then(|| Membership { index: place, path: self.path(index) })
    }

    fn leaves(&self) -> &[Digest] {
        &self.levels[0]
    }

    fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_else(|| Digest::of(b""))
    }

    /// The sibling at each level, where there is one.
    fn path(&self, index: usize) -> Vec<Digest> {
        let siblings = self.levels.iter().enumerate();
        siblings.filter_map(|(height, level)| level.get((index >> height) ^ 1)).copied().collect()
    }
}

fn leaf(fleet: FleetId, identity: &Identity) -> Digest {
    #[derive(Serialize)]
    struct Leaf<'a> {
        fleet: FleetId,
        name: &'a AgentName,
        key: &'a PublicKey,
        journal: &'a JournalId,
    }
    let Identity { name, key, journal } = identity;
    let mut bytes = vec![0];
    serde_json::to_writer(&mut bytes, &Leaf { fleet, name, key, journal })
        .expect("writing texts to a vector does not fail");
    Digest::of(&bytes)
}

fn node(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left.as_bytes());
    bytes[33..].copy_from_slice(right.as_bytes());
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The definitions of RFC 9162 §2.1.1 and §2.1.3.1, word by word, as the measure for the tree.

    /// The largest power of two below `n`, which is at least 2.
    fn split(n: usize) -> usize {
        n.next_power_of_two() / 2
    }

    fn root(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len()));
                node(&root(left), &root(right))
            }
        }
    }

    fn path(index: usize, leaves: &[Digest]) -> Vec<Digest> {
        if leaves.len() < 2 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(split(leaves.len()));
        let (mut path, sibling) = if index < left.len() {
            (path(index, left), root(right))
        } else {
            (path(index - left.len(), right), root(left))
        };
        path.push(sibling);
        path
    }

    #[test]
    fn the_tree_is_that_of_the_definition() {
        for size in (0..=34).chain([64, 65, 77]) {
            let leaves: Vec<_> = (0..size).map(|n: u32| Digest::of(&n.to_be_bytes())).collect();
            let tree = HostTree::over(leaves.clone());
            assert_eq!(tree.set().root, root(&leaves), "{size}");
            for index in 0..leaves.len() {
                assert_eq!(tree.path(index), path(index, &leaves), "{index} of {size}");
            }
        }
    }

    fn identity(n: u8) -> Identity {
        let name = format!("host-{n}").parse().unwrap();
        Identity {
            name,
            key: PublicKey::from_bytes([n; 32]),
            journal: JournalId::from_bytes([n; 16]),
        }
    }

    #[test]
    fn every_host_of_every_size_has_a_proof_and_no_other_host_has() {
        let fleet = FleetId::from_bytes([9; 16]);
        for size in 1..=33_u8 {
            let hosts: Vec<_> = (0..size).map(identity).collect();
            let tree = HostTree::new(fleet, &hosts);
            let set = tree.set();
            for (n, host) in hosts.iter().enumerate() {
                let proof = tree.membership(n).unwrap();
                assert!(proof.proves(fleet, host, &set), "{n} of {size}");
                assert!(!proof.proves(fleet, &identity(200), &set));
                assert!(!proof.proves(FleetId::from_bytes([8; 16]), host, &set));
                let elsewhere =
                    Membership { index: (proof.index + 1) % u32::from(size), ..proof.clone() };
                assert!(size == 1 || !elsewhere.proves(fleet, host, &set));
                let mut longer = proof.clone();
                longer.path.push(set.root);
                assert!(!longer.proves(fleet, host, &set));
            }
            assert!(tree.membership(size.into()).is_none());
        }
    }

    #[test]
    fn hashing_is_that_of_rfc_9162() {
        let (a, b) = (Digest::of(b"\0a"), Digest::of(b"\0b"));
        let mut joined = vec![1];
        joined.extend(a.as_bytes());
        joined.extend(b.as_bytes());
        assert_eq!(HostTree::over(vec![a, b]).root(), Digest::of(&joined));
        assert_eq!(HostTree::over(Vec::new()).root(), Digest::of(b""));
    }
}
