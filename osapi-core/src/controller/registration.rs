//! Letting agents in, or keeping them out: a known name keeps its key.

use super::Shared;
use super::error::Error;
use super::records::{self, AgentRecord};
use super::roster::Registered;
use crate::auth::envelope::Signed;
use crate::backend::{Bucket, Key, StoreError};
use crate::id::{AgentName, FleetId};
use crate::job::limits::HOSTNAME_MAX;
use crate::job::record::VERSION;
use crate::message::Registration;

/// Longest version of an agent, in bytes.
const VERSION_MAX: usize = 64;

/// Longest text of a fact, in bytes.
const FACT_MAX: usize = 256;

/// What becomes of a registration that verifies, given what is registered under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// It is what is registered.
    Keep,
    /// It takes the place of an earlier one of the same agent.
    Replace,
    /// Another key asks for the name.
    Impostor,
    /// It was delayed or repeated on its way, and would put what an agent said before in the place of what it says now.
    Overtaken,
}

fn decide(known: &Registered, new: &Registration, is_known_live: bool) -> Decision {
    let Registered { registration, at } = known;
    let is_same_agent = registration.identity == new.identity;
    let says_the_same = *registration == Registration { at: registration.at, ..new.clone() };
    // An agent whose clock was ahead when it registered is not held to the time that it said.
    let is_older = new.at < registration.at.min(*at);
    match () {
        () if registration.identity.key != new.identity.key => Decision::Impostor,
        () if says_the_same => Decision::Keep,
        () if is_older && (is_same_agent || is_known_live) => Decision::Overtaken,
        () => Decision::Replace,
    }
}

/// A registration that its own key signed, for this fleet, within its bounds.
pub(super) fn open(signed: &Signed<Registration>, fleet: FleetId) -> Option<Registration> {
    let claimed: Registration = signed.peek()?;
    let verified = signed.verify(&claimed.identity.key).ok()?;
    let facts = &verified.facts;
    let told =
        [&facts.os.name, &facts.os.id, &facts.os.version, &facts.kernel, &facts.architecture];
    let fits = verified.hostname.len() <= HOSTNAME_MAX
        && verified.version.len() <= VERSION_MAX
        && told.iter().all(|fact| fact.len() <= FACT_MAX);
    (verified.fleet == fleet && fits).then_some(verified)
}

/// Takes a registration that came from the agent of this name. Who is let in is welcomed; who is not gets no answer, and is logged.
pub(super) async fn register(
    shared: &Shared,
    name: &AgentName,
    signed: &Signed<Registration>,
) -> Result<(), Error> {
    let Some(registration) = open(signed, shared.fleet).filter(|new| new.identity.name == *name)
    else {
        tracing::warn!(agent = %name, "a registration does not verify: refused");
        return Ok(());
    };
    let registered_at = shared.clock.wall();
    let record = AgentRecord { v: VERSION, registration: signed.clone(), registered_at };
    if store(shared, name, &registration, &record).await? {
        shared.ask(move |state| state.registered(registration, registered_at)).await?;
    }
    Ok(())
}

/// Writes the registration where it has to be. Whether it is the one that counts now.
async fn store(
    shared: &Shared,
    name: &AgentName,
    new: &Registration,
    record: &AgentRecord,
) -> Result<bool, Error> {
    let key = Key::of(&[name]);
    let bytes = records::encode(record);
    let Some(entry) = shared.store.get_latest(Bucket::Agents, &key).await? else {
        return is_written(shared.store.create(Bucket::Agents, &key, bytes).await);
    };
    let known: AgentRecord = records::decode(&entry)?;
    let decision = match open(&known.registration, shared.fleet) {
        None => Decision::Replace,
        Some(registration) => {
            let asked = registration.identity.clone();
            let is_live =
                shared.ask(move |state| state.roster.is_live(&asked, state.boottime())).await?;
            decide(&Registered { registration, at: known.registered_at }, new, is_live)
        }
    };
    match decision {
        Decision::Keep => Ok(true),
        Decision::Replace => {
            is_written(shared.store.update(Bucket::Agents, &key, bytes, entry.revision).await)
        }
        Decision::Impostor => {
            tracing::error!(agent = %name, "another key asks for a name that is taken: refused");
            Ok(false)
        }
        Decision::Overtaken => {
            tracing::debug!(agent = %name, "an older registration than the one that is known: ignored");
            Ok(false)
        }
    }
}

fn is_written<T>(written: Result<T, StoreError>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        // Another was faster, perhaps with another key; the agent asks again until it is welcomed.
        Err(StoreError::Exists | StoreError::Conflict) => Ok(false),
        Err(err) => Err(err.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::{Identity, JournalId, PublicKey, SealingKey};
    use crate::job::{AgentFacts, Labels};

    fn registration(key: u8, journal: u8, at: u64, version: &str) -> Registration {
        Registration {
            v: VERSION,
            fleet: FleetId::from_bytes([1; 16]),
            identity: Identity {
                name: "web-01".parse().unwrap(),
                key: PublicKey::from_bytes([key; 32]),
                journal: JournalId::from_bytes([journal; 16]),
            },
            hostname: "web-01.example".into(),
            version: version.into(),
            sealing: SealingKey::from_bytes([1; 32]),
            labels: Labels::default(),
            facts: AgentFacts::default(),
            at: Timestamp::from_unix_millis(at),
        }
    }

    fn known(registration: Registration, at: u64) -> Registered {
        Registered { registration, at: Timestamp::from_unix_millis(at) }
    }

    #[test]
    fn a_name_keeps_its_key_and_its_latest_identity() {
        let known = known(registration(1, 1, 10, "1"), 11);
        for (new, is_live, expected) in [
            (registration(1, 1, 20, "1"), true, Decision::Keep),
            (registration(1, 1, 5, "1"), true, Decision::Keep),
            (registration(1, 1, 20, "2"), true, Decision::Replace),
            (registration(1, 1, 5, "2"), true, Decision::Overtaken),
            (registration(1, 1, 5, "2"), false, Decision::Overtaken),
            (registration(1, 2, 20, "1"), true, Decision::Replace),
            (registration(1, 2, 5, "1"), true, Decision::Overtaken),
            (registration(1, 2, 5, "1"), false, Decision::Replace),
            (registration(2, 1, 20, "1"), false, Decision::Impostor),
        ] {
            assert_eq!(decide(&known, &new, is_live), expected, "{new:?}");
        }
    }

    #[test]
    fn an_agent_that_says_something_else_is_registered_anew() {
        let known = known(registration(1, 1, 10, "1"), 11);
        let again = registration(1, 1, 20, "1");
        let labels = Labels::of(["env=prod".parse().unwrap()]).unwrap();
        let facts = AgentFacts { cpus: 8, ..AgentFacts::default() };
        for new in [
            Registration { labels, ..again.clone() },
            Registration { facts, ..again.clone() },
            Registration { hostname: "web-01.example.org".into(), ..again.clone() },
            Registration { sealing: SealingKey::from_bytes([2; 32]), ..again.clone() },
        ] {
            assert_eq!(decide(&known, &new, true), Decision::Replace, "{new:?}");
        }
        assert_eq!(decide(&known, &again, true), Decision::Keep);
    }

    #[test]
    fn an_agent_whose_clock_was_ahead_is_heard_once_it_is_right() {
        let known = known(registration(1, 1, 1_000_000, "1"), 10);
        assert_eq!(decide(&known, &registration(1, 1, 20, "2"), true), Decision::Replace);
        assert_eq!(decide(&known, &registration(1, 1, 9, "2"), true), Decision::Overtaken);
    }
}
