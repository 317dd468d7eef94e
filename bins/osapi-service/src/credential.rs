//! The credential of the local command line: a file that `osapi start` writes and renews, and that the command line finds by itself.

use std::path::PathBuf;

use osapi_core::auth::token::AccessToken;
use osapi_core::clock::Timestamp;
use serde::{Deserialize, Serialize};

use crate::datadir::Layout;
use crate::private_file;

pub use crate::private_file::PrivateFileError;

/// Largest file, in bytes: a token of 4 KiB and a URL.
const FILE_MAX: usize = 16 * 1024;

/// Where the local API server is, and a token for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The server's base URL.
    pub url: String,
    /// The token.
    pub token: AccessToken,
    /// When the token expires.
    pub expires_at: Timestamp,
}

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file cannot be read or written, or is open to others.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The file cannot be understood.
    #[error("'{}' is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct File {
    url: String,
    token: String,
    expires_at: Timestamp,
}

impl Credential {
    /// Writes it, in place of the one that is there. Readers see the old one or the new one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, layout: &Layout) -> Result<(), CredentialError> {
        let Self { url, token, expires_at } = self;
        let (url, token) = (url.clone(), token.as_str().to_owned());
        let file = File { url, token, expires_at: *expires_at };
        let line = serde_json::to_string(&file).expect("a credential is three texts");
        Ok(private_file::replace(&layout.credential(), &line)?)
    }

    /// The credential in `layout`; none if `osapi start` has not written one.
    ///
    /// # Errors
    /// When the file cannot be read or understood, or is open to others.
    pub fn load(layout: &Layout) -> Result<Option<Self>, CredentialError> {
        let path = layout.credential();
        let bytes = match private_file::read(&path, FILE_MAX) {
            Err(error) if error.is_missing() => return Ok(None),
            bytes => bytes?,
        };
        let file: File = serde_json::from_slice(&bytes)
            .map_err(|source| CredentialError::Damaged { path, source })?;
        let File { url, token, expires_at } = file;
        Ok(Some(Self { url, token: AccessToken::from_text(token), expires_at }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn credential(token: &str) -> Credential {
        Credential {
            url: "http://127.0.0.1:8080".into(),
            token: AccessToken::from_text(token.into()),
            expires_at: Timestamp::from_unix_millis(1_800_000_000_000),
        }
    }

    #[test]
    fn what_is_saved_is_loaded_and_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        assert_eq!(Credential::load(&layout).unwrap(), None);
        for token in ["v4.public.one", "v4.public.two"] {
            credential(token).save(&layout).unwrap();
            assert_eq!(Credential::load(&layout).unwrap(), Some(credential(token)));
        }
        assert_eq!(fs::metadata(layout.credential()).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_file_that_is_damaged_or_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        credential("v4.public.one").save(&layout).unwrap();
        let path = layout.credential();
        fs::write(&path, "{}").unwrap();
        let error = Credential::load(&layout).unwrap_err();
        assert_eq!(error.to_string(), format!("'{}' is damaged", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Credential::load(&layout).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn debug_hides_the_token() {
        assert!(!format!("{:?}", credential("v4.public.one")).contains("v4.public"));
    }
}
