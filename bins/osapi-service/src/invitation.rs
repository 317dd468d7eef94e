//! The join file: all that one host needs to become an agent of a fleet, in one file that is used once.
//!
//! Its first line says what it is and in which version, its last line holds a checksum of everything before; between them is a JSON
//! document. No error repeats what stands in the document: it holds a secret.

use std::path::{Path, PathBuf};

use osapi_core::backend::nats::Namespace;
use osapi_core::id::{AgentName, Digest, PublicKey};
use osapi_core::job::Labels;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::private_file;

pub use crate::private_file::PrivateFileError;

/// Largest join file, in bytes. Certificates are what could make one large.
const FILE_MAX: usize = 256 * 1024;
const VERSION: u32 = 1;
const TITLE: &str = "OSAPI join file, version ";
const ADVICE: &str = "Whoever has it can join the fleet as this host: keep it secret. Use it once: osapi-agent --join FILE";
const CHECKSUM: &str = "sha256 ";

/// What a host is told when it is invited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The name under which it joins.
    pub name: AgentName,
    /// The fleet's root key.
    pub root: PublicKey,
    /// How it reaches the fleet.
    pub membership: Membership,
    /// The text of its NATS credentials file.
    pub credentials: Credentials,
    /// Certificates of the authorities that vouch for the broker (PEM), if not those of the system.
    pub ca: Option<String>,
}

/// How an agent reaches its fleet. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// What all names begin with.
    pub namespace: Namespace,
    /// Addresses of the broker.
    pub servers: Vec<String>,
    /// What it is for, unless its configuration says otherwise.
    pub labels: Labels,
}

/// The text of a NATS credentials file. `Debug` hides it, its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(pub Zeroizing<String>);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Why there is no invitation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// The file cannot be read or written, or is open to others.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Something else.
    #[error("'{}' is not a join file: its first line does not say that it is one", .0.display())]
    Other(PathBuf),
    /// A newer one.
    #[error("'{}' is a join file of version {found}, and this build knows version {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Its end is missing.
    #[error("'{}' is cut off: its last line, line {line}, is not its checksum", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
        /// The last line, from 1.
        line: usize,
    },
    /// It was changed.
    #[error("'{}' is damaged: lines 1 to {} are not those whose checksum is in line {line}", path.display(), line - 1)]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line of the checksum, from 1.
        line: usize,
    },
    /// It was written by something else.
    #[error("'{}' says in line {line}, column {column}, what no join file says", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct Document {
    name: AgentName,
    root: PublicKey,
    namespace: Namespace,
    servers: Vec<String>,
    labels: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    credentials: String,
}

impl Invitation {
    /// Writes it to a new file that only its owner can read.
    ///
    /// # Errors
    /// When the file is there already, or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), InvitationError> {
        Ok(private_file::create_new(path, &self.to_text())?)
    }

    /// The invitation in a file.
    ///
    /// # Errors
    /// When the file cannot be read, is open to others, or is no undamaged join file.
    pub fn read(path: &Path) -> Result<Self, InvitationError> {
        let bytes = private_file::read(path, FILE_MAX)?;
        let text = std::str::from_utf8(&bytes);
        Self::from_text(text.map_err(|_| InvitationError::Other(path.to_owned()))?, path)
    }

    fn to_text(&self) -> Zeroizing<String> {
        let Self { name, root, membership, credentials, ca } = self;
        let Membership { namespace, servers, labels } = membership.clone();
        let mut document = Document {
            name: name.clone(),
            root: *root,
            namespace,
            servers,
            labels,
            ca: ca.clone(),
            credentials: credentials.0.as_str().to_owned(),
        };
        let text = serde_json::to_string_pretty(&document);
        let text = Zeroizing::new(text.expect("it is texts under text keys"));
        document.credentials.zeroize();
        let signed = Zeroizing::new(format!("{TITLE}{VERSION}. {ADVICE}\n{}\n", *text));
        Zeroizing::new(format!("{}{CHECKSUM}{}\n", *signed, Digest::of(signed.as_bytes())))
    }

    fn from_text(text: &str, path: &Path) -> Result<Self, InvitationError> {
        let path = || path.to_owned();
        let version = version(text).ok_or_else(|| InvitationError::Other(path()))?;
        if version != VERSION {
            return Err(InvitationError::Version { path: path(), found: version });
        }
        let text = text.trim_end();
        let line = text.lines().count();
        let (checked, checksum) = text
            .rfind('\n')
            .map(|end| text.split_at(end + 1))
            .and_then(|(checked, last)| Some((checked, last.strip_prefix(CHECKSUM)?)))
            .ok_or_else(|| InvitationError::Cut { path: path(), line })?;
        if checksum.parse() != Ok(Digest::of(checked.as_bytes())) {
            return Err(InvitationError::Damaged { path: path(), line });
        }
        let (_, document) = checked.split_once('\n').unwrap_or_default();
        Document::parse(document).map_err(|error| InvitationError::Content {
            path: path(),
            // What is parsed begins in the second line.
            line: error.line() + 1,
            column: error.column(),
        })
    }
}

/// The version in the first line of a join file.
fn version(text: &str) -> Option<u32> {
    text.strip_prefix(TITLE)?.split_once('.')?.0.parse().ok()
}

