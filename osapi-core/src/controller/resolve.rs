//! From a target to identities: decided once per job, by the controller, on what it knows now.

use std::collections::HashMap;
use std::time::Duration;

use super::error::Error;
use super::roster::{Candidate, Roster};
use crate::api::types::{AgentState, TargetHost, TargetPreview};
use crate::id::AgentName;
use crate::job::limits::{CANDIDATES_MAX, HOSTS_MAX};
use crate::job::target::{Expression, Hostname, Matcher};
use crate::job::{Host, Target};

/// Longest text of a target in an error, in characters.
const SHOWN_MAX: usize = 80;

/// The host list of a job for `target`, in the order in which it is signed: hosts that are certainly silent are listed as unreachable.
/// `_any` are the hosts that are live and ready, the least busy first and by name among equals, as many as may be candidates.
pub(super) fn resolve(target: &Target, roster: &Roster, now: Duration) -> Result<Vec<Host>, Error> {
    Ok(hosts(target, roster, now)?.into_iter().map(row).collect())
}

/// The host list of a job for exactly these hosts, as they are now: whoever has the name today.
pub(super) fn resolve_names(
    names: &[AgentName],
    roster: &Roster,
    now: Duration,
) -> Result<Vec<Host>, Error> {
    let (mut hosts, mut gone) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        match roster.find(name, now) {
            Some(candidate) => hosts.push(row(candidate)),
            None => gone.push(name.clone()),
        }
    }
    if gone.is_empty() { Ok(hosts) } else { Err(Error::HostNotFound(gone)) }
}

/// Whom a job for `target` would be meant for.
pub(super) fn preview(
    target: &Target,
    roster: &Roster,
    now: Duration,
) -> Result<TargetPreview, Error> {
    let host = |Candidate { identity, .. }| {
        let state = roster.state(&identity, now);
        TargetHost { name: identity.name, state }
    };
    // One of the candidates runs it; as things are, the first.
    let at_most = if *target == Target::Any { 1 } else { HOSTS_MAX };
    let hosts: Vec<_> = hosts(target, roster, now)?.into_iter().take(at_most).map(host).collect();
    let count = |counts: fn(AgentState) -> bool| {
        let counted = hosts.iter().filter(|host| counts(host.state)).count();
        u32::try_from(counted).unwrap_or(u32::MAX)
    };
    Ok(TargetPreview {
        target: target.to_string(),
        count: count(|_| true),
        live: count(|state| state != AgentState::Silent),
        ready: count(|state| state == AgentState::Ready),
        hosts,
    })
}

fn hosts(target: &Target, roster: &Roster, now: Duration) -> Result<Vec<Candidate>, Error> {
    let hosts = match target {
        Target::Host(name) => {
            let found = roster.find(name, now);
            return Ok(vec![found.ok_or_else(|| Error::HostNotFound(vec![name.clone()]))?]);
        }
        Target::Any => return any(roster, now),
        Target::All => roster.candidates(now).collect(),
        Target::Hosts(expression) => {
            check_names(expression, roster)?;
            let matcher = Matcher::new(expression);
            roster.matching(now, |host| matcher.matches(host)).collect::<Vec<_>>()
        }
    };
    match hosts.len() {
        0 if roster.is_empty() => Err(Error::NoHosts),
        0 => Err(Error::NoMatch(shown(target))),
        count if count > HOSTS_MAX => Err(Error::TooManyHosts(count)),
        _ => Ok(hosts),
    }
}

/// Whom a job that one host is to run is offered, in this order.
fn any(roster: &Roster, now: Duration) -> Result<Vec<Candidate>, Error> {
    let mut ready: Vec<_> = roster.candidates(now).filter(|host| host.ready).collect();
    // Candidates come by name, and equals stay in their order.
    ready.sort_by_key(|host| host.busy);
    ready.truncate(CANDIDATES_MAX);
    if ready.is_empty() { Err(Error::NoLiveHost) } else { Ok(ready) }
}

/// A name that nobody has is a mistake, also beside others, and above all where it is to be left out. A pattern that matches nothing is not.
fn check_names(expression: &Expression, roster: &Roster) -> Result<(), Error> {
    let unknown: Vec<_> = expression.names().filter(|name| !roster.has(name)).cloned().collect();
    if !unknown.is_empty() {
        return Err(Error::HostNotFound(unknown));
    }
    let lower = |hostname: &Hostname| hostname.as_str().to_ascii_lowercase();
    let mut named: HashMap<String, Vec<AgentName>> =
        expression.hostnames().map(|hostname| (lower(hostname), Vec::new())).collect();
    if named.is_empty() {
        return Ok(());
    }
    for host in roster.described() {
        if let Some(hosts) = named.get_mut(&host.hostname.to_ascii_lowercase()) {
            hosts.push(host.name.clone());
        }
    }
    // In the order of the target, so that the same mistake is always told alike.
    expression.hostnames().try_for_each(|hostname| {
        match named.get(&lower(hostname)).map(Vec::as_slice).unwrap_or_default() {
            [] => Err(Error::HostnameNotFound(hostname.clone())),
            [_] => Ok(()),
            hosts => {
                Err(Error::HostnameShared { hostname: hostname.clone(), hosts: hosts.to_vec() })
            }
        }
    })
}

fn shown(target: &Target) -> String {
    let text = target.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn row(candidate: Candidate) -> Host {
    Host { identity: candidate.identity, unreachable: candidate.silent }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::controller::roster::Registered;
    use crate::id::{FleetId, Identity, JournalId, PublicKey, SealingKey};
    use crate::job::record::VERSION;
    use crate::job::{AgentFacts, Labels};
    use crate::message::Registration;

    fn roster(count: usize) -> Roster {
        let mut roster = Roster::default();
        for n in 0..count {
            let at = Timestamp::from_unix_millis(0);
            let identity = Identity {
                name: format!("h{n:05}").parse().unwrap(),
                key: PublicKey::from_bytes([0; 32]),
                journal: JournalId::from_bytes([0; 16]),
            };
            let registration = Registration {
                v: VERSION,
                fleet: FleetId::from_bytes([0; 16]),
                hostname: format!("{}.example", identity.name),
                identity,
                version: "0".into(),
                sealing: SealingKey::from_bytes([0; 32]),
                labels: Labels::default(),
                facts: AgentFacts::default(),
                at,
            };
            roster.register(Registered { registration, at });
        }
        roster
    }

    #[test]
    fn a_job_has_a_bounded_number_of_hosts() {
        let roster = roster(HOSTS_MAX + 1);
        for text in ["_all", "*", "h*,!g*"] {
            let target = text.parse().unwrap();
            let refused = resolve(&target, &roster, Duration::ZERO);
            assert!(matches!(refused, Err(Error::TooManyHosts(20_001))), "{text}");
        }
        let target = "_all,!h20000".parse().unwrap();
        assert_eq!(resolve(&target, &roster, Duration::ZERO).unwrap().len(), HOSTS_MAX);
    }

    #[test]
    fn hosts_come_by_name_and_once() {
        let target = "h00002,h0000[1-2],_all&h0000?,h00000.example,!h00004".parse().unwrap();
        let hosts = resolve(&target, &roster(6), Duration::ZERO).unwrap();
        let names: Vec<_> = hosts.iter().map(|host| host.identity.name.as_str()).collect();
        assert_eq!(names, ["h00000", "h00001", "h00002", "h00003", "h00005"]);
    }
}
