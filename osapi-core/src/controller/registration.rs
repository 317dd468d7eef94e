//! Letting agents in, or keeping them out: a known name keeps its key, and a key that was removed stays out.

use super::Shared;
use super::error::Error;
use super::records::{self, AgentRecord};
use super::roster::{Registered, name_taken};
use crate::auth::envelope::Signed;
use crate::backend::{Bucket, Key, StoreError};
use crate::clock::Timestamp;
use crate::id::{AgentName, FleetId, PublicKey};
use crate::job::limits::HOSTNAME_MAX;
use crate::job::record::VERSION;
use crate::message::{Registration, RegistrationRefusal};

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
    /// Another key asks for a name that belongs to this one.
    Impostor(PublicKey),
    /// It would put a former journal of the agent in the place of one that is heard.
    Overtaken,
    /// It was delayed or repeated on its way, and would put what an agent said before in the place of what it says now.
    Late,
}

fn decide(known: &Registered, new: &Registration, is_known_live: bool) -> Decision {
    let Registered { registration, at } = known;
    let is_same_agent = registration.identity == new.identity;
    let says_the_same = *registration == Registration { at: registration.at, ..new.clone() };
    // An agent whose clock was ahead when it registered is not held to the time that it said.
    let is_older = new.at < registration.at.min(*at);
    match () {
        () if registration.identity.key != new.identity.key => {
            Decision::Impostor(registration.identity.key)
        }
        () if says_the_same => Decision::Keep,
        () if is_older && is_same_agent => Decision::Late,
        () if is_older && is_known_live => Decision::Overtaken,
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

/// What became of a registration.
enum Entrance {
    /// It is the one that counts now.
    In,
    /// It is refused.
    Out(RegistrationRefusal),
    /// Nothing is certain: the agent asks again until it is welcomed.
    Later,
}

/// Takes a registration that came from the agent of this name. Who is let in is welcomed, who is not is told why.
pub(super) async fn register(
    shared: &Shared,
    name: &AgentName,
    signed: &Signed<Registration>,
) -> Result<(), Error> {
    let Some(claimed) = signed.peek().filter(|claimed| claimed.identity.name == *name) else {
        tracing::warn!(agent = %name, "a registration cannot be read, or came under another agent's name");
        return Ok(());
    };
    let registered_at = shared.clock.wall();
    let entrance = match open(signed, shared.fleet) {
        Some(new) => enter(shared, &new, signed, registered_at).await?,
        None if claimed.fleet != shared.fleet => Entrance::Out(RegistrationRefusal::OtherFleet),
        None => Entrance::Out(RegistrationRefusal::Invalid),
    };
    match entrance {
        Entrance::In => shared.ask(move |state| state.registered(claimed, registered_at)).await,
        Entrance::Out(why) => {
            tracing::warn!(agent = %name, "a registration is refused: {why}");
            shared.ask(move |state| state.keep_out(&claimed.identity, why)).await
        }
        Entrance::Later => Ok(()),
    }
}

/// Writes the registration where it has to be, if it is let in.
async fn enter(
    shared: &Shared,
    new: &Registration,
    signed: &Signed<Registration>,
    registered_at: Timestamp,
) -> Result<Entrance, Error> {
    let key = Key::of(&[&new.identity.name]);
    let registration = Some(signed.clone());
    let record = AgentRecord { v: VERSION, registration, registered_at, removed: Vec::new() };
    let signer = new.identity.key;
    // Under whatever name: a key that was removed is let in nowhere.
    if shared.ask(move |state| state.roster.is_removed(&signer)).await? {
        return Ok(Entrance::Out(RegistrationRefusal::Removed));
    }
    let Some(entry) = shared.store.get_latest(Bucket::Agents, &key).await? else {
        let bytes = records::encode(&record);
        return written(shared.store.create(Bucket::Agents, &key, bytes).await);
    };
    let known: AgentRecord = records::decode(&entry)?;
    if known.has_removed(&signer) {
        return Ok(Entrance::Out(RegistrationRefusal::Removed));
    }
    let record = AgentRecord { removed: known.removed.clone(), ..record };
    match decide_on(shared, &known, new).await? {
        Decision::Keep => Ok(Entrance::In),
        Decision::Replace => {
            let bytes = records::encode(&record);
            written(shared.store.update(Bucket::Agents, &key, bytes, entry.revision).await)
        }
        Decision::Impostor(holder) => Ok(Entrance::Out(name_taken(&holder))),
        Decision::Overtaken => Ok(Entrance::Out(RegistrationRefusal::Overtaken)),
        // What it said before was on its way; what it says now is registered.
        Decision::Late => Ok(Entrance::Later),
    }
}

async fn decide_on(
    shared: &Shared,
    known: &AgentRecord,
    new: &Registration,
) -> Result<Decision, Error> {
    let registration = known.registration.as_ref().and_then(|signed| open(signed, shared.fleet));
    let Some(registration) = registration else { return Ok(Decision::Replace) };
    let asked = registration.identity.clone();
    let is_live = shared.ask(move |state| state.roster.is_live(&asked, state.boottime())).await?;
    Ok(decide(&Registered { registration, at: known.registered_at }, new, is_live))
}

fn written<T>(written: Result<T, StoreError>) -> Result<Entrance, Error> {
    match written {
        Ok(_) => Ok(Entrance::In),
        // Another was faster, perhaps with another key.
        Err(StoreError::Exists | StoreError::Conflict) => Ok(Entrance::Later),
        Err(err) => Err(err.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Identity, JournalId, SealingKey};
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
            (registration(1, 1, 5, "2"), true, Decision::Late),
            (registration(1, 1, 5, "2"), false, Decision::Late),
            (registration(1, 2, 20, "1"), true, Decision::Replace),
            (registration(1, 2, 5, "1"), true, Decision::Overtaken),
            (registration(1, 2, 5, "1"), false, Decision::Replace),
            (
                registration(2, 1, 20, "1"),
                false,
                Decision::Impostor(PublicKey::from_bytes([1; 32])),
            ),
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
        assert_eq!(decide(&known, &registration(1, 1, 9, "2"), true), Decision::Late);
    }
}
