//! A plain evaluator of targets, as slow as it is obvious: ranges are written out, globs are tried one character at a time, and terms
//! are sets.

use std::collections::BTreeSet;
use std::fmt;

use super::TestHost;

/// `,` between terms, `&` between factors.
#[derive(Debug, Clone)]
pub(super) struct Tree(pub(super) Vec<Vec<Factor>>);

#[derive(Debug, Clone)]
pub(super) struct Factor {
    pub(super) not: bool,
    pub(super) atom: Atom,
}

#[derive(Debug, Clone)]
pub(super) enum Atom {
    All,
    Name(Vec<Piece>),
    Label(String, Vec<Vec<Piece>>),
    Hostname(String),
}

#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(String),
    One,
    Many,
    /// First, last, and how many digits each number has at least.
    Numbers(Vec<(u32, u32, usize)>),
}

impl Tree {
    /// Whether it names any host at all, so that it is a target.
    pub(super) fn includes(&self) -> bool {
        self.0.iter().any(|term| term.iter().any(|factor| !factor.not))
    }

    /// The union of the terms that include, without what any factor of the other terms means.
    pub(super) fn meant(&self, hosts: &[TestHost]) -> BTreeSet<String> {
        let all: BTreeSet<String> = hosts.iter().map(|host| host.name.to_string()).collect();
        let (mut included, mut excluded) = (BTreeSet::new(), BTreeSet::new());
        for term in &self.0 {
            if term.iter().all(|factor| factor.not) {
                term.iter().for_each(|factor| excluded.extend(factor.atom.meant(hosts)));
                continue;
            }
            let mut left = all.clone();
            for Factor { not, atom } in term {
                let meant = atom.meant(hosts);
                left.retain(|name| meant.contains(name) != *not);
            }
            included.extend(left);
        }
        &included - &excluded
    }
}

impl Atom {
    fn meant(&self, hosts: &[TestHost]) -> BTreeSet<String> {
        let means = |host: &&TestHost| match self {
            Self::All => true,
            Self::Name(pieces) => is_like(host.name.as_str(), pieces),
            Self::Hostname(hostname) => hostname.eq_ignore_ascii_case(&host.hostname),
            Self::Label(key, segments) => host.labels.iter().any(|(known, value)| {
                let values: Vec<_> = value.split('.').collect();
                known == key
                    && values.len() >= segments.len()
                    && values.iter().zip(segments).all(|(value, segment)| is_like(value, segment))
            }),
        };
        hosts.iter().filter(means).map(|host| host.name.to_string()).collect()
    }
}

fn is_like(text: &str, pieces: &[Piece]) -> bool {
    globs(pieces).iter().any(|glob| fits(text, glob))
}

/// The same without ranges: one glob for each combination of numbers.
fn globs(pieces: &[Piece]) -> Vec<String> {
    let mut globs = vec![String::new()];
    for piece in pieces {
        let more: Vec<String> = match piece {
            Piece::Text(text) => vec![text.clone()],
            Piece::One => vec!["?".into()],
            Piece::Many => vec!["*".into()],
            Piece::Numbers(ranges) => ranges
                .iter()
                .flat_map(|&(first, last, width)| {
                    (first..=last).map(move |n| format!("{n:0width$}"))
                })
                .collect(),
        };
        globs =
            globs.iter().flat_map(|glob| more.iter().map(move |m| format!("{glob}{m}"))).collect();
    }
    globs
}

fn fits(text: &str, glob: &str) -> bool {
    match glob.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &glob[1..];
            (0..=text.len()).any(|skipped| fits(&text[skipped..], rest))
        }
        Some(c) => match text.chars().next() {
            Some(found) if c == '?' || c == found => fits(&text[1..], &glob[1..]),
            _ => false,
        },
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let term =
            |term: &Vec<Factor>| term.iter().map(ToString::to_string).collect::<Vec<_>>().join("&");
        f.write_str(&self.0.iter().map(term).collect::<Vec<_>>().join(","))
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.not { "!" } else { "" })?;
        match &self.atom {
            Atom::All => f.write_str("_all"),
            Atom::Name(pieces) => pieces.iter().try_for_each(|piece| piece.fmt(f)),
            Atom::Hostname(hostname) => f.write_str(hostname),
            Atom::Label(key, segments) => {
                let segment = |pieces: &Vec<Piece>| {
                    pieces.iter().map(ToString::to_string).collect::<String>()
                };
                let segments: Vec<_> = segments.iter().map(segment).collect();
                write!(f, "{key}:{}", segments.join("."))
            }
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::One => f.write_str("?"),
            Self::Many => f.write_str("*"),
            Self::Numbers(ranges) => {
                let range = |(first, last, width): &(u32, u32, usize)| {
                    format!("{first:0width$}-{last:0width$}")
                };
                write!(f, "[{}]", ranges.iter().map(range).collect::<Vec<_>>().join(","))
            }
        }
    }
}
