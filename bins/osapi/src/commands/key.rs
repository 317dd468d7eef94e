//! `key ..`: rings are signed here, with the root key in the data directory, and published by an API server.

use osapi_client::Client;
use osapi_client::types::{KeyInfo, KeyList};
use osapi_core::auth::envelope::Signed;
use osapi_core::auth::keys::{KeyRing, KeyUse, RingKey, key_id};
use osapi_core::clock::{Clock as _, SystemClock};
use osapi_core::id::KeyId;
use osapi_service::datadir::Layout;
use osapi_service::keystore::{KeyError, RootKey};

use crate::args::key::KeyListArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::render::{Screen, Side, table, time};

/// Shows the valid keys.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub(crate) async fn list(client: &Client, args: KeyListArgs, screen: &mut Screen) -> Result<Exit> {
    let list = client.keys().list().await?;
    match args.format.json {
        true => screen.json(&list)?,
        false => screen.block(Side::Out, &table::keys(&list))?,
    }
    Ok(Exit::SUCCESS)
}

/// The root key, and what is valid now.
pub(crate) struct Ring {
    root: RootKey,
    published: KeyList,
    latest: KeyRing,
}

impl Ring {
    /// Opens the root key in `layout`, and asks what is valid.
    ///
    /// # Errors
    /// When there is no root key, the server cannot be asked, or it is another fleet's.
    pub(crate) async fn open(client: &Client, layout: &Layout) -> Result<Self> {
        let root = RootKey::open(layout).map_err(no_root)?;
        let published = client.keys().list().await?;
        let signed = Signed::from_text(published.ring.clone());
        let latest = root.latest(&signed).map_err(no_root)?;
        Ok(Self { root, published, latest })
    }

    /// The serial for the next ring: no agent has seen one as high.
    pub(crate) fn next_serial(&self) -> u64 {
        self.latest.serial.max(self.published.highest_serial) + 1
    }

    /// Signs the next ring, and has it published.
    async fn publish(&mut self, client: &Client, keys: Vec<RingKey>) -> Result<KeyList> {
        let serial = self.next_serial();
        let ring = self.root.issue(serial, SystemClock.wall(), keys).map_err(not_changed)?;
        Ok(client.keys().publish(ring.as_str()).await?)
    }

    /// Publishes a ring that accepts a store which went back in time, and puts its only job key in place: one that nobody has seen, since
    /// by any other the agents' proofs of what was lost would still count.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses. It can be done again.
    pub(crate) async fn accept_restore(&mut self, client: &Client) -> Result<KeyId> {
        let next = self.root.unknown_successor(KeyUse::Job).map_err(not_changed)?;
        let others = self.latest.keys.iter().filter(|known| known.usage != KeyUse::Job).cloned();
        let job = RingKey { key: next.public(), usage: KeyUse::Job };
        let (serial, at) = (self.next_serial(), SystemClock.wall());
        let ring = self.root.issue_after_restore(serial, at, others.chain([job]).collect());
        client.keys().publish(ring.map_err(not_changed)?.as_str()).await?;
        self.root.succeed(KeyUse::Job).map_err(not_changed)?;
        Ok(next.id())
    }

    /// What a server says of a key.
    fn known(&self, id: &KeyId) -> Option<&KeyInfo> {
        self.published.keys.iter().find(|known| known.key_id == id.as_str())
    }

    /// What is to be known before a key is retired.
    ///
    /// # Errors
    /// When it is not valid anyway, or cannot be done without.
    pub(crate) fn question(&self, id: &KeyId) -> Result<String> {
        let usage = self.usage(id).ok_or_else(|| {
            CliError::usage(format!("key {id} is not in the key ring"))
                .hint("'osapi key list' shows the valid keys")
        })?;
        let in_place = self.root.present(usage).map_err(not_changed)?;
        let rotate = format!("'osapi key rotate --use {}' puts another one to use", usage.as_str());
        if in_place.id() == *id {
            return Err(CliError::usage(format!("key {id} is the one in use here")).hint(rotate));
        }
        if self.known(id).is_some_and(|known| known.is_signing) {
            return Err(CliError::usage(format!("the server still signs with key {id}"))
                .hint("give it the key that is in use: copy keys/job.key to its key directory"));
        }
        let ends = self.ends_with(id, usage);
        Ok(format!("Retire {} key {id}? {ends}.\nAre you sure? [y/N] ", usage.as_str()))
    }

