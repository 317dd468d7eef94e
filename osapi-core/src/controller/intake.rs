//! Agents' words on `w` into the store: registrations, claim requests, reports and output, each verified before it is written and
//! answered once the store has it.
//!
//! The loop only sorts: whatever waits for the store is a task of its own, so that a slow write keeps nobody else waiting. What finds
//! no room is dropped, for an agent says it again until it is answered.

mod answer;
mod output;
mod reports;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::claim::{self, Claims};
use super::error::Error;
use super::registration;
use super::state::Admission;
use crate::auth::envelope::Signed;
use crate::backend::{Delivery, Subscription};
use crate::id::{AgentName, Identity, JobId};
use crate::message::{ClaimRequest, FromAgent, decode};
use answer::answer;
use reports::{Checked, Lanes, Received, Verified};

/// Most messages that are taken together.
const BATCH: usize = 256;

/// Takes words from `work` until the token is cancelled or the bus ends.
pub(super) struct Intake {
    shared: Arc<Shared>,
    registrations: Desk,
    claims: Desk,
    output: Desk,
    /// Room for reports that are not in the store yet, in KiB.
    reports: Arc<Semaphore>,
    lanes: Lanes,
    at_work: JoinSet<Done>,
    /// The tasks that write reports, and of which job.
    writing: HashMap<Id, JobId>,
}

/// What a task has done.
enum Done {
    /// Reports were looked at.
    Checked(Checked),
    /// Reports were written, or could not be.
    Written,
    /// A word was answered, or needs no answer.
    Settled,
}

/// One kind of words: how many are in hand, and how many of those are worked on.
struct Desk {
    places: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
}

impl Desk {
    fn new(places: usize, at_once: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            at_once: Arc::new(Semaphore::new(at_once)),
        }
    }
}

impl Intake {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            registrations: Desk::new(4096, 64),
            claims: Desk::new(8192, 256),
            output: Desk::new(256, 64),
            reports: Arc::new(Semaphore::new(reports::ROOM_KIB)),
            lanes: Lanes::default(),
            at_work: JoinSet::new(),
            writing: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut work: Subscription, stop: CancellationToken) {
        loop {
            // Every branch is cancel-safe: neither a subscription nor a set of tasks loses anything.
            tokio::select! {
                () = stop.cancelled() => return,
                Some(done) = self.at_work.join_next_with_id() => self.done(done),
                first = work.next() => {
                    let Some(first) = first else { return };
                    let more = std::iter::from_fn(|| work.try_next());
                    let batch = std::iter::once(first).chain(more).take(BATCH).collect();
                    self.take(batch);
                }
            }
        }
    }

    fn take(&mut self, batch: Vec<Delivery>) {
        let mut reports = Vec::new();
        for delivery in batch {
            let Some(name) = delivery.subject.agent().cloned() else { continue };
            let shared = Arc::clone(&self.shared);
            match decode::<FromAgent>(&delivery.payload) {
                Ok(FromAgent::Report(signed)) => {
                    reports.extend(Received::new(name, signed, &self.reports));
                }
                Ok(FromAgent::Register(signed)) => {
                    let from = name.clone();
                    let work = async move { registration::register(&shared, &from, &signed).await };
                    start(&mut self.at_work, &self.registrations, name, work);
                }
                Ok(FromAgent::Claim(signed)) => {
                    let from = name.clone();
                    let work = async move { answer_claim(&shared, &from, &signed).await };
                    start(&mut self.at_work, &self.claims, name, work);
                }
                Ok(FromAgent::Output(chunk)) => {
                    let from = name.clone();
                    let work = async move { output::store(&shared, &from, chunk).await };
                    start(&mut self.at_work, &self.output, name, work);
                }
                Ok(FromAgent::Hello(_) | FromAgent::Receipt(_)) => {
                    tracing::debug!(agent = %name, "a hello or receipt came on the wrong subject");
                }
                Err(err) => {
                    tracing::warn!(agent = %name, error = &err as &dyn std::error::Error, "a message cannot be read");
                }
            }
        }
        if !reports.is_empty() {
            let shared = Arc::clone(&self.shared);
            self.at_work
                .spawn(async move { Done::Checked(reports::check(&shared, reports).await) });
        }
    }

    fn done(&mut self, done: Result<(Id, Done), JoinError>) {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(err) => err.id(),
        };
        match done {
            Ok((_, Done::Checked(Checked { verified, unclear }))) => {
                for report in unclear {
                    let shared = Arc::clone(&self.shared);
                    self.at_work.spawn(async move {
                        Done::Checked(reports::clear_up(&shared, report).await)
                    });
                }
                for (job, reports) in self.lanes.enter(verified) {
                    self.write(job, reports);
                }
            }
            Ok((_, Done::Written | Done::Settled)) => {}
            Err(err) => tracing::error!(
                error = &err as &dyn std::error::Error,
                "a task of the intake failed"
            ),
        }
        // Also if the task has failed: what waits in its lane goes on.
        if let Some(job) = self.writing.remove(&id)
            && let Some(next) = self.lanes.next(job)
        {
            self.write(job, next);
        }
    }

    /// Writes reports of one job. What comes meanwhile waits, and is then written together.
    fn write(&mut self, job: JobId, reports: Vec<Verified>) {
        let shared = Arc::clone(&self.shared);
        let written = async move {
            reports::write(&shared, job, reports).await;
            Done::Written
        };
        let id = self.at_work.spawn(written).id();
        self.writing.insert(id, job);
    }
}

/// Starts work on a word, unless too many of its kind are in hand.
fn start(
    at_work: &mut JoinSet<Done>,
    desk: &Desk,
    name: AgentName,
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) {
    let Ok(place) = Arc::clone(&desk.places).try_acquire_owned() else {
        tracing::debug!(agent = %name, "too much to do: a message is taken when it is said again");
        return;
    };
    let at_once = Arc::clone(&desk.at_once);
    at_work.spawn(async move {
        let turn = at_once.acquire().await;
        if let Err(err) = work.await {
            tracing::warn!(agent = %name, error = &err as &dyn std::error::Error, "an agent's word could not be stored");
        }
        drop((turn, place));
        Done::Settled
    });
}

async fn answer_claim(
    shared: &Shared,
    name: &AgentName,
    signed: &Signed<ClaimRequest>,
) -> Result<(), Error> {
    if let Some((to, job, kind)) = claim::requested(shared, name, signed).await? {
        answer(shared, &to, job, kind, None).await;
    }
    Ok(())
}

/// Whether the word of an agent on an execution counts. What depends on a claim that is not known is asked of the leader.
async fn admission(shared: &Shared, job: JobId, identity: &Identity) -> Result<Admission, Error> {
    let ask = || {
        let asked = identity.clone();
        shared.ask(move |state| state.admission(job, &asked))
    };
    match ask().await? {
        Admission::NotClaimed(rule) | Admission::ClaimLost(Claims { rule, .. }) => {
            claim::look_up(shared, rule, job, &identity.name).await?;
            ask().await
        }
        known => Ok(known),
    }
}
