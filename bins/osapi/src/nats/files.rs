//! Everything that is made for a fleet: a configuration for each server of the broker, and the directory of an API server.

use std::path::PathBuf;

use osapi_core::backend::nats::jwt::{self, Bounds, Kind, Nkey, Permissions, Streams};
use osapi_core::backend::nats::names;
use osapi_core::clock::Timestamp;
use osapi_service::broker::{Account, Broker};
use osapi_service::keystore::Keys;
use zeroize::Zeroizing;

use super::conf::{Cluster, Conf, TlsFiles, Trust};
use super::node::{Endpoint, Node};

/// Servers that keep a copy of each record in a cluster: one of them may fail.
const CLUSTER_REPLICAS: usize = 3;

/// What is to be made.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The fleet's keys.
    pub(crate) keys: &'a Keys,
    /// The broker's keys, and how it is reached.
    pub(crate) broker: &'a Broker,
    /// Its servers.
    pub(crate) servers: &'a Servers,
    /// Where they keep streams: an absolute path.
    pub(crate) store_dir: StoreDir,
    /// How connections are protected.
    pub(crate) tls: Option<TlsFiles>,
    /// Now.
    pub(crate) at: Timestamp,
}

/// The servers of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    /// One.
    One {
        /// Its name.
        name: String,
        /// Where it listens.
        listen: Endpoint,
    },
    /// Several that stand in for each other.
    Cluster {
        /// The cluster's name.
        name: String,
        /// Each server.
        nodes: Vec<Node>,
        /// What they show to each other.
        password: String,
    },
}

/// Where servers keep streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreDir {
    /// The same path on the machine of each.
    Given(PathBuf),
    /// Below this one, each in a directory of its own: then all can run on this machine.
    Below(PathBuf),
}

impl StoreDir {
    fn of(&self, server: &str) -> PathBuf {
        match self {
            Self::Given(path) => path.clone(),
            Self::Below(path) => path.join("jetstream").join(server),
        }
    }
}

/// A name, which may have directories before it, and a text.
pub(crate) type File = (String, Zeroizing<String>);

impl Plan<'_> {
    /// Every file.
    pub(crate) fn files(&self) -> Vec<File> {
        let mut files = self.confs();
        files.extend(self.for_api_server());
        files
    }

    /// The names of the configurations of the servers.
    pub(crate) fn conf_names(&self) -> Vec<String> {
        self.confs().into_iter().map(|(name, _)| name).collect()
    }

    fn confs(&self) -> Vec<File> {
        let (trust, tls) = (self.trust(), self.tls.as_ref());
        let conf = |name, listen, cluster| {
            let store_dir = self.store_dir.of(name);
            let conf = Conf { name, listen, store_dir: &store_dir, trust: &trust, cluster, tls };
            Zeroizing::new(conf.text())
        };
        match self.servers {
            Servers::One { name, listen } => vec![("nats.conf".into(), conf(name, listen, None))],
            Servers::Cluster { name, nodes, password } => nodes
                .iter()
                .map(|node| {
                    let others = nodes.iter().filter(|other| other.name != node.name);
                    let others = others.map(|other| &other.route).collect();
                    let cluster = Cluster { name, listen: &node.route, others, password };
                    (format!("{}.conf", node.name), conf(&node.name, &node.client, Some(cluster)))
                })
                .collect(),
        }
    }

    fn trust(&self) -> Trust {
        let Broker { operator, account, system, .. } = self.broker;
        let document = |account: &Account, name, streams| {
            let Account { id, signer } = account;
            let signer = signer.public();
            let account = jwt::Account { name, id, signer: &signer, streams };
            (id.clone(), jwt::account(operator, &account, self.at))
        };
        Trust {
            operator: jwt::operator(operator, "OSAPI", &system.id, self.at),
            system: system.id.clone(),
            accounts: vec![
                document(system, "SYS", Streams::Refused),
                document(account, "OSAPI", Streams::Allowed),
            ],
        }
    }

    fn for_api_server(&self) -> Vec<File> {
        let Broker { account, system, reach, .. } = self.broker;
        let server = names::server_permissions(&reach.namespace);
        let reader = names::system_permissions();
        let mut files = vec![
            ("server.yaml".to_owned(), self.server_yaml().into()),
            (
                "server.creds".into(),
                credentials(account, "osapi-server", server, Bounds::Unlimited, self.at),
            ),
            (
                "system.creds".into(),
                credentials(system, "osapi-durability", reader, Bounds::Limited, self.at),
            ),
        ];
        files.extend(reach.ca.clone().map(|ca| ("ca.pem".to_owned(), ca.into())));
        let keys = self.keys.for_server().into_iter();
        files.extend(keys.map(|(name, text)| (format!("keys/{name}"), text)));
        files.into_iter().map(|(name, text)| (format!("server/{name}"), text)).collect()
    }

    fn server_yaml(&self) -> String {
        let reach = &self.broker.reach;
        let servers: String =
            reach.servers.iter().map(|server| format!("    - {server}\n")).collect();
        let replicas = match self.servers {
            Servers::One { .. } => 1,
            Servers::Cluster { .. } => CLUSTER_REPLICAS,
        };
        let tls =
            if reach.ca.is_some() { "  tls:\n    ca: ca.pem\n    required: true\n" } else { "" };
        format!(
            "# Written by 'osapi nats config': what an API server needs. This directory can be copied to its machine; paths are found from\n\
             # where this file is. Start it with: osapi-server -f server.yaml\n\
             api:\n  server:\n    host: 127.0.0.1\n    port: 8080\n    keys: keys\n\
             nats:\n  servers:\n{servers}  namespace: {}\n  credentials: server.creds\n  system_credentials: system.creds\n  replicas: {replicas}\n{tls}",
            reach.namespace
        )
    }
}

