//! Receipts for jobs that are not known yet: an agent may answer the controller that made a job before the others have read of it.

use std::collections::HashMap;
use std::time::Duration;

use crate::id::JobId;
use crate::message::Receipt;

/// How long a receipt is kept at least, as long as there is room.
const KEPT: Duration = Duration::from_secs(5);
/// Most receipts that are kept.
const MOST: usize = 32_768;

/// The latest receipts that nobody had asked for. Moments are of the boottime clock.
#[derive(Debug, Default)]
pub(super) struct Overheard {
    recent: Receipts,
    /// What was recent before: dropped as a whole, so that nothing is ever searched for what is old.
    older: Receipts,
    since: Duration,
}

#[derive(Debug, Default)]
struct Receipts {
    of: HashMap<JobId, Vec<Receipt>>,
    count: usize,
}

impl Overheard {
    /// Keeps a receipt for a while.
    pub(super) fn keep(&mut self, receipt: Receipt, now: Duration) {
        let is_old = now.saturating_sub(self.since) >= KEPT;
        if is_old || self.recent.count >= MOST / 2 {
            self.older = std::mem::take(&mut self.recent);
            self.since = now;
        }
        self.recent.count += 1;
        self.recent.of.entry(receipt.job).or_default().push(receipt);
    }

    /// What was heard of a job, in the order in which it was heard.
    pub(super) fn take(&mut self, job: JobId) -> Vec<Receipt> {
        let mut receipts = self.older.of.remove(&job).unwrap_or_default();
        receipts.extend(self.recent.of.remove(&job).unwrap_or_default());
        receipts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::{Identity, InstanceId, JournalId, PublicKey};
    use crate::job::word::ReceiptKind;

    fn receipt(job: JobId, kind: ReceiptKind) -> Receipt {
        let (name, key) = ("a".parse().unwrap(), PublicKey::from_bytes([1; 32]));
        let identity = Identity { name, key, journal: JournalId::random() };
        Receipt { identity, instance: InstanceId::random(), job, kind }
    }

    #[test]
    fn receipts_are_kept_for_a_while_in_their_order() {
        let job = JobId::new(Timestamp::from_unix_millis(0));
        let mut overheard = Overheard::default();
        let (busy, accepted) = (ReceiptKind::Busy, ReceiptKind::Accepted);
        overheard.keep(receipt(job, busy), Duration::from_secs(10));
        overheard.keep(receipt(job, accepted), Duration::from_secs(15));
        let kinds: Vec<_> = overheard.take(job).into_iter().map(|receipt| receipt.kind).collect();
        assert_eq!(kinds, [busy, accepted]);
        assert_eq!(overheard.take(job), []);
        for at in [20, 25, 30] {
            overheard.keep(receipt(JobId::new(Timestamp::MAX), busy), Duration::from_secs(at));
            if at == 20 {
                overheard.keep(receipt(job, busy), Duration::from_secs(at));
            }
        }
        assert_eq!(overheard.take(job), [], "dropped after a while");
    }

    #[test]
    fn their_number_is_bounded() {
        let mut overheard = Overheard::default();
        for _ in 0..2 * MOST {
            let job = JobId::new(Timestamp::from_unix_millis(0));
            overheard.keep(receipt(job, ReceiptKind::Busy), Duration::ZERO);
        }
        assert!(overheard.recent.of.len() + overheard.older.of.len() <= MOST);
    }
}
