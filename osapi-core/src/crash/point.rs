//! The list of points.

use std::fmt;
use std::str::FromStr;

/// An effect at which a process can crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The agent journals that it has accepted a job.
    Accepted,
    /// The agent journals that a job may be started from here on.
    Starting,
    /// The agent journals how what was started is found again.
    Running,
    /// The agent journals how an execution ended, with its report.
    Outcome,
    /// The agent journals that its report is in the store.
    Acknowledged,
    /// The agent journals that a job which it has not seen is cancelled.
    Barred,
    /// The agent journals that the claim of a job is not its own.
    Closed,
    /// The agent forgets a job.
    Forgotten,
    /// The agent journals which key ring it has seen.
    RingSeen,
    /// The executor is given a job, up to the end of the command: before it nothing is spawned, after it the command has ended.
    Execution,
    /// The executor tells that it has spawned the command.
    Spawned,
    /// What a crash left behind is ended.
    Leftovers,
    /// The agent sends a hello.
    Hello,
    /// The agent sends its registration.
    Registration,
    /// The agent sends a receipt.
    Receipt,
    /// The agent asks for a claim.
    ClaimRequest,
    /// The agent sends a report.
    Report,
    /// The agent sends a chunk of output.
    OutputChunk,
    /// A server writes a reservation.
    WriteReservation,
    /// A server writes a signed order.
    WriteOrder,
    /// A server writes a part of a host list.
    WriteHosts,
    /// A server writes the record of a job.
    WriteJob,
    /// A server writes a cancel.
    WriteCancel,
    /// A server writes a claim.
    WriteClaim,
    /// A server writes reports.
    WriteReports,
    /// A server writes a chunk of output.
    WriteOutput,
    /// A server writes who is registered under a name.
    WriteAgent,
    /// A server writes that a job is removed.
    WriteRemoval,
    /// A server writes a key ring.
    WriteRing,
    /// A server removes records without a trace.
    Purge,
    /// A server sends an order.
    Dispatch,
    /// A server sends a cancel.
    Cancel,
    /// A server answers that a report is stored.
    Stored,
    /// A server answers that a claim is the agent's.
    Yours,
    /// A server answers that a claim is not the agent's.
    Void,
    /// A server answers that there is no such job.
    Gone,
    /// A server answers that a report is not the one that counts.
    Conflict,
    /// A server answers that a chunk of output is settled.
    OutputSettled,
    /// A server welcomes an agent.
    Welcome,
    /// A server tells an agent that it is not let in.
    Refused,
    /// A server asks all agents for a hello, or tells them the keys.
    Ping,
    /// A server handles a request that changes something: before it nothing was done, after it nothing was answered.
    Request,
}

impl Place {
    /// Those of agents.
    pub const AGENT: [Self; 18] = [
        Self::Accepted,
        Self::Starting,
        Self::Running,
        Self::Outcome,
        Self::Acknowledged,
        Self::Barred,
        Self::Closed,
        Self::Forgotten,
        Self::RingSeen,
        Self::Execution,
        Self::Spawned,
        Self::Leftovers,
        Self::Hello,
        Self::Registration,
        Self::Receipt,
        Self::ClaimRequest,
        Self::Report,
        Self::OutputChunk,
    ];
    /// Those of servers.
    pub const SERVER: [Self; 24] = [
        Self::WriteReservation,
        Self::WriteOrder,
        Self::WriteHosts,
        Self::WriteJob,
        Self::WriteCancel,
        Self::WriteClaim,
        Self::WriteReports,
        Self::WriteOutput,
        Self::WriteAgent,
        Self::WriteRemoval,
        Self::WriteRing,
        Self::Purge,
        Self::Dispatch,
        Self::Cancel,
        Self::Stored,
        Self::Yours,
        Self::Void,
        Self::Gone,
        Self::Conflict,
        Self::OutputSettled,
        Self::Welcome,
        Self::Refused,
        Self::Ping,
        Self::Request,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "agent.journal.accepted",
            Self::Starting => "agent.journal.starting",
            Self::Running => "agent.journal.running",
            Self::Outcome => "agent.journal.outcome",
            Self::Acknowledged => "agent.journal.acknowledged",
            Self::Barred => "agent.journal.barred",
            Self::Closed => "agent.journal.closed",
            Self::Forgotten => "agent.journal.forgotten",
            Self::RingSeen => "agent.journal.ring",
            Self::Execution => "agent.execution",
            Self::Spawned => "agent.spawned",
            Self::Leftovers => "agent.leftovers",
            Self::Hello => "agent.send.hello",
            Self::Registration => "agent.send.registration",
            Self::Receipt => "agent.send.receipt",
            Self::ClaimRequest => "agent.send.claim",
            Self::Report => "agent.send.report",
            Self::OutputChunk => "agent.send.output",
            Self::WriteReservation => "server.write.reservation",
            Self::WriteOrder => "server.write.order",
            Self::WriteHosts => "server.write.hosts",
            Self::WriteJob => "server.write.job",
            Self::WriteCancel => "server.write.cancel",
            Self::WriteClaim => "server.write.claim",
            Self::WriteReports => "server.write.reports",
            Self::WriteOutput => "server.write.output",
            Self::WriteAgent => "server.write.agent",
            Self::WriteRemoval => "server.write.removal",
            Self::WriteRing => "server.write.ring",
            Self::Purge => "server.purge",
            Self::Dispatch => "server.send.dispatch",
            Self::Cancel => "server.send.cancel",
            Self::Stored => "server.send.stored",
            Self::Yours => "server.send.yours",
            Self::Void => "server.send.void",
            Self::Gone => "server.send.gone",
            Self::Conflict => "server.send.conflict",
            Self::OutputSettled => "server.send.output_settled",
            Self::Welcome => "server.send.welcome",
            Self::Refused => "server.send.refused",
            Self::Ping => "server.send.ping",
            Self::Request => "server.request",
        }
    }

    /// Before the effect.
    #[must_use]
    pub const fn before(self) -> Point {
        Point { place: self, side: Side::Before }
    }

    /// After the effect, before anything else knows of it.
    #[must_use]
    pub const fn after(self) -> Point {
        Point { place: self, side: Side::After }
    }
}

/// On which side of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Nothing of it was done.
    Before,
    /// It was done; for a message: it has left this process.
    After,
}

/// Where a process can crash, by name `agent.journal.starting.before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The effect.
    pub place: Place,
    /// The side of it.
    pub side: Side,
}

impl Point {
    /// Every point of these places.
    #[must_use]
    pub fn of(places: &[Place]) -> Vec<Self> {
        places.iter().flat_map(|place| [place.before(), place.after()]).collect()
    }

    /// Every point.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Self::of(&[Place::AGENT.as_slice(), Place::SERVER.as_slice()].concat())
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(f, "{}.{side}", self.place.name())
    }
}

/// A name that no point has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no crash point is called '{0}'")]
pub struct UnknownPoint(String);

impl FromStr for Point {
    type Err = UnknownPoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_it = |point: &Self| point.to_string() == text;
        Self::all().into_iter().find(is_it).ok_or_else(|| UnknownPoint(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own_by_which_it_is_found() {
        let names: BTreeSet<_> = Point::all().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 2 * (Place::AGENT.len() + Place::SERVER.len()));
        for point in Point::all() {
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        let error = "agent.journal.starting".parse::<Point>().unwrap_err();
        assert_eq!(error.to_string(), "no crash point is called 'agent.journal.starting'");
    }
}
