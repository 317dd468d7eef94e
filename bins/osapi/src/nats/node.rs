//! A server of the broker, as it is typed: `n1=10.0.0.1`, `n1=nats-1.example.com:4222:6222`, `n1=[2001:db8::1]:4222`.

use std::fmt;
use std::str::FromStr;

use osapi_core::id::AgentName;

/// Where clients connect by default.
pub(crate) const CLIENT_PORT: u16 = 4222;
/// Where other servers connect by default.
pub(crate) const ROUTE_PORT: u16 = 6222;

/// A server of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its name, unique in the cluster.
    pub(crate) name: String,
    /// Where clients reach it.
    pub(crate) client: Endpoint,
    /// Where the other servers reach it.
    pub(crate) route: Endpoint,
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A text that names no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be NAME=HOST, NAME=HOST:PORT or NAME=HOST:PORT:ROUTE_PORT, with an IPv6 address in brackets"
)]
pub(crate) struct InvalidNode;

impl FromStr for Node {
    type Err = InvalidNode;
    fn from_str(text: &str) -> Result<Self, InvalidNode> {
        let (name, address) = text.split_once('=').ok_or(InvalidNode)?;
        // The same rule as for hosts: it stands in file names and in a configuration.
        let name: AgentName = name.parse().map_err(|_| InvalidNode)?;
        let (host, ports) = split_host(address).ok_or(InvalidNode)?;
        let ports: Vec<u16> = match ports {
            None => Vec::new(),
            Some(ports) => {
                let ports = ports.split(':').map(|port| port.parse().ok().filter(|port| *port > 0));
                ports.collect::<Option<_>>().ok_or(InvalidNode)?
            }
        };
        let (client, route) = match ports[..] {
            [] => (CLIENT_PORT, ROUTE_PORT),
            [client] => (client, ROUTE_PORT),
            [client, route] if client != route => (client, route),
            _ => return Err(InvalidNode),
        };
        let at = |port| Endpoint { host: host.to_owned(), port };
        Ok(Self { name: name.to_string(), client: at(client), route: at(route) })
    }
}

/// The host, and what is after its colon.
fn split_host(address: &str) -> Option<(&str, Option<&str>)> {
    let end = match address.strip_prefix('[') {
        Some(rest) => {
            rest.find(']').filter(|end| rest[..*end].parse::<std::net::Ipv6Addr>().is_ok())? + 2
        }
        None => address.find(':').unwrap_or(address.len()),
    };
    let (host, ports) = address.split_at(end);
    let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
    let is_host = host.starts_with('[') || (!host.is_empty() && host.bytes().all(is_word));
    let ports = if ports.is_empty() { None } else { Some(ports.strip_prefix(':')?) };
    is_host.then_some((host, ports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_name_and_a_host_and_may_have_ports() {
        for (text, client, route) in [
            ("n1=10.0.0.1", "10.0.0.1:4222", "10.0.0.1:6222"),
            ("n1=nats-1.example.com:5000", "nats-1.example.com:5000", "nats-1.example.com:6222"),
            ("n1=localhost:5000:5001", "localhost:5000", "localhost:5001"),
            ("n1=[::1]", "[::1]:4222", "[::1]:6222"),
            ("n1=[2001:db8::1]:1:2", "[2001:db8::1]:1", "[2001:db8::1]:2"),
        ] {
            let node: Node = text.parse().unwrap();
            assert_eq!(node.name, "n1");
            assert_eq!(
                (node.client.to_string(), node.route.to_string()),
                (client.into(), route.into())
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "n1",
            "=a",
            "n1=",
            "n 1=a",
            "../n1=a",
            "n1=a b",
            "n1=a:",
            "n1=a:0",
            "n1=a:70000",
            "n1=a:1:1",
            "n1=a:1:2:3",
            "n1=::1",
            "n1=[::1",
            "n1=[x]:1",
            "n1=[::1]x",
            "n1=a\"b",
            "n1=:1",
        ] {
            assert_eq!(bad.parse::<Node>(), Err(InvalidNode), "{bad:?}");
        }
    }
}
