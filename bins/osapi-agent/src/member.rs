//! How a host becomes a member of a fleet, once, and how it is known as one from then on: what stands beside the agent's keys.

use std::fs;
use std::path::{Path, PathBuf};

use osapi_core::backend::nats::{Login, Options, Tls};
use osapi_service::config;
use osapi_service::datadir::Layout;
use osapi_service::invitation::{Credentials, Invitation, Membership};
use osapi_service::keystore::{AgentIdentity, AgentKeys, KeyError};
use osapi_service::nats;
use osapi_service::private_file::{self, PrivateFileError};
use zeroize::Zeroizing;

/// Largest file, in bytes. Certificates are what could make one large.
const FILE_MAX: usize = 256 * 1024;
const MEMBERSHIP: &str = "fleet.json";
const CREDENTIALS: &str = "nats.creds";
const CA: &str = "ca.pem";

/// An agent of a fleet.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its keys, and who it is.
    pub(crate) keys: AgentKeys,
    /// How it reaches its fleet.
    membership: Membership,
    credentials: Credentials,
    /// The file with the certificates that came with the invitation.
    ca: Option<PathBuf>,
}

/// Why there is no member.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    /// The keys or the identity.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// A file cannot be read, or is open to others.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The agent was made by something that has no broker.
    #[error("the agent '{name}' in '{}' has joined no fleet over NATS", path.display())]
    NeverJoined {
        /// The data directory.
        path: PathBuf,
        /// The agent's name.
        name: String,
    },
    /// A file cannot be understood.
    #[error("'{}' is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// What was made for a host that is joining. Dropping it removes all of it, unless it is [kept](Self::keep).
#[derive(Debug)]
pub(crate) struct Joining {
    made: Option<PathBuf>,
}

impl Joining {
    /// The host is a member.
    pub(crate) fn keep(mut self) {
        self.made = None;
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        let Some(path) = &self.made else { return };
        if let Err(error) = fs::remove_dir_all(path) {
            tracing::error!(%error, path = %path.display(), "what was made for joining was not removed");
        }
    }
}

impl Member {
    /// Makes the agent that `invitation` is for: all of it, or nothing. The caller holds the data directory.
    ///
    /// # Errors
    /// When there is an agent already, or it cannot be made.
    pub(crate) fn join(
        layout: &Layout,
        invitation: Invitation,
    ) -> Result<(Self, Joining), MemberError> {
        let Invitation { name, root, membership, credentials, ca } = invitation;
        let mut files =
            vec![(MEMBERSHIP, membership.to_text().into()), (CREDENTIALS, credentials.0.clone())];
        files.extend(ca.map(|ca| (CA, Zeroizing::new(ca))));
        let ca = files.iter().any(|(name, _)| *name == CA).then(|| layout.agent().join(CA));
        let keys = AgentKeys::create(layout, AgentIdentity { name, root }, files)?;
        let joining = Joining { made: Some(layout.agent()) };
        Ok((Self { keys, membership, credentials, ca }, joining))
    }

