//! One commit at a time: while it is synced, others queue, and then go together.

use std::sync::Arc;

use super::work::Work;
use crate::agent::journal::{Change, Journal};
use crate::agent::machine::CommitId;

pub(super) struct Writer {
    journal: Arc<dyn Journal>,
    ids: Vec<CommitId>,
    changes: Vec<Change>,
    is_busy: bool,
}

impl Writer {
    pub(super) fn new(journal: Arc<dyn Journal>) -> Self {
        Self { journal, ids: Vec::new(), changes: Vec::new(), is_busy: false }
    }

    /// Takes a commit that follows every one before it.
    pub(super) fn queue(&mut self, id: CommitId, changes: Vec<Change>) {
        self.ids.push(id);
        self.changes.extend(changes);
    }

    /// The commit that was under way has ended.
    pub(super) fn is_free(&mut self) {
        self.is_busy = false;
    }

    /// Starts to write what has queued, unless something is being written.
    pub(super) fn write(&mut self, work: &mut Work) {
        if self.is_busy || self.ids.is_empty() {
            return;
        }
        self.is_busy = true;
        let (ids, changes) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.changes));
        work.commit(Arc::clone(&self.journal), ids, changes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::work::Done;
    use super::*;
    use crate::agent::journal::{Binding, MemoryJournal};
    use crate::auth::keys::SigningKey;

    fn journal() -> MemoryJournal {
        let (root, key) = (SigningKey::generate().public(), SigningKey::generate().public());
        let name = "web-1".parse().unwrap();
        MemoryJournal::new(Binding { fleet: root.fleet(), name, key, machine: "m".into() })
    }

    async fn committed(work: &mut Work) -> Option<Vec<u64>> {
        match work.next().await? {
            Done::Committed(ids, Ok(())) => Some(ids.iter().map(|id| id.0).collect()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn commits_that_come_meanwhile_go_together_and_after_it() {
        let (journal, mut work) = (journal(), Work::default());
        let mut writer = Writer::new(Arc::new(journal.clone()));
        writer.write(&mut work);
        for n in 1..=3 {
            writer.queue(CommitId(n), vec![Change::Ring(n)]);
            writer.write(&mut work);
        }
        assert_eq!(committed(&mut work).await, Some(vec![1]));
        assert_eq!((committed(&mut work).await, journal.header().ring), (None, 1));
        writer.is_free();
        writer.write(&mut work);
        assert_eq!(committed(&mut work).await, Some(vec![2, 3]));
        assert_eq!((journal.header().ring, journal.commits()), (3, 2));
    }
}
