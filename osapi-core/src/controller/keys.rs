//! The key ring as callers see it: which keys are valid, and publishing another ring, which only the root key can sign.

use super::Controller;
use super::error::Error;
use super::keybook::Standing;
use super::state::State;
use crate::api::types::{KeyInfo, KeyList};
use crate::auth::authorize::Permit;
use crate::auth::envelope::Signed;
use crate::auth::keys::{KeyRing, KeyUse, key_id};
use crate::auth::permission::Permission;
use crate::backend::{Bucket, Key, StoreError};
use crate::id::KeyId;

impl Controller {
    /// The valid keys, and how many open jobs were ordered under each.
    ///
    /// # Errors
    /// Without `health:read`, or when no key ring was read yet.
    pub async fn keys(&self, permit: &Permit) -> Result<KeyList, Error> {
        permit.require(&Permission::HEALTH_READ)?;
        self.key_list().await
    }

    /// Publishes a ring. From now on what is signed with a key that is not in it counts for nothing; open jobs that were ordered under a
    /// job key which it leaves out are cancelled.
    ///
    /// # Errors
    /// Without `key:write`; when the root key did not sign it, it has no job key or no token key, or another ring came first; when the
    /// store fails.
    pub async fn publish_ring(
        &self,
        permit: &Permit,
        signed: Signed<KeyRing>,
    ) -> Result<KeyList, Error> {
        permit.require(&Permission::KEY_WRITE)?;
        let ring = self.open_ring(&signed)?;
        self.read_up(Bucket::Keyrings).await?;
        let (known, highest) =
            self.shared.ask(|state| (state.keys.serial(), state.keys.highest())).await?;
        let same = signed.clone();
        let is_known = self.shared.ask(move |state| state.keys.signed() == Some(&same)).await?;
        let next = known.saturating_add(1);
        if !is_known && ring.serial != next && (ring.serial < next || ring.serial <= highest) {
            return Err(Error::RingConflict { next });
        }
        if !is_known {
            self.check_restore(&ring).await?;
            self.write_ring(&ring, signed).await?;
        }
        self.key_list().await
    }

    /// A ring that the root key signed, with which a fleet can go on.
    fn open_ring(&self, signed: &Signed<KeyRing>) -> Result<KeyRing, Error> {
        let refused = |_| Error::RingRefused("the root key of this fleet did not sign it");
        let ring = KeyRing::open(signed, &self.shared.root).map_err(refused)?;
        let has = |usage| ring.keys.iter().any(|key| key.usage == usage);
        match (has(KeyUse::Job), has(KeyUse::Token)) {
            (false, _) => {
                Err(Error::RingRefused("it has no job key, so that no job could be made"))
            }
            (_, false) => Err(Error::RingRefused(
                "it has no token key, so that nobody could ask for anything",
            )),
            (true, true) => Ok(ring),
        }
    }

    /// What accepts a restored store leaves nothing valid of before.
    async fn check_restore(&self, ring: &KeyRing) -> Result<(), Error> {
        let job_keys = ring.keys.iter().filter(|key| key.usage == KeyUse::Job);
        let ids: Vec<_> = job_keys.filter_map(|key| key_id(&key.key)).collect();
        let is_known = move |state: &mut State| {
            ids.iter().any(|id| state.keys.standing(id) != Standing::Unknown)
        };
        if ring.is_after_restore && self.shared.ask(is_known).await? {
            return Err(Error::RingRefused(
                "it accepts a restored store, and has a job key of before",
            ));
        }
        Ok(())
    }

    /// Writes a ring under its serial, and takes it.
    async fn write_ring(&self, ring: &KeyRing, signed: Signed<KeyRing>) -> Result<(), Error> {
        let (store, key) = (&self.shared.store, Key::of(&[&ring.serial]));
        let bytes: bytes::Bytes = signed.as_str().as_bytes().to_vec().into();
        match store.create(Bucket::Keyrings, &key, bytes.clone()).await {
            Ok(_) => {}
            // Somebody was faster, or it was written and the answer was lost.
            Err(source @ (StoreError::Exists | StoreError::Unknown(_))) => {
                match store.get_latest(Bucket::Keyrings, &key).await? {
                    Some(entry) if entry.value == bytes => {}
                    Some(_) => {
                        return Err(Error::RingConflict { next: ring.serial.saturating_add(1) });
                    }
                    None => return Err(source.into()),
                }
            }
            Err(err) => return Err(err.into()),
        }
        self.shared.ask(move |state| state.take_ring(signed)).await
    }

    async fn key_list(&self) -> Result<KeyList, Error> {
        let signing = self.shared.job_key().id();
        self.shared.ask(move |state| list(state, &signing)).await?.ok_or(Error::NotReady)
    }
}

fn list(state: &State, signing: &KeyId) -> Option<KeyList> {
    let (ring, signed) = (state.keys.latest()?, state.keys.signed()?);
    let keys = ring.keys.iter().filter_map(|known| {
        let id = key_id(&known.key)?;
        Some(KeyInfo {
            usage: known.usage,
            open_jobs: (known.usage == KeyUse::Job)
                .then(|| u32::try_from(state.open_jobs_under(&id)).unwrap_or(u32::MAX)),
            is_signing: id == *signing,
            key_id: id.to_string(),
        })
    });
    Some(KeyList {
        serial: ring.serial,
        at: ring.at,
        highest_serial: state.keys.highest(),
        keys: keys.collect(),
        ring: signed.as_str().to_owned(),
    })
}
