//! What a target says, as a value.

use std::fmt;

use super::Target;
use super::matcher::Described;
use super::pattern::Pattern;
use crate::id::AgentName;
use crate::job::label::LabelKey;

/// Hosts that are meant: those of any included term, but none that is excluded. Its text is in one form, whatever was written: exclusions
/// come last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// At least one.
    pub(super) included: Vec<Term>,
    pub(super) excluded: Vec<Atom>,
}

/// Hosts to which all of some things apply, and none of others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Term {
    /// At least one.
    pub(super) all_of: Vec<Atom>,
    pub(super) none_of: Vec<Atom>,
}

/// The smallest thing that means hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    /// Every host.
    All,
    /// The host of that name.
    Name(AgentName),
    /// The one host whose own host name this is.
    Hostname(Hostname),
    /// Hosts whose name matches.
    Pattern(Pattern),
    /// Hosts with a label whose value begins with segments that match these.
    Label {
        key: LabelKey,
        /// At least one.
        segments: Vec<Pattern>,
    },
}

/// A host's own full name, which has dots: `web-01.example.com`. Compared without regard to case, as in DNS (RFC 4343).
#[derive(Debug, Clone, Eq)]
pub struct Hostname(pub(super) String);

impl Hostname {
    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Hostname {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Expression {
    /// Every host that it names by its name, also to leave it out.
    pub fn names(&self) -> impl Iterator<Item = &AgentName> {
        self.atoms().filter_map(|atom| match atom {
            Atom::Name(name) => Some(name),
            Atom::All | Atom::Hostname(_) | Atom::Pattern(_) | Atom::Label { .. } => None,
        })
    }

    /// Every host that it names by its own host name, also to leave it out.
    pub fn hostnames(&self) -> impl Iterator<Item = &Hostname> {
        self.atoms().filter_map(|atom| match atom {
            Atom::Hostname(hostname) => Some(hostname),
            Atom::All | Atom::Name(_) | Atom::Pattern(_) | Atom::Label { .. } => None,
        })
    }

    pub(super) fn names_everyone(&self) -> bool {
        let is_everyone = |atom: &Atom| match atom {
            Atom::All => true,
            Atom::Pattern(pattern) => pattern.is_everything(),
            Atom::Name(_) | Atom::Hostname(_) | Atom::Label { .. } => false,
        };
        self.included.iter().flat_map(|term| &term.all_of).any(is_everyone)
    }

    fn atoms(&self) -> impl Iterator<Item = &Atom> {
        let included =
            self.included.iter().flat_map(|term| term.all_of.iter().chain(&term.none_of));
        included.chain(&self.excluded)
    }
}

impl Term {
    pub(super) fn matches(&self, host: &Described<'_>) -> bool {
        self.all_of.iter().all(|atom| atom.matches(host))
            && !self.none_of.iter().any(|atom| atom.matches(host))
    }
}

impl Atom {
    pub(super) fn matches(&self, host: &Described<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Name(name) => name == host.name,
            Self::Hostname(hostname) => hostname.0.eq_ignore_ascii_case(host.hostname),
            Self::Pattern(pattern) => pattern.matches(host.name.as_str()),
            Self::Label { key, segments } => {
                host.labels.get(key).is_some_and(|value| begins_with(value, segments))
            }
        }
    }
}

/// Segment by segment: `web.dev` begins `web.dev` and `web.dev.x`, not `web.device`.
fn begins_with(value: &str, segments: &[Pattern]) -> bool {
    let mut values = value.split('.');
    segments.iter().all(|segment| values.next().is_some_and(|value| segment.matches(value)))
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, ',', "", &self.included)?;
        self.excluded.iter().try_for_each(|atom| write!(f, ",!{atom}"))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, '&', "", &self.all_of)?;
        self.none_of.iter().try_for_each(|atom| write!(f, "&!{atom}"))
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(Target::ALL),
            Self::Name(name) => name.fmt(f),
            Self::Hostname(hostname) => hostname.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
            Self::Label { key, segments } => joined(f, '.', &format!("{key}:"), segments),
        }
    }
}

fn joined<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    by: char,
    before: &str,
    parts: &[T],
) -> fmt::Result {
    f.write_str(before)?;
    parts.iter().enumerate().try_for_each(|(n, part)| match n {
        0 => part.fmt(f),
        _ => write!(f, "{by}{part}"),
    })
}
