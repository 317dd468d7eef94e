//! Which of many hosts a target means.

use std::collections::HashSet;

use super::expression::{Atom, Expression, Term};
use crate::id::AgentName;
use crate::job::Labels;

/// What targets look at of a host.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// Its name.
    pub name: &'a AgentName,
    /// Its own full host name.
    pub hostname: &'a str,
    /// Its labels.
    pub labels: &'a Labels,
}

/// An expression that is made ready to be asked about many hosts: single names are looked up, so that a long list of them costs no more
/// than a short one.
#[derive(Debug)]
pub struct Matcher<'a> {
    included: Names<'a>,
    terms: Vec<&'a Term>,
    excluded: Names<'a>,
    atoms: Vec<&'a Atom>,
}

/// Hosts that are named one by one.
#[derive(Debug, Default)]
struct Names<'a> {
    names: HashSet<&'a AgentName>,
    /// In lower case.
    hostnames: HashSet<String>,
}

impl<'a> Matcher<'a> {
    /// The matcher of `expression`.
    #[must_use]
    pub fn new(expression: &'a Expression) -> Self {
        let (mut included, mut excluded) = (Names::default(), Names::default());
        let terms = expression.included.iter().filter(|term| match term {
            Term { all_of, none_of } if none_of.is_empty() && all_of.len() == 1 => {
                !included.take(&all_of[0])
            }
            _ => true,
        });
        let terms = terms.collect();
        let atoms = expression.excluded.iter().filter(|atom| !excluded.take(atom)).collect();
        Self { included, terms, excluded, atoms }
    }

    /// Whether `host` is meant.
    #[must_use]
    pub fn matches(&self, host: &Described<'_>) -> bool {
        let is_included =
            self.included.contain(host) || self.terms.iter().any(|term| term.matches(host));
        is_included
            && !self.excluded.contain(host)
            && !self.atoms.iter().any(|atom| atom.matches(host))
    }
}

impl<'a> Names<'a> {
    /// Takes `atom` in if it is a single name.
    fn take(&mut self, atom: &'a Atom) -> bool {
        match atom {
            Atom::Name(name) => {
                self.names.insert(name);
                true
            }
            Atom::Hostname(hostname) => {
                self.hostnames.insert(hostname.0.to_ascii_lowercase());
                true
            }
            Atom::All | Atom::Pattern(_) | Atom::Label { .. } => false,
        }
    }

    fn contain(&self, host: &Described<'_>) -> bool {
        self.names.contains(host.name)
            || !self.hostnames.is_empty()
                && self.hostnames.contains(&host.hostname.to_ascii_lowercase())
    }
}
