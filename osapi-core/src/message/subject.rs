//! Where messages go. A backend puts its namespace before these.

use std::fmt;

use crate::id::AgentName;

/// Where one message is published.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `from.<host>.h`: hellos and receipts of one agent, heard by every controller.
    Heard(AgentName),
    /// `from.<host>.w`: what one controller of the group verifies, stores and answers.
    Work(AgentName),
    /// `to.<host>`: the inbox of one agent.
    To(AgentName),
    /// `ping`: from controllers to every agent.
    Ping,
}

/// What a subscription listens to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `from.*.h`
    Heard,
    /// `from.*.w`
    Work,
    /// `to.<host>`
    To(AgentName),
    /// `ping`
    Ping,
}

impl Pattern {
    /// Whether a message on `subject` is for this subscription.
    #[must_use]
    pub fn matches(&self, subject: &Subject) -> bool {
        match (self, subject) {
            (Self::Heard, Subject::Heard(_))
            | (Self::Work, Subject::Work(_))
            | (Self::Ping, Subject::Ping) => true,
            (Self::To(mine), Subject::To(name)) => mine == name,
            _ => false,
        }
    }
}

impl Subject {
    /// The agent whose subject it is. An agent's credential lets it publish under its own name only.
    #[must_use]
    pub fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Heard(name) | Self::Work(name) | Self::To(name) => Some(name),
            Self::Ping => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heard(name) => write!(f, "from.{name}.h"),
            Self::Work(name) => write!(f, "from.{name}.w"),
            Self::To(name) => write!(f, "to.{name}"),
            Self::Ping => f.write_str("ping"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heard => f.write_str("from.*.h"),
            Self::Work => f.write_str("from.*.w"),
            Self::To(name) => write!(f, "to.{name}"),
            Self::Ping => f.write_str("ping"),
        }
    }
}