    /// What a key of the ring is for.
    fn usage(&self, id: &KeyId) -> Option<KeyUse> {
        let mut keys = self.latest.keys.iter();
        let found = keys.find(|known| key_id(&known.key).as_ref() == Some(id));
        found.map(|known| known.usage)
    }

    /// What ends with a key.
    fn ends_with(&self, id: &KeyId, usage: KeyUse) -> String {
        match usage {
            KeyUse::Job => {
                let open = self.known(id).and_then(|known| known.open_jobs).unwrap_or_default();
                let jobs = time::count(open.into(), "open job");
                format!("{jobs} ordered under it will be cancelled")
            }
            KeyUse::Token => "every token that was made with it is refused from then on".to_owned(),
        }
    }
}

/// Makes another key of this use, and puts it to use.
///
/// # Errors
/// When there is no root key, or the server cannot be asked. What was begun is gone on with the next time.
pub(crate) async fn rotate(
    client: &Client,
    usage: KeyUse,
    layout: &Layout,
    screen: &mut Screen,
) -> Result<Exit> {
    let mut ring = Ring::open(client, layout).await?;
    let former = ring.root.present(usage).map_err(not_changed)?.id();
    let next = ring.root.successor(usage).map_err(not_changed)?;
    let is_published = ring.known(&next.id()).is_some();
    if !is_published {
        let mut keys = ring.latest.keys.clone();
        if !keys.iter().any(|known| known.key == next.public()) {
            keys.push(RingKey { key: next.public(), usage });
        }
        ring.publish(client, keys).await?;
    }
    // Only now: whoever signs with it is understood.
    ring.root.succeed(usage).map_err(not_changed)?;
    let (usage, next) = (usage.as_str(), next.id());
    let text = format!(
        "{usage} key {next} is valid, and in place in this data directory; {former} stays valid until it is retired:\n\n    osapi key retire {former}\n"
    );
    screen.block(Side::Out, &text)?;
    if usage == KeyUse::Job.as_str() {
        let file = layout.keys().join("job.key");
        let text = format!(
            "API servers on other machines, or with a key directory of their own, sign with the former one until '{}' is copied there.",
            file.display()
        );
        screen.line(Side::Err, &text)?;
    }
    Ok(Exit::SUCCESS)
}

/// Publishes a ring without the key.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub(crate) async fn retire(
    client: &Client,
    mut ring: Ring,
    id: &KeyId,
    screen: &mut Screen,
) -> Result<Exit> {
    let ends = ring.usage(id).map(|usage| ring.ends_with(id, usage)).unwrap_or_default();
    let keys = ring.latest.keys.iter().filter(|known| key_id(&known.key).as_ref() != Some(id));
    let keys = keys.cloned().collect();
    let list = ring.publish(client, keys).await?;
    let text = format!("key {id} is retired; the key ring has serial {}; {ends}", list.serial);
    screen.line(Side::Out, &text)?;
    Ok(Exit::SUCCESS)
}

fn no_root(error: KeyError) -> CliError {
    let told = CliError::because("cannot change the keys of the fleet", &error);
    match error {
        KeyError::None(_) | KeyError::Missing(_) => {
            told.hint("--data-dir points to the directory in which the fleet was made")
        }
        KeyError::OtherRing(_) => told.hint(
            "OSAPI_URL names a server of another fleet than the one whose keys are in the data directory",
        ),
        _ => told,
    }
}

fn not_changed(error: KeyError) -> CliError {
    CliError::because("cannot change the keys", &error)
}
