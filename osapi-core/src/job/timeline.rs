//! What happened to a job, and when, as far as a controller knows.
//!
//! Moments come from several clocks: those of controllers, and for starts and ends those of agents.

use super::facts::JobFacts;
use super::state::ExecutionState;
use super::view::Row;
use crate::clock::Timestamp;
use crate::id::AgentName;

/// One moment in the life of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment<'a> {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// On which host; absent if it concerns the whole job.
    pub host: Option<&'a AgentName>,
}

/// What happened. The order is that of a job's life; it decides where two moments are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The request arrived.
    Created,
    /// It is in an agent's journal.
    Accepted,
    /// Its host took the claim on it.
    Claimed,
    /// It was started.
    Started,
    /// A cancel was recorded.
    CancelRequested,
    /// From here on it no longer starts. Told while that matters: unless everything ended otherwise.
    Deadline,
    /// It ended so.
    Ended(ExecutionState),
}

impl Event {
    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Accepted => "accepted",
            Self::Claimed => "claimed",
            Self::Started => "started",
            Self::CancelRequested => "cancel_requested",
            Self::Deadline => "deadline",
            Self::Ended(state) => state.as_str(),
        }
    }
}

/// The moments of a job with these rows, earliest first.
pub(super) fn of<'a>(
    facts: &JobFacts,
    cancel: Option<Timestamp>,
    rows: impl Iterator<Item = Row<'a>>,
) -> Vec<Moment<'a>> {
    let of_job = |at, event| Moment { at, event, host: None };
    let mut moments = vec![of_job(facts.created_at, Event::Created)];
    moments.extend(cancel.map(|at| of_job(at, Event::CancelRequested)));
    let mut deadline_matters = false;
    for row in rows {
        deadline_matters |= !row.is_final() || row.state == ExecutionState::Expired;
        let host = Some(&row.identity.name);
        let of_host = |event| move |at| Moment { at, event, host };
        moments.extend(row.accepted_at.map(of_host(Event::Accepted)));
        moments.extend(row.claimed_at.map(of_host(Event::Claimed)));
        moments.extend(row.started_at.map(of_host(Event::Started)));
        moments.extend(row.ended_at.map(of_host(Event::Ended(row.state))));
    }
    if deadline_matters {
        moments.push(of_job(facts.not_after, Event::Deadline));
    }
    moments.sort_by_key(|moment| (moment.at, moment.event));
    moments
}