impl Document {
    fn parse(text: &str) -> serde_json::Result<Invitation> {
        let Self { name, root, namespace, servers, labels, ca, credentials } =
            serde_json::from_str(text)?;
        let credentials = Credentials(Zeroizing::new(credentials));
        let membership = Membership { namespace, servers, labels };
        Ok(Invitation { name, root, membership, credentials, ca })
    }
}

impl Membership {
    /// Its text, for a file beside the agent's keys.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("it is texts under text keys")
    }

    /// The membership in a text.
    ///
    /// # Errors
    /// When the text is none.
    pub fn from_text(text: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use osapi_core::auth::keys::SigningKey;
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "SUAPRIVATEPRIVATE";

    fn invitation() -> Invitation {
        Invitation {
            name: "web-01".parse().unwrap(),
            root: SigningKey::generate().public(),
            membership: Membership {
                namespace: "fleet-1".parse().unwrap(),
                servers: vec!["nats://10.0.0.1:4222".into(), "nats://10.0.0.2:4222".into()],
                labels: Labels::of(["group=web.dev".parse().unwrap()]).unwrap(),
            },
            credentials: Credentials(Zeroizing::new(format!("---\n{SECRET}\n---\n"))),
            ca: Some("-----BEGIN CERTIFICATE-----\nx\n".into()),
        }
    }

    fn parse(text: &str) -> Result<Invitation, InvitationError> {
        Invitation::from_text(text, Path::new("a.join"))
    }

    fn refused(text: &str) -> String {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error:?}").contains(SECRET));
        error.to_string()
    }

    /// A join file of this document.
    fn of(document: &str) -> String {
        let signed = format!("{TITLE}{VERSION}. {ADVICE}\n{document}\n");
        format!("{signed}{CHECKSUM}{}\n", Digest::of(signed.as_bytes()))
    }

    #[test]
    fn what_is_written_is_read_back_with_and_without_what_may_be_absent() {
        let dir = tempfile::tempdir().unwrap();
        for (n, ca) in [None, invitation().ca].into_iter().enumerate() {
            let path = dir.path().join(n.to_string());
            let invitation = Invitation { ca, ..invitation() };
            invitation.save(&path).unwrap();
            assert_eq!(Invitation::read(&path).unwrap(), invitation);
            assert!(invitation.save(&path).is_err(), "a file that is there stays");
        }
        let membership = invitation().membership;
        assert_eq!(Membership::from_text(membership.to_text().as_bytes()).unwrap(), membership);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.join");
        invitation().save(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Invitation::read(&path).unwrap_err().to_string();
        assert!(error.contains("run chmod 600"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_secret() {
        let text = invitation().to_text();
        let lines: Vec<_> = text.lines().collect();
        let count = lines.len();
        let is_other = "'a.join' is not a join file: its first line does not say that it is one";
        for other in ["", "hello\n", &text[1..], "OSAPI join file, version x. y\n"] {
            assert_eq!(refused(other), is_other, "{other}");
        }
        assert_eq!(
            refused(&text.replacen("version 1.", "version 2.", 1)),
            "'a.join' is a join file of version 2, and this build knows version 1"
        );
        assert_eq!(
            refused(&lines[..count - 1].join("\n")),
            format!("'a.join' is cut off: its last line, line {}, is not its checksum", count - 1)
        );
        let damaged = format!(
            "'a.join' is damaged: lines 1 to {} are not those whose checksum is in line {count}",
            count - 1
        );
        for (from, to) in [("web-01", "web-02"), ("10.0.0.1", "10.0.0.9"), ("PRIVATE", "PRIVATF")] {
            assert_eq!(refused(&text.replacen(from, to, 1)), damaged, "{from}");
        }
        let last = lines[count - 1];
        assert_eq!(refused(&text.replace(last, &last[..last.len() - 1])), damaged);
        assert_eq!(refused(&text.replace('\n', "\r\n")), damaged, "no other line ends");
        assert!(parse(text.trim_end()).is_ok(), "the last line end may be lost");
    }

    #[test]
    fn a_document_of_another_form_is_refused_with_its_place() {
        let text = invitation().to_text();
        let document: Vec<_> = text.lines().skip(1).collect();
        let document = document[..document.len() - 1].join("\n");
        assert!(parse(&of(&document)).is_ok());
        for (from, to) in [
            ("\"web-01\"", "\"web 01\""),
            ("k4.public.", "k4.secret."),
            ("fleet-1", "fleet 1"),
            ("web.dev", "web..dev"),
            ("\"credentials\"", "\"credential\""),
            ("[", "{"),
        ] {
            let changed = document.replacen(from, to, 1);
            assert_ne!(changed, document, "{from}");
            let said = refused(&of(&changed));
            assert!(
                said.starts_with("'a.join' says in line ")
                    && said.ends_with("what no join file says"),
                "{said}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_changed_byte_goes_unseen(at in any::<prop::sample::Index>(), by in 1_u8..=255) {
            let text = invitation().to_text();
            let mut bytes = text.as_bytes().to_vec();
            // The last line end is no part of it.
            let at = at.index(bytes.len() - 1);
            bytes[at] ^= by;
            if let Ok(changed) = std::str::from_utf8(&bytes) {
                prop_assert!(parse(changed).is_err());
            }
        }
    }
}
