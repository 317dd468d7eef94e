//! Who asks for a name, or speaks under it, with a key that is not let in. Pure.

use std::collections::HashMap;
use std::time::Duration;

use crate::api::types::RefusedKey;
use crate::auth::keys;
use crate::clock::Timestamp;
use crate::id::{AgentName, PublicKey};

/// Most names of which that is remembered.
const MOST: usize = 4096;
/// How long it is shown.
const SHOWN: Duration = Duration::from_secs(24 * 3600);
/// Time between two alarms about one name.
const ALARM_EVERY: Duration = Duration::from_secs(60);

/// The last key that was refused, by name.
#[derive(Debug, Default)]
pub(super) struct Strangers(HashMap<AgentName, Stranger>);

#[derive(Debug)]
struct Stranger {
    key: PublicKey,
    at: Timestamp,
    /// By this controller's boottime clock.
    alarmed_at: Duration,
}

impl Strangers {
    /// Takes note of a key that was refused. Whether it is time to say so.
    pub(super) fn note(
        &mut self,
        name: &AgentName,
        key: PublicKey,
        now: Duration,
        at: Timestamp,
    ) -> bool {
        if self.0.len() >= MOST && !self.0.contains_key(name) {
            self.0.retain(|_, stranger| at.since(stranger.at) < SHOWN);
            if self.0.len() >= MOST {
                return false;
            }
        }
        let known = self.0.get(name).filter(|known| known.key == key).map(|known| known.alarmed_at);
        let is_due = known.is_none_or(|alarmed_at| now >= alarmed_at + ALARM_EVERY);
        let alarmed_at = known.filter(|_| !is_due).unwrap_or(now);
        self.0.insert(name.clone(), Stranger { key, at, alarmed_at });
        is_due
    }

    /// The key that was refused under this name.
    pub(super) fn of(&self, name: &AgentName, now: Timestamp) -> Option<RefusedKey> {
        let Stranger { key, at, .. } = self.0.get(name)?;
        let key_id = keys::key_id(key)?.to_string();
        (now.since(*at) < SHOWN).then_some(RefusedKey { key_id, at: *at })
    }

    /// The names under which a key was refused.
    pub(super) fn names(&self, now: Timestamp) -> impl Iterator<Item = &AgentName> {
        let shown = move |(_, stranger): &(&AgentName, &Stranger)| now.since(stranger.at) < SHOWN;
        self.0.iter().filter(shown).map(|(name, _)| name)
    }

    /// The key is let in after all.
    pub(super) fn let_in(&mut self, name: &AgentName, key: &PublicKey) {
        if self.0.get(name).is_some_and(|stranger| stranger.key == *key) {
            self.0.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_is_shown_for_a_day_and_said_once_a_minute() {
        let name: AgentName = "web-01".parse().unwrap();
        let start = Timestamp::from_unix_millis(1_790_000_000_000);
        let key = crate::auth::keys::SigningKey::generate().public();
        let other = crate::auth::keys::SigningKey::generate().public();
        let mut strangers = Strangers::default();
        let mut note = |key, seconds| {
            let after = Duration::from_secs(seconds);
            strangers.note(&name, key, after, start + after)
        };
        let said: Vec<_> = (0..12).map(|n| note(key, n * 10)).collect();
        assert_eq!(said.iter().filter(|said| **said).count(), 2, "{said:?}");
        assert!(note(other, 111), "another key is news");
        let at = start + Duration::from_secs(111);
        assert_eq!(strangers.of(&name, at).unwrap().at, at);
        assert_eq!(strangers.names(at).count(), 1);
        assert_eq!(strangers.of(&name, at + SHOWN), None);
        strangers.let_in(&name, &key);
        assert!(strangers.of(&name, at).is_some());
        strangers.let_in(&name, &other);
        assert_eq!(strangers.of(&name, at), None);
    }
}
