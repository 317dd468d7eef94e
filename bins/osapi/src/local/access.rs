//! The credential of the local command line: a token that lives for a day and is renewed long before it ends.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use osapi_core::auth::keys::SigningKey;
use osapi_core::auth::role::RoleName;
use osapi_core::auth::token::{self, AccessToken, NewToken};
use osapi_core::clock::{Clock, Timestamp};
use osapi_core::id::FleetId;
use osapi_core::job::Invalid;
use osapi_service::credential::{Credential, CredentialError};
use osapi_service::datadir::Layout;
use tokio::sync::watch;

/// How long a token of the local command line lives.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// What is left of it when the next one is made.
const RENEW_AT: Duration = Duration::from_secs(12 * 3600);
/// How often that is looked at. A suspended machine wakes up with a timer that stood still, so one long sleep would not do.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Makes tokens for the command line of this machine.
pub(crate) struct Issuer {
    /// The token key, as it changes.
    pub(crate) key: watch::Receiver<Arc<SigningKey>>,
    /// The fleet that the tokens are for.
    pub(crate) fleet: FleetId,
    /// Whom they name.
    pub(crate) subject: String,
    /// The clock by which they are valid.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Issuer {
    /// A new token with every permission, and when it ends.
    ///
    /// # Errors
    /// When the subject breaks a bound of tokens.
    pub(crate) fn issue(&self) -> Result<(AccessToken, Timestamp), Invalid> {
        let now = self.clock.wall();
        let new = NewToken {
            subject: self.subject.clone(),
            roles: vec![RoleName::ADMIN],
            permissions: Vec::new(),
            expires_in: LIFE,
            now,
        };
        let key = Arc::clone(&self.key.borrow());
        Ok((token::issue(&key, self.fleet, new)?, now + LIFE))
    }
}

/// The credential file. Dropping it removes the file, so that nothing points to a server that has gone.
pub(crate) struct CredentialFile {
    issuer: Issuer,
    layout: Layout,
    url: String,
    expires_at: Timestamp,
}

/// Why a credential was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error(transparent)]
    Token(#[from] Invalid),
    #[error(transparent)]
    File(#[from] CredentialError),
}

impl CredentialFile {
    /// Writes the file for a server at `url`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(issuer: Issuer, layout: Layout, url: String) -> Result<Self, AccessError> {
        let expires_at = Timestamp::from_unix_millis(0);
        let mut file = Self { issuer, layout, url, expires_at };
        file.renew()?;
        Ok(file)
    }

    /// Renews it for ever, in time and when the token key changes. A failure is logged and tried again.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(crate) async fn keep_fresh(&mut self) {
        let mut key = self.issuer.key.clone();
        loop {
            let has_key_changed = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => false,
                Ok(()) = key.changed() => true,
            };
            if (has_key_changed || self.is_due())
                && let Err(error) = self.renew()
            {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the credential of the command line was not renewed");
            }
        }
    }

    fn is_due(&self) -> bool {
        self.expires_at.since(self.issuer.clock.wall()) < RENEW_AT
    }

    fn renew(&mut self) -> Result<(), AccessError> {
        let (token, expires_at) = self.issuer.issue()?;
        Credential { url: self.url.clone(), token, expires_at }.save(&self.layout)?;
        self.expires_at = expires_at;
        Ok(())
    }
}

impl Drop for CredentialFile {
    fn drop(&mut self) {
        match fs::remove_file(self.layout.credential()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, "the credential of the command line was not removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use osapi_core::clock::TokioClock;

    use super::*;

    fn issuer() -> Issuer {
        Issuer {
            key: watch::Sender::new(Arc::new(SigningKey::generate())).subscribe(),
            fleet: SigningKey::generate().public().fleet(),
            subject: "cli@web-01".into(),
            clock: Arc::new(TokioClock::starting_at(Timestamp::from_unix_millis(
                1_790_000_000_000,
            ))),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_credential_is_renewed_before_it_ends_and_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        let load = || Credential::load(&layout).unwrap();
        let url = "http://127.0.0.1:1".to_owned();
        let mut file = CredentialFile::write(issuer(), layout.clone(), url).unwrap();
        let first = load().unwrap();
        for _ in 0..5 {
            let renewing = tokio::time::timeout(Duration::from_secs(20 * 3600), file.keep_fresh());
            renewing.await.unwrap_err();
            let now = file.issuer.clock.wall();
            assert!(load().unwrap().expires_at.since(now) >= RENEW_AT - 2 * LOOK_EVERY);
        }
        assert_ne!(load().unwrap().token, first.token);
        drop(file);
        assert_eq!(load(), None);
    }
}