/// The credentials of a new user.
pub(crate) fn credentials(
    account: &Account,
    name: &str,
    permissions: Permissions,
    bounds: Bounds,
    at: Timestamp,
) -> Zeroizing<String> {
    let key = Nkey::generate(Kind::User);
    let (public, account_id) = (key.public(), &account.id);
    let user = jwt::User { name, key: &public, account: account_id, permissions, bounds };
    jwt::credentials(&jwt::user(&account.signer, &user, at), &key)
}

/// The addresses that clients use for `servers`, and none if the address that is listened on says nothing about how it is reached.
pub(crate) fn addresses(servers: &Servers, has_tls: bool) -> Vec<String> {
    let scheme = if has_tls { "tls" } else { "nats" };
    let reached: Vec<_> = match servers {
        Servers::One { listen, .. } => vec![listen],
        Servers::Cluster { nodes, .. } => nodes.iter().map(|node| &node.client).collect(),
    };
    let is_known = |endpoint: &&&Endpoint| !["0.0.0.0", "[::]"].contains(&endpoint.host.as_str());
    reached.iter().filter(is_known).map(|endpoint| format!("{scheme}://{endpoint}")).collect()
}

#[cfg(test)]
mod tests {
    use osapi_core::backend::nats::Namespace;
    use osapi_service::broker::Reach;
    use osapi_service::config;
    use osapi_service::datadir::Layout;

    use super::*;

    const AT: Timestamp = Timestamp::from_unix_millis(1_800_000_000_000);

    fn cluster() -> Servers {
        let nodes = ["n1=h1", "n2=h2:5000", "n3=h3"].map(|node| node.parse().unwrap());
        Servers::Cluster { name: "x".into(), nodes: nodes.into(), password: "pw".into() }
    }

    fn one(host: &str) -> Servers {
        Servers::One { name: "osapi".into(), listen: Endpoint { host: host.into(), port: 4222 } }
    }

    /// The files for `servers`, by name.
    fn files(
        servers: &Servers,
        ca: Option<&str>,
    ) -> std::collections::BTreeMap<String, Zeroizing<String>> {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path());
        let keys = Keys::open_or_create(&layout, AT).unwrap();
        let addresses = addresses(servers, ca.is_some());
        let reach =
            Reach { namespace: Namespace::default(), servers: addresses, ca: ca.map(Into::into) };
        let broker = Broker::open_or_create(&layout, reach).unwrap();
        let store_dir = StoreDir::Below("/out".into());
        let plan = Plan { keys: &keys, broker: &broker, servers, store_dir, tls: None, at: AT };
        let files: Vec<_> = plan.files();
        for (name, text) in &files {
            for secret in
                [keys.root.to_paserk(), keys.token.to_paserk(), broker.account.signer.seed()]
            {
                assert!(!text.contains(secret.as_str()), "{name} holds a secret of the fleet");
            }
        }
        files.into_iter().collect()
    }

    #[test]
    fn one_server_has_one_configuration_and_an_api_server_what_it_needs() {
        let files = files(&one("127.0.0.1"), None);
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "nats.conf",
                "server/keys/job.key",
                "server/keys/ring",
                "server/keys/root.pub",
                "server/server.creds",
                "server/server.yaml",
                "server/system.creds",
            ]
        );
        assert!(files["nats.conf"].contains("store_dir: \"/out/jetstream/osapi\""));
    }

    #[test]
    fn a_cluster_has_a_configuration_for_each_server_and_keeps_copies() {
        let files = files(&cluster(), Some("certificates"));
        for (name, others) in [("n1", ["h2", "h3"]), ("n2", ["h1", "h3"]), ("n3", ["h1", "h2"])] {
            let conf = &files[&format!("{name}.conf")];
            assert!(conf.contains(&format!("store_dir: \"/out/jetstream/{name}\"")), "{}", **conf);
            let routes = others.map(|other| format!("nats-route://route:pw@{other}:6222"));
            assert!(routes.iter().all(|route| conf.contains(route)), "{}", **conf);
            assert_eq!(conf.matches("nats-route").count(), 2);
        }
        assert!(files["server/server.yaml"].contains("  replicas: 3\n"));
        assert_eq!(*files["server/ca.pem"], "certificates");
    }

    #[test]
    fn the_configuration_of_an_api_server_is_one() {
        for (servers, ca) in [(one("10.0.0.1"), None), (cluster(), Some("x"))] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("server.yaml");
            std::fs::write(&path, files(&servers, ca)["server/server.yaml"].as_str()).unwrap();
            let source = config::Source::Given(path);
            let config = config::load(&source, [], Default::default()).unwrap().config;
            assert_eq!(config.nats.servers, addresses(&servers, ca.is_some()));
            assert_eq!(config.nats.credentials, Some(dir.path().join("server.creds")));
            assert_eq!(config.nats.tls.ca, ca.map(|_| dir.path().join("ca.pem")));
            assert_eq!(config.api.server.keys, Some(dir.path().join("keys")));
        }
    }

    #[test]
    fn an_address_that_listens_everywhere_says_nothing() {
        assert_eq!(addresses(&one("10.0.0.1"), false), ["nats://10.0.0.1:4222"]);
        assert_eq!(addresses(&one("[::1]"), true), ["tls://[::1]:4222"]);
        for everywhere in ["0.0.0.0", "[::]"] {
            assert!(addresses(&one(everywhere), false).is_empty());
        }
        assert_eq!(addresses(&cluster(), false)[1], "nats://h2:5000");
    }
}