    /// The agent that has joined in this data directory, which the caller holds.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(crate) fn open(layout: &Layout) -> Result<Self, MemberError> {
        let keys = AgentKeys::open(layout)?;
        let file = |name: &str| layout.agent().join(name);
        let path = file(MEMBERSHIP);
        let Some(membership) = read(&path)? else {
            let (path, name) = (layout.path().to_owned(), keys.identity.name.to_string());
            return Err(MemberError::NeverJoined { path, name });
        };
        let membership = Membership::from_text(&membership)
            .map_err(|source| MemberError::Damaged { path, source })?;
        let credentials = private_file::read(&file(CREDENTIALS), FILE_MAX)?;
        let credentials = Zeroizing::new(String::from_utf8_lossy(&credentials).into_owned());
        let ca = Some(file(CA)).filter(|path| path.exists());
        Ok(Self { keys, membership, credentials: Credentials(credentials), ca })
    }

    /// How it connects: as it was told when it joined, but for what its configuration says.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be read.
    pub(crate) fn options(&self, config: &config::Nats) -> Result<Options, PrivateFileError> {
        let Self { keys, membership, credentials, ca } = self;
        let name = &keys.identity.name;
        let login = match nats::login(config)? {
            Login::None => Login::Credentials(credentials.0.clone()),
            configured => configured,
        };
        let tls = nats::tls(&config.tls);
        let tls = Tls {
            // Whoever was told whom to trust is not led to talk in the clear.
            required: tls.required || ca.is_some(),
            ca: tls.ca.or_else(|| ca.clone()),
            ..tls
        };
        let servers = match config.servers.as_slice() {
            [] => membership.servers.clone(),
            configured => configured.to_vec(),
        };
        Ok(Options {
            servers,
            namespace: config.namespace.clone().unwrap_or_else(|| membership.namespace.clone()),
            login,
            tls,
            name: format!("osapi-agent {name}"),
            agent: Some(name.clone()),
        })
    }

    /// What it is for: as it was told when it joined, unless its configuration has labels.
    pub(crate) fn labels(&self, config: &config::Agent) -> osapi_core::job::Labels {
        let configured = config.labels();
        if configured.is_empty() { self.membership.labels.clone() } else { configured }
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, PrivateFileError> {
    match private_file::read(path, FILE_MAX) {
        Err(error) if error.is_missing() => Ok(None),
        bytes => bytes.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use osapi_core::auth::keys::SigningKey;
    use osapi_core::job::Labels;

    use super::*;

    fn invitation(ca: Option<&str>) -> Invitation {
        Invitation {
            name: "web-01".parse().unwrap(),
            root: SigningKey::generate().public(),
            membership: Membership {
                namespace: "fleet-1".parse().unwrap(),
                servers: vec!["nats://10.0.0.1:4222".into()],
                labels: Labels::of(["group=web".parse().unwrap()]).unwrap(),
            },
            credentials: Credentials(Zeroizing::new("the credentials".to_owned())),
            ca: ca.map(Into::into),
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_host_that_has_joined_is_found_again_as_it_was() {
        for ca in [None, Some("certificates")] {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::at(dir.path());
            let (made, joining) = Member::join(&layout, invitation(ca)).unwrap();
            joining.keep();
            let found = Member::open(&layout).unwrap();
            assert_eq!(found.keys.key.public(), made.keys.key.public());
            assert_eq!((found.membership, &found.ca), (made.membership, &made.ca));
            assert_eq!(
                found.ca.map(|path| fs::read_to_string(path).unwrap()),
                ca.map(|ca| format!("{ca}\n"))
            );
        }
    }

    #[test]
    fn who_is_not_kept_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        let (_, joining) = Member::join(&layout, invitation(Some("x"))).unwrap();
        assert_eq!(names(dir.path()), ["agent"]);
        drop(joining);
        assert!(names(dir.path()).is_empty());
        let missing = Member::open(&layout).unwrap_err();
        assert!(matches!(missing, MemberError::Keys(KeyError::NoAgent(_))));
    }

    #[test]
    fn a_directory_has_one_agent() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        let first = invitation(None);
        let (_, joining) = Member::join(&layout, first.clone()).unwrap();
        joining.keep();
        for (again, is_same) in [(first, true), (invitation(None), false)] {
            let refused = Member::join(&layout, again).unwrap_err();
            assert!(
                matches!(refused, MemberError::Keys(KeyError::AgentExists { is_same_fleet, .. }) if is_same_fleet == is_same)
            );
        }
        Member::open(&layout).expect("it is still there");
    }

    #[test]
    fn an_agent_of_one_machine_has_joined_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        let identity =
            AgentIdentity { name: "a".parse().unwrap(), root: SigningKey::generate().public() };
        AgentKeys::create(&layout, identity, Vec::new()).unwrap();
        let error = Member::open(&layout).unwrap_err().to_string();
        assert!(error.ends_with("has joined no fleet over NATS"), "{error}");
    }

    #[test]
    fn the_configuration_goes_before_what_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        let (member, _joining) = Member::join(&layout, invitation(Some("x"))).unwrap();
        let told = member.options(&config::Nats::default()).unwrap();
        assert_eq!(
            (told.servers, told.namespace.as_str()),
            (vec!["nats://10.0.0.1:4222".to_owned()], "fleet-1")
        );
        assert!(matches!(told.login, Login::Credentials(text) if *text == "the credentials"));
        assert_eq!((told.tls.ca, told.tls.required), (Some(layout.agent().join("ca.pem")), true));
        assert_eq!(told.agent, Some("web-01".parse().unwrap()));

        let seed = dir.path().join("seed");
        private_file::create_new(&seed, "SU").unwrap();
        let config = config::Nats {
            servers: vec!["nats://10.0.0.9:4222".into()],
            nkey: Some(seed),
            tls: config::Tls { ca: Some("/ca".into()), ..config::Tls::default() },
            ..config::Nats::default()
        };
        let options = member.options(&config).unwrap();
        assert_eq!(options.servers, ["nats://10.0.0.9:4222"]);
        assert!(matches!(options.login, Login::Nkey(text) if *text == "SU"));
        assert_eq!(options.tls.ca, Some("/ca".into()));

        let mut config = config::Agent::default();
        assert_eq!(member.labels(&config), member.membership.labels);
        config.labels.insert("env".into(), "prod".into());
        assert_eq!(member.labels(&config), config.labels());
    }
}
