//! The section `nats`: where the broker is, and who connects.

use std::path::PathBuf;

use osapi_core::backend::nats::Namespace;
use osapi_core::job::Invalid;
use serde::{Deserialize, Serialize};

use super::text;

/// The connection to NATS. Whatever is a file and holds a secret is readable by its owner only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Nats {
    /// Addresses such as `nats://10.0.0.1:4222`. An agent that has joined knows them.
    #[serde(deserialize_with = "text::list")]
    pub servers: Vec<String>,
    /// What all names begin with: 1 to 32 letters, digits, `_`, `-`; `osapi`, or what an agent was told when it joined.
    pub namespace: Option<Namespace>,
    /// The file with a user's JWT and seed. Excludes the other logins.
    pub credentials: Option<PathBuf>,
    /// The file with the seed of a user's key. Excludes the other logins.
    pub nkey: Option<PathBuf>,
    /// The user. Excludes the other logins.
    pub user: Option<String>,
    /// The file with the user's password.
    pub password_file: Option<PathBuf>,
    /// How the connection is protected.
    #[serde(deserialize_with = "text::section")]
    pub tls: Tls,
    /// Servers that keep a copy of each record: 1, 3 or 5.
    #[serde(deserialize_with = "text::whole")]
    pub replicas: usize,
    /// The credentials file of a user of the system account, who may read whether each write is synced.
    pub system_credentials: Option<PathBuf>,
    /// Addresses of the monitoring ports of all servers, where it can be read too.
    #[serde(deserialize_with = "text::list")]
    pub monitoring: Vec<String>,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            namespace: None,
            credentials: None,
            nkey: None,
            user: None,
            password_file: None,
            tls: Tls::default(),
            replicas: 1,
            system_credentials: None,
            monitoring: Vec::new(),
        }
    }
}

/// How the connection is protected. A server that requires TLS gets it in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// Certificates of the authorities that are trusted (PEM), instead of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate to show (PEM). Goes with `key`.
    pub cert: Option<PathBuf>,
    /// Its secret key (PEM).
    pub key: Option<PathBuf>,
    /// Whether to refuse a connection in the clear.
    #[serde(deserialize_with = "text::switch")]
    pub required: bool,
}

impl Nats {
    /// Every path in it.
    pub(super) fn paths(&mut self) -> [&mut Option<PathBuf>; 7] {
        let Self { credentials, nkey, password_file, tls, system_credentials, .. } = self;
        let Tls { ca, cert, key, required: _ } = tls;
        [credentials, nkey, password_file, system_credentials, ca, cert, key]
    }

    /// Every value that is out of its bounds or does not go with another.
    pub(super) fn violations(&self) -> Vec<Invalid> {
        let Self { credentials, nkey, user, password_file, tls, monitoring, .. } = self;
        let logins = [
            ("nats.credentials", credentials.is_some()),
            ("nats.nkey", nkey.is_some()),
            ("nats.user", user.is_some()),
        ];
        let sources = [
            ("nats.system_credentials", self.system_credentials.is_some()),
            ("nats.monitoring", !monitoring.is_empty()),
        ];
        let replicas = || Invalid::new("nats.replicas", "1, 3 or 5", self.replicas.to_string());
        [
            (![1, 3, 5].contains(&self.replicas)).then(replicas),
            beside("the only login", &logins),
            together([
                ("nats.user", user.is_some()),
                ("nats.password_file", password_file.is_some()),
            ]),
            together([("nats.tls.cert", tls.cert.is_some()), ("nats.tls.key", tls.key.is_some())]),
            beside("the only place where durability is read", &sources),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// At most one of `given` may be.
fn beside(bound: &str, given: &[(&str, bool)]) -> Option<Invalid> {
    let mut given = given.iter().filter(|(_, is_given)| *is_given).map(|(key, _)| key);
    let (first, second) = (given.next()?, given.next()?);
    Some(Invalid::new(*second, bound, format!("given beside {first}")))
}

/// Both of `pair` may be given, or none.
fn together(pair: [(&str, bool); 2]) -> Option<Invalid> {
    let [(first, has_first), (second, has_second)] = pair;
    let (alone, other) = if has_first { (first, second) } else { (second, first) };
    (has_first != has_second)
        .then(|| Invalid::new(alone, format!("given together with {other}"), "alone"))
}
