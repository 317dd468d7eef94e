//! What runs beside the loop, and what it tells when it is done, also if it panics.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::{Id, JoinSet};

use super::execution::recovered;
use super::line::Subscribed;
use crate::agent::journal::{Change, Journal, Record};
use crate::agent::machine::{CommitId, Output};
use crate::agent::spool;
use crate::blocking::blocking;
use crate::executor::{Executor, Handle};
use crate::id::JobId;

/// What was done.
pub(super) enum Done {
    /// Nothing that the machine has to know.
    Nothing,
    /// These commits were synced, or may not have been kept.
    Committed(Vec<CommitId>, Result<(), String>),
    /// What the journal holds, or why it cannot be used.
    Reopened(Result<Vec<(JobId, Record)>, String>),
    /// The agent listens to its subjects, or cannot.
    Subscribed(Subscribed),
    /// Leftovers were ended, or not; and what they had written.
    Leftovers(JobId, Result<(), String>, Box<Output>),
    /// An executor panicked.
    Broke(JobId),
}

/// What is to be told if a task panics.
enum Purpose {
    Commit(Vec<CommitId>),
    Reopening,
    Execution(JobId),
    Leftovers(JobId),
    Subscription,
}

#[derive(Default)]
pub(super) struct Work {
    tasks: JoinSet<Done>,
    /// What nobody is told about.
    chores: JoinSet<()>,
    purposes: HashMap<Id, Purpose>,
}

impl Work {
    /// What is done next; `None` if nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Done> {
        match self.tasks.join_next_with_id().await? {
            Ok((id, done)) => {
                self.purposes.remove(&id);
                Some(done)
            }
            Err(err) => {
                tracing::error!(error = %err, "a task of the agent ended without a word");
                let purpose = self.purposes.remove(&err.id());
                Some(purpose.map_or(Done::Nothing, |purpose| purpose.broken(&err)))
            }
        }
    }

    fn spawn(&mut self, purpose: Purpose, task: impl Future<Output = Done> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.purposes.insert(id, purpose);
    }

    pub(super) fn commit(
        &mut self,
        journal: Arc<dyn Journal>,
        ids: Vec<CommitId>,
        changes: Vec<Change>,
    ) {
        self.spawn(Purpose::Commit(ids.clone()), async move {
            let result = journal.commit(changes).await.map_err(|err| chain(&err));
            Done::Committed(ids, result)
        });
    }

    pub(super) fn reopen(&mut self, journal: Arc<dyn Journal>) {
        self.spawn(Purpose::Reopening, async move {
            Done::Reopened(journal.reopen().await.map_err(|err| chain(&err)))
        });
    }

    pub(super) fn execute(
        &mut self,
        job: JobId,
        execution: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn(Purpose::Execution(job), async move {
            execution.await;
            Done::Nothing
        });
    }

    pub(super) fn end_leftovers(
        &mut self,
        executor: Arc<dyn Executor>,
        spool: PathBuf,
        handle: Handle,
    ) {
        self.spawn(Purpose::Leftovers(handle.job), async move {
            let result = executor.end_leftovers(&handle).await.map_err(|err| chain(&err));
            Done::Leftovers(handle.job, result, Box::new(recovered(&spool, handle.job).await))
        });
    }

    pub(super) fn subscribe(
        &mut self,
        subscribing: impl Future<Output = Subscribed> + Send + 'static,
    ) {
        self.spawn(Purpose::Subscription, async move { Done::Subscribed(subscribing.await) });
    }

    pub(super) fn discard(&mut self, dir: PathBuf, job: JobId) {
        while self.chores.try_join_next().is_some() {}
        self.chores.spawn(async move {
            if let Err(err) = blocking(move || spool::discard(&dir, job)).await {
                tracing::warn!(%job, error = %err, "output that is not needed any more stays on disk");
            }
        });
    }

    /// Waits for what has to be done even if the agent ends.
    pub(super) async fn finish(&mut self) {
        while self.chores.join_next().await.is_some() {}
    }
}

impl Purpose {
    fn broken(self, err: &tokio::task::JoinError) -> Done {
        match self {
            Self::Commit(ids) => Done::Committed(ids, Err(err.to_string())),
            Self::Reopening => Done::Reopened(Err(err.to_string())),
            Self::Execution(job) => Done::Broke(job),
            Self::Leftovers(job) => {
                Done::Leftovers(job, Err(err.to_string()), Box::new(Output::unknown()))
            }
            Self::Subscription => Done::Subscribed(None),
        }
    }
}

/// An error with everything beneath it.
fn chain(err: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(err), |&err| err.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
