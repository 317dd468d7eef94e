//! The configuration of a `nats-server` in operator mode.

use std::fmt::Write as _;
use std::path::Path;

use super::node::Endpoint;

/// One server.
#[derive(Debug)]
pub(crate) struct Conf<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Where it listens for clients.
    pub(crate) listen: &'a Endpoint,
    /// Where it keeps streams: an absolute path.
    pub(crate) store_dir: &'a Path,
    /// Whom it trusts.
    pub(crate) trust: &'a Trust,
    /// The cluster that it is part of.
    pub(crate) cluster: Option<Cluster<'a>>,
    /// How its connections are protected.
    pub(crate) tls: Option<&'a TlsFiles>,
}

/// Whom a server trusts.
#[derive(Debug)]
pub(crate) struct Trust {
    /// The operator's document.
    pub(crate) operator: String,
    /// The system account's key.
    pub(crate) system: String,
    /// Every account's key and document.
    pub(crate) accounts: Vec<(String, String)>,
}

/// The cluster, as one server sees it.
#[derive(Debug)]
pub(crate) struct Cluster<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Where the server listens for the others.
    pub(crate) listen: &'a Endpoint,
    /// The others.
    pub(crate) others: Vec<&'a Endpoint>,
    /// What servers show to each other: whoever may connect as a server may do everything.
    pub(crate) password: &'a str,
}

/// Files of the server's machine, by absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate (PEM).
    pub(crate) cert: String,
    /// Its secret key (PEM).
    pub(crate) key: String,
    /// Certificates of the authorities that vouch for it (PEM).
    pub(crate) ca: String,
}

const HEAD: &str = "\
# Written by 'osapi nats config'. Hosts are invited by 'osapi agent invite', without a change here or a reload.
";

impl Conf<'_> {
    /// The text of the file.
    pub(crate) fn text(&self) -> String {
        let Self { name, listen, store_dir, trust, cluster, tls } = self;
        let mut text = format!(
            "{HEAD}server_name: {}\nlisten: {}\n\n\
             jetstream {{\n  store_dir: {}\n  \
             # A write is answered once it is on the disk. Without this, what was answered may be lost with the power.\n  \
             sync_interval: always\n}}\n",
            quoted(name),
            quoted(&listen.to_string()),
            quoted(&store_dir.to_string_lossy()),
        );
        if let Some(tls) = tls {
            write(&mut text, format_args!("\ntls {{\n{}}}\n", tls.lines("  ")));
        }
        if let Some(cluster) = cluster {
            text.push_str(&cluster.block(*tls));
        }
        write(
            &mut text,
            format_args!(
                "\noperator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{\n",
                trust.operator, trust.system
            ),
        );
        for (account, document) in &trust.accounts {
            write(&mut text, format_args!("  {account}: {document}\n"));
        }
        text.push_str("}\n");
        text
    }
}

impl Cluster<'_> {
    fn block(&self, tls: Option<&TlsFiles>) -> String {
        let Self { name, listen, others, password } = self;
        let mut text = format!(
            "\ncluster {{\n  name: {}\n  listen: {}\n  authorization {{ user: route, password: {} }}\n",
            quoted(name),
            quoted(&listen.to_string()),
            quoted(password)
        );
        if let Some(tls) = tls {
            // The certificate shows itself to the other servers too, so it has to be one for both ends.
            write(&mut text, format_args!("  tls {{\n{}  }}\n", tls.lines("    ")));
        }
        text.push_str("  routes: [\n");
        for other in others {
            let url = format!("nats-route://route:{password}@{other}");
            write(&mut text, format_args!("    {}\n", quoted(&url)));
        }
        text.push_str("  ]\n}\n");
        text
    }
}

impl TlsFiles {
    fn lines(&self, indent: &str) -> String {
        let Self { cert, key, ca } = self;
        let files = [("cert_file", cert), ("key_file", key), ("ca_file", ca)];
        files.iter().map(|(name, path)| format!("{indent}{name}: {}\n", quoted(path))).collect()
    }
}

/// A text of the configuration's language, in which a backslash escapes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn write(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust() -> Trust {
        Trust {
            operator: "o.p.q".into(),
            system: "ASYS".into(),
            accounts: vec![("ASYS".into(), "s.y.s".into()), ("A1".into(), "a.b.c".into())],
        }
    }

    fn endpoint(text: &str) -> Endpoint {
        let (host, port) = text.rsplit_once(':').unwrap();
        Endpoint { host: host.into(), port: port.parse().unwrap() }
    }

    #[test]
    fn one_server_syncs_every_write_and_knows_the_accounts() {
        let (listen, trust) = (endpoint("127.0.0.1:4222"), trust());
        let store_dir = Path::new("/var/lib/a \"b\"");
        let conf = Conf {
            name: "osapi",
            listen: &listen,
            store_dir,
            trust: &trust,
            cluster: None,
            tls: None,
        };
        assert_eq!(
            conf.text(),
            "# Written by 'osapi nats config'. Hosts are invited by 'osapi agent invite', without a change here or a reload.
server_name: \"osapi\"
listen: \"127.0.0.1:4222\"

jetstream {
  store_dir: \"/var/lib/a \\\"b\\\"\"
  # A write is answered once it is on the disk. Without this, what was answered may be lost with the power.
  sync_interval: always
}

operator: o.p.q
system_account: ASYS
resolver: MEMORY
resolver_preload {
  ASYS: s.y.s
  A1: a.b.c
}
"
        );
    }

    #[test]
    fn a_server_of_a_cluster_shows_a_password_and_its_certificate_to_the_others() {
        let [listen, route, two, three] =
            ["h1:4222", "h1:6222", "[::2]:6222", "h3:7222"].map(endpoint);
        let files = TlsFiles { cert: "/c".into(), key: "/k".into(), ca: "/a".into() };
        let cluster =
            Cluster { name: "x", listen: &route, others: vec![&two, &three], password: "pw" };
        let trust = trust();
        let conf = Conf {
            name: "n1",
            listen: &listen,
            store_dir: Path::new("/s"),
            trust: &trust,
            cluster: Some(cluster),
            tls: Some(&files),
        };
        let text = conf.text();
        let block = "
tls {
  cert_file: \"/c\"
  key_file: \"/k\"
  ca_file: \"/a\"
}

cluster {
  name: \"x\"
  listen: \"h1:6222\"
  authorization { user: route, password: \"pw\" }
  tls {
    cert_file: \"/c\"
    key_file: \"/k\"
    ca_file: \"/a\"
  }
  routes: [
    \"nats-route://route:pw@[::2]:6222\"
    \"nats-route://route:pw@h3:7222\"
  ]
}
";
        assert!(text.contains(block), "{text}");
    }
}
