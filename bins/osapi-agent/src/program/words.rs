//! What `osapi-agent` says: who it is, and what went wrong with the way out.

use osapi_core::backend::nats::ConnectError;
use osapi_core::id::{AgentName, FleetId};
use osapi_core::message::RegistrationRefusal;
use osapi_service::datadir::{DataDirError, Layout};
use osapi_service::fault::Fault;
use osapi_service::invitation::InvitationError;
use osapi_service::keystore::{AgentKeys, KeyError};

use crate::member::{Member, MemberError};
use crate::policy::PolicyError;

/// An agent, as it is spoken of.
pub(super) struct Who {
    name: AgentName,
    fleet: FleetId,
    start: String,
}

impl Who {
    pub(super) fn of(member: &Member, layout: &Layout) -> Self {
        let identity = &member.keys.identity;
        Self { name: identity.name.clone(), fleet: identity.root.fleet(), start: start(layout) }
    }

    /// It takes jobs.
    pub(super) fn ready(&self) -> String {
        format!("agent '{}' takes jobs: an answer reached it on its own inbox", self.name)
    }

    /// It has heard nothing.
    pub(super) fn unanswered(&self) -> String {
        let Self { name, .. } = self;
        format!(
            "no API server has answered agent '{name}' yet; it goes on asking: does one run, for this fleet and namespace?"
        )
    }

    /// It is not let in.
    pub(super) fn refused(&self, why: &RegistrationRefusal) -> Fault {
        let name = &self.name;
        let fault = Fault::because(format!("cannot join as '{name}'"), why);
        match why {
            RegistrationRefusal::NameTaken { .. } => fault.hint(format!(
                "nothing was made: if that host is gone, 'osapi agent remove {name}' makes room and this join file can be used again; else invite this one under another name"
            )),
            _ => fault.hint("nothing was made: the join file can be used again"),
        }
    }

    /// It has joined; whether anything has answered.
    pub(super) fn joined(&self, is_answered: bool) -> String {
        let Self { name, fleet, start } = self;
        let told = if is_answered {
            format!("'{name}' has joined fleet {fleet}.")
        } else {
            format!(
                "'{name}' asked to join fleet {fleet}, and no API server has answered yet; it goes on asking at the next start."
            )
        };
        format!(
            "{told} From now on start it with: {start} (the join file is of no more use: remove it)"
        )
    }
}

fn start(layout: &Layout) -> String {
    format!("osapi-agent --data-dir '{}'", layout.path().display())
}

/// The keys of an agent, as 'osapi agent key' shows them.
pub(super) fn keys(keys: &AgentKeys) -> String {
    let AgentKeys { key, sealing, identity } = keys;
    format!(
        "name         {}\nkey          {}\nsigning key  {}\nsealing key  {sealing}",
        identity.name,
        key.id(),
        key.public()
    )
}

/// The join file is none.
pub(super) fn no_invitation(error: &InvitationError) -> Fault {
    let fault = Fault::because("cannot join with this file", error).exit(Fault::USAGE);
    match error {
        InvitationError::Cut { .. } | InvitationError::Damaged { .. } => {
            fault.hint("copy it again, or make another with 'osapi agent invite'")
        }
        InvitationError::Other(_) | InvitationError::Content { .. } => {
            fault.hint("'osapi agent invite NAME --out FILE' writes join files")
        }
        InvitationError::Version { .. } => {
            fault.hint("use the 'osapi-agent' of the same version as the 'osapi' that made it")
        }
        _ => fault,
    }
}

/// The data directory cannot be used.
pub(super) fn no_data_dir(error: &DataDirError) -> Fault {
    let fault = Fault::because("cannot start", error);
    match error {
        DataDirError::InUse { .. } => {
            fault.hint("an agent is running there: stop it, or choose another --data-dir")
        }
        DataDirError::NotWritable { .. } => fault.hint("choose another one with --data-dir"),
        _ => fault,
    }
}

/// There is a policy that is not taken.
pub(super) fn no_policy(error: &PolicyError) -> Fault {
    Fault::lines(error).exit(Fault::USAGE)
}

/// There is no agent.
pub(super) fn no_member(error: &MemberError) -> Fault {
    let fault = Fault::because("cannot start", error);
    match error {
        MemberError::Keys(KeyError::NoAgent(_)) => fault.exit(Fault::USAGE).hint(
            "join with a file of 'osapi agent invite': osapi-agent --join FILE; --data-dir points to another directory",
        ),
        MemberError::NeverJoined { .. } => fault.exit(Fault::USAGE).hint(
            "'osapi start' runs it; to join a fleet, give a --data-dir of its own beside --join FILE",
        ),
        _ => fault,
    }
}

/// The configuration is for another agent.
pub(super) fn other_name(error: &KeyError) -> Fault {
    Fault::because("cannot start", error).exit(Fault::USAGE).hint(
        "an agent has the name by which it was invited: remove 'agent.name' from its configuration",
    )
}

/// No agent was made.
pub(super) fn not_joined(error: &MemberError, layout: &Layout) -> Fault {
    let fault = Fault::because("cannot join", error);
    match error {
        MemberError::Keys(KeyError::AgentExists { is_same_fleet: true, .. }) => {
            let hint = format!("a join file is used once: start the agent with {}", start(layout));
            fault.exit(Fault::USAGE).hint(hint)
        }
        MemberError::Keys(KeyError::AgentExists { is_same_fleet: false, .. }) => {
            fault.exit(Fault::USAGE).hint("choose another --data-dir for this fleet")
        }
        _ => fault,
    }
}

/// NATS is not what is needed.
pub(super) fn not_connected(error: &ConnectError, is_joining: bool) -> Fault {
    let fault = Fault::because(if is_joining { "cannot join" } else { "cannot start" }, error);
    match (error, is_joining) {
        (ConnectError::Unreachable { .. } | ConnectError::Address { .. }, true) => fault.hint(
            "nothing was made. The addresses are those of the join file; 'nats.servers' in the configuration goes before them (-f, or OSAPI_NATS_SERVERS)",
        ),
        (_, true) => fault.hint("nothing was made: the join file can be used again"),
        (ConnectError::Refused { .. }, false) => fault.hint(
            "'nats.credentials' in the configuration names another credentials file; or remove the agent, invite it anew and join in another --data-dir",
        ),
        (_, false) => fault,
    }
}
