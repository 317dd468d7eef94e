//! What is kept of the broker where the fleet is kept: the keys that vouch for accounts and users, and how hosts reach it. With them a
//! host is invited without the broker.

use std::path::{Path, PathBuf};

use osapi_core::backend::nats::Namespace;
use osapi_core::backend::nats::jwt::{InvalidSeed, Kind, Nkey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::datadir::Layout;
use crate::private_file;

pub use crate::private_file::PrivateFileError;

/// Largest file, in bytes. Certificates are what could make one large.
const FILE_MAX: usize = 256 * 1024;
const VERSION: u8 = 1;
const OPERATOR: &str = "operator.nk";
const ACCOUNT: &str = "account.nk";
const SYSTEM: &str = "system.nk";
const FACTS: &str = "broker.json";

/// The keys of a broker in operator mode, and how it is reached.
#[derive(Debug)]
pub struct Broker {
    /// Vouches for the accounts.
    pub operator: Nkey,
    /// The fleet's account.
    pub account: Account,
    /// The account of the servers themselves.
    pub system: Account,
    /// How it is reached.
    pub reach: Reach,
}

/// An account.
#[derive(Debug)]
pub struct Account {
    /// Its public key: what it is to the servers. Nobody has its secret half.
    pub id: String,
    /// Vouches for its users.
    pub signer: Nkey,
}

/// How a broker is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// What all names of the fleet begin with.
    pub namespace: Namespace,
    /// Its addresses.
    pub servers: Vec<String>,
    /// Certificates of the authorities that vouch for it (PEM), if not those of the system.
    pub ca: Option<String>,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// A file cannot be read or written, or is open to others.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// There is none yet.
    #[error("there are no keys of a broker in '{}'", .0.display())]
    None(PathBuf),
    /// A file holds no such key.
    #[error("'{}' is damaged", path.display())]
    Seed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        source: InvalidSeed,
    },
    /// A file cannot be understood.
    #[error("'{}' is damaged", path.display())]
    Facts {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Facts {
    v: u8,
    account: String,
    system: String,
    namespace: Namespace,
    servers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
}

impl Account {
    fn generate() -> Self {
        let [id, signer] = std::array::from_fn(|_| Nkey::generate(Kind::Account));
        Self { id: id.public(), signer }
    }
}

impl Broker {
    /// The broker's keys in `layout`, made if there are none, with `reach` as what is known of it from now on. The caller holds the data
    /// directory.
    ///
    /// # Errors
    /// When they cannot be read or made, are open to others, or are incomplete.
    pub fn open_or_create(layout: &Layout, reach: Reach) -> Result<Self, BrokerError> {
        match Self::open(layout) {
            Ok(known) => {
                let broker = Self { reach, ..known };
                private_file::replace(&layout.broker().join(FACTS), &broker.facts())?;
                Ok(broker)
            }
            Err(BrokerError::None(_)) => Self::create(layout, reach),
            Err(error) => Err(error),
        }
    }

    /// The broker's keys in `layout`. Nothing is locked or written.
    ///
    /// # Errors
    /// When there are none, or they cannot be read, are open to others, or are incomplete.
    pub fn open(layout: &Layout) -> Result<Self, BrokerError> {
        let dir = layout.broker();
        if !dir.exists() {
            return Err(BrokerError::None(dir));
        }
        let path = dir.join(FACTS);
        let bytes = private_file::read(&path, FILE_MAX)?;
        let facts: Facts = serde_json::from_slice(&bytes)
            .map_err(|source| BrokerError::Facts { path: path.clone(), source })?;
        let Facts { account, system, namespace, servers, ca, .. } = facts;
        Ok(Self {
            operator: read_key(&dir.join(OPERATOR), Kind::Operator)?,
            account: Account { id: account, signer: read_key(&dir.join(ACCOUNT), Kind::Account)? },
            system: Account { id: system, signer: read_key(&dir.join(SYSTEM), Kind::Account)? },
            reach: Reach { namespace, servers, ca },
        })
    }

    fn create(layout: &Layout, reach: Reach) -> Result<Self, BrokerError> {
        let operator = Nkey::generate(Kind::Operator);
        let broker =
            Self { operator, account: Account::generate(), system: Account::generate(), reach };
        let files = [
            (OPERATOR, broker.operator.seed()),
            (ACCOUNT, broker.account.signer.seed()),
            (SYSTEM, broker.system.signer.seed()),
            (FACTS, broker.facts().into()),
        ];
        private_file::create_dir(&layout.broker(), &files)?;
        Ok(broker)
    }

    fn facts(&self) -> String {
        let Reach { namespace, servers, ca } = self.reach.clone();
        let facts = Facts {
            v: VERSION,
            account: self.account.id.clone(),
            system: self.system.id.clone(),
            namespace,
            servers,
            ca,
        };
        serde_json::to_string(&facts).expect("it is texts under text keys")
    }
}

fn read_key(path: &Path, kind: Kind) -> Result<Nkey, BrokerError> {
    let bytes = private_file::read(path, FILE_MAX)?;
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).trim_ascii_end().to_owned());
    Nkey::from_seed(&text, kind)
        .map_err(|source| BrokerError::Seed { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn reach(server: &str) -> Reach {
        let (namespace, servers) = (Namespace::default(), vec![server.to_owned()]);
        Reach { namespace, servers, ca: None }
    }

    fn publics(broker: &Broker) -> [String; 5] {
        let Broker { operator, account, system, .. } = broker;
        [
            operator.public(),
            account.id.clone(),
            account.signer.public(),
            system.id.clone(),
            system.signer.public(),
        ]
    }

    #[test]
    fn keys_are_made_once_and_what_is_known_of_the_broker_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        let none = Broker::open(&layout).unwrap_err();
        assert!(matches!(none, BrokerError::None(at) if at == dir.path().join("nats")));
        let made = Broker::open_or_create(&layout, reach("nats://a:1")).unwrap();
        let again = Broker::open_or_create(&layout, reach("nats://b:1")).unwrap();
        let found = Broker::open(&layout).unwrap();
        assert_eq!(publics(&made), publics(&again));
        assert_eq!(publics(&made), publics(&found));
        assert_eq!(found.reach, reach("nats://b:1"));
        let mut all = publics(&made).to_vec();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 5, "no two keys are the same");
    }

    #[test]
    fn a_key_of_another_kind_or_none_is_refused_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        Broker::open_or_create(&layout, reach("nats://a:1")).unwrap();
        let path = layout.broker().join("account.nk");
        fs::write(&path, Nkey::generate(Kind::User).seed().as_str()).unwrap();
        let error = Broker::open_or_create(&layout, reach("nats://a:1")).unwrap_err();
        assert_eq!(error.to_string(), format!("'{}' is damaged", path.display()));
        fs::remove_file(&path).unwrap();
        assert!(Broker::open_or_create(&layout, reach("nats://a:1")).is_err());
        assert!(!path.exists());
    }
}
