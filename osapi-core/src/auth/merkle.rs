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

/// A Merkle tree over the hosts of one job, in the order of its host list.
#[derive(Debug)]
pub struct HostTree {
    leaves: Vec<Digest>,
}

impl HostTree {
    /// The tree over `identities`.
    pub fn new<'a>(fleet: FleetId, identities: impl IntoIterator<Item = &'a Identity>) -> Self {
        Self { leaves: identities.into_iter().map(|identity| leaf(fleet, identity)).collect() }
    }

    /// What is signed of it.
    #[must_use]
    pub fn set(&self) -> HostSet {
        let count = u32::try_from(self.leaves.len()).expect("a job has at most 20,000 hosts");
        HostSet { root: root(&self.leaves), count }
    }

    /// The proof for the host at `index`; `None` if there is none.
    #[must_use]
    pub fn membership(&self, index: usize) -> Option<Membership> {
        let place = u32::try_from(index).ok()?;
        (index < self.leaves.len())
            .then(|| Membership { index: place, path: path(index, &self.leaves) })
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(root(&[a, b]), Digest::of(&joined));
        assert_eq!(root(&[]), Digest::of(b""));
    }
}
