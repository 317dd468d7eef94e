//! From a target to identities: decided once per job, by the controller, on what it knows now.

use std::time::Duration;

use super::error::Error;
use super::roster::{Candidate, Roster};
use crate::job::limits::HOSTS_MAX;
use crate::job::{Host, Target};

/// The host list of a job for `target`, in the order in which it is signed and shown: hosts that are certainly silent are listed as
/// unreachable. `_any` is the one host that is live, ready and least busy; the first by name among equals.
pub(super) fn resolve(target: &Target, roster: &Roster, now: Duration) -> Result<Vec<Host>, Error> {
    match target {
        Target::Host(name) => {
            let found = roster.find(name, now).ok_or_else(|| Error::HostNotFound(name.clone()))?;
            Ok(vec![row(found)])
        }
        Target::All => {
            let hosts: Vec<_> = roster.candidates(now).map(row).collect();
            match hosts.len() {
                0 => Err(Error::NoHosts),
                n if n > HOSTS_MAX => Err(Error::TooManyHosts(n)),
                _ => Ok(hosts),
            }
        }
        Target::Any => {
            let least_busy =
                roster.candidates(now).filter(|host| host.ready).min_by_key(|host| host.busy);
            Ok(vec![row(least_busy.ok_or(Error::NoLiveHost)?)])
        }
    }
}

fn row(candidate: Candidate) -> Host {
    Host { identity: candidate.identity, unreachable: candidate.silent }
}
