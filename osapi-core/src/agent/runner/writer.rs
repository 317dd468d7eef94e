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
