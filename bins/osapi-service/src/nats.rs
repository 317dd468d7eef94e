//! The connection to NATS that a configuration describes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use osapi_core::backend::nats::{
    ConnectError, DurabilitySource, Login, Nats, NatsStore, OpenError, Options, StoreOptions, Tls,
};
use zeroize::Zeroizing;

use crate::config;
use crate::fault::chain;
use crate::private_file::{self, PrivateFileError};

/// Largest file with a login, in bytes.
const LOGIN_MAX: usize = 16 * 1024;
/// Pause before it is tried again, and most by which it is longer by chance: a fleet does not come at one moment.
const AGAIN_MIN: Duration = Duration::from_millis(500);
const AGAIN_SPREAD_MS: u32 = 1_000;

/// Who connects, by the files that `config` names.
///
/// # Errors
/// When one of them cannot be read, or is open to others.
pub fn login(config: &config::Nats) -> Result<Login, PrivateFileError> {
    let config::Nats { credentials, nkey, user, password_file, .. } = config;
    if let Some(path) = credentials {
        return Ok(Login::Credentials(secret(path)?));
    }
    if let Some(path) = nkey {
        return Ok(Login::Nkey(secret(path)?));
    }
    match (user, password_file) {
        (Some(user), Some(path)) => {
            Ok(Login::Password { user: user.clone(), password: secret(path)? })
        }
        _ => Ok(Login::None),
    }
}

/// How the connection is protected.
#[must_use]
pub fn tls(config: &config::Tls) -> Tls {
    let config::Tls { ca, cert, key, required } = config.clone();
    Tls { ca, cert, key, required }
}

/// How the store of an API server is opened.
///
/// # Errors
/// When a file cannot be read, or is open to others.
pub fn store_options(config: &config::Config) -> Result<StoreOptions, PrivateFileError> {
    let config::Nats { system_credentials, monitoring, replicas, .. } = &config.nats;
    let durability = match system_credentials {
        Some(path) => Some(DurabilitySource::System(Login::Credentials(secret(path)?))),
        None if monitoring.is_empty() => None,
        None => Some(DurabilitySource::Monitoring(monitoring.clone())),
    };
    let max_output_bytes = config.jobs.max_output_bytes;
    Ok(StoreOptions { replicas: *replicas, max_output_bytes, durability })
}

/// The text of a file, without the end of its last line.
fn secret(path: &Path) -> Result<Zeroizing<String>, PrivateFileError> {
    let bytes = private_file::read(path, LOGIN_MAX)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| PrivateFileError::NotText(PathBuf::from(path)))?;
    Ok(Zeroizing::new(text.trim_ascii_end().to_owned()))
}

/// Connects, however long nobody can be reached. Each reason for that is logged once.
///
/// # Errors
/// When somebody is reached, and refuses, or is not what is needed; or the options cannot be right.
///
/// # Cancel safety
/// Dropping the future ends what was begun.
pub async fn connect(options: &Options) -> Result<Nats, ConnectError> {
    let mut said = None;
    loop {
        match Nats::connect(options.clone()).await {
            Err(error @ ConnectError::Unreachable { .. }) => again(&error, &mut said).await,
            connected => {
                let nats = connected?;
                nats.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
                return Ok(nats);
            }
        }
    }
}

/// Opens the store behind `nats`, however long it does not answer. Each reason for that is logged once.
///
/// # Errors
/// When it cannot be used as it is.
///
/// # Cancel safety
/// Dropping the future leaves the buckets that were made; they are found at the next time.
pub async fn open_store(nats: &Nats, options: &StoreOptions) -> Result<NatsStore, OpenError> {
    let mut said = None;
    loop {
        match nats.store(options.clone()).await {
            Err(error @ OpenError::Unavailable(_)) => again(&error, &mut said).await,
            opened => return opened,
        }
    }
}

async fn again(error: &(dyn std::error::Error + 'static), said: &mut Option<String>) {
    let why = chain(error);
    if said.as_ref() != Some(&why) {
        tracing::warn!("{why}; it is tried again until it works");
        *said = Some(why);
    }
    // Without a random number it is not spread, and works all the same.
    let spread = getrandom::u32().unwrap_or_default() % AGAIN_SPREAD_MS;
    tokio::time::sleep(AGAIN_MIN + Duration::from_millis(spread.into())).await;
}
