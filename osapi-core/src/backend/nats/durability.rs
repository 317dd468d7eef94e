//! Whether the servers sync what they acknowledge. It is a setting of each server, which tells it to the system account and at its
//! monitoring port, and to nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::connect::{self, ROUND};
use super::error::OpenError;
use super::login::Proof;
use super::names;
use super::options::{DurabilitySource, Options};
use crate::backend::{Durability, Source};

/// How long the servers may take to answer.
const ANSWERS: Duration = Duration::from_secs(2);
/// Largest answer of a monitoring port.
const ANSWER_MAX: u64 = 1 << 20;

/// Reads it.
pub(super) enum Reader {
    System(Box<Options>),
    Monitoring(Vec<Monitor>),
}

/// The monitoring port of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Monitor {
    address: String,
    path: String,
}

/// What a server says of itself to the system account.
#[derive(Deserialize)]
struct Ping {
    server: Server,
    statsz: Statistics,
}

#[derive(Deserialize)]
struct Server {
    id: String,
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    active_servers: usize,
    #[serde(default)]
    jetstream: JetStream,
}

/// What a server says of itself at its monitoring port.
#[derive(Deserialize)]
struct Variables {
    server_id: String,
    #[serde(default)]
    jetstream: JetStream,
}

/// The part that both have.
#[derive(Debug, Clone, Default, Deserialize)]
struct JetStream {
    /// Without it the server keeps no records.
    config: Option<Settings>,
    /// Only in a cluster.
    meta: Option<Meta>,
}

#[derive(Debug, Clone, Deserialize)]
struct Settings {
    #[serde(default)]
    sync_always: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Meta {
    cluster_size: usize,
}

/// What the servers said, by their ids.
type Said = BTreeMap<String, JetStream>;

impl Reader {
    /// A reader beside a connection that was made with `options`.
    pub(super) fn new(source: &DurabilitySource, options: &Options) -> Result<Self, OpenError> {
        match source {
            DurabilitySource::System(login) => {
                Proof::of(login).map_err(OpenError::System)?;
                let (login, agent) = (login.clone(), None);
                Ok(Self::System(Box::new(Options { login, agent, ..options.clone() })))
            }
            DurabilitySource::Monitoring(addresses) => {
                let monitors = addresses.iter().map(|address| {
                    Monitor::parse(address).ok_or_else(|| OpenError::Monitoring(address.clone()))
                });
                monitors.collect::<Result<_, _>>().map(Self::Monitoring)
            }
        }
    }

    /// Reads it now.
    pub(super) async fn read(&self) -> Durability {
        let said = match self {
            Self::System(options) => by_system_account(options).await,
            Self::Monitoring(monitors) => Ok(by_monitoring(monitors).await),
        };
        match said {
            Ok(said) => judge(&said),
            Err(error) => {
                tracing::warn!(%error, "whether NATS syncs writes cannot be read");
                Durability::Unknown
            }
        }
    }
}

fn judge(said: &Said) -> Durability {
    let keep: Vec<_> = said.values().filter_map(|server| server.config.as_ref()).collect();
    let cluster =
        said.values().filter_map(|server| server.meta.as_ref()).map(|meta| meta.cluster_size);
    let there_are = cluster.max().unwrap_or(1);
    if keep.iter().any(|settings| !settings.sync_always) {
        Durability::Unsynced
    } else if keep.len() < there_are {
        Durability::Unknown
    } else {
        Durability::Synced
    }
}

async fn by_system_account(options: &Options) -> Result<Said, Source> {
    let connecting = connect::connect(options, Arc::default(), Arc::default());
    let client = tokio::time::timeout(ROUND, connecting).await??;
    let said = ask_all(&client).await;
    // It ends with its last handle all the same.
    client.drain().await.ok();
    said
}

/// Asks every server, and listens until all that there are have answered.
async fn ask_all(client: &Client) -> Result<Said, Source> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish_with_reply(names::PING_SERVERS, inbox, Bytes::new()).await?;
    let until = tokio::time::Instant::now() + ANSWERS;
    let mut said = Said::new();
    while let Ok(Some(answer)) = tokio::time::timeout_at(until, answers.next()).await {
        if answer.status.is_some() {
            return Err("the login is not of the system account".into());
        }
        let Ping { server, statsz } = serde_json::from_slice(&answer.payload)?;
        said.insert(server.id, statsz.jetstream);
        if said.len() >= statsz.active_servers {
            break;
        }
    }
    Ok(said)
}

async fn by_monitoring(monitors: &[Monitor]) -> Said {
    let mut said = Said::new();
    for monitor in monitors {
        match tokio::time::timeout(ANSWERS, monitor.get::<Variables>("/varz")).await {
            Ok(Ok(server)) => {
                said.insert(server.server_id, server.jetstream);
            }
            Ok(Err(error)) => {
                tracing::warn!(address = monitor.address, %error, "a monitoring port of NATS cannot be read");
            }
            Err(_) => tracing::warn!(
                address = monitor.address,
                "a monitoring port of NATS does not answer"
            ),
        }
    }
    said
}

impl Monitor {
    /// The port at `http://<host>:<port>[/<path>]`.
    fn parse(address: &str) -> Option<Self> {
        let rest = address.strip_prefix("http://")?;
        let (address, path) =
            rest.split_once('/').map_or((rest, String::new()), |(address, path)| {
                (address, format!("/{}", path.trim_end_matches('/')))
            });
        let (host, port) = address.rsplit_once(':')?;
        let is_plain = |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let is_good = !host.is_empty() && port.parse::<u16>().is_ok() && is_plain(rest);
        let path = if path == "/" { String::new() } else { path };
        is_good.then(|| Self { address: address.to_owned(), path })
    }

    /// Reads a document by HTTP/1.0, where an answer ends with its connection.
    async fn get<T: DeserializeOwned>(&self, document: &str) -> Result<T, Source> {
        let Self { address, path } = self;
        let mut stream = TcpStream::connect(address.as_str()).await?;
        let request = format!("GET {path}{document} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
        Ok(serde_json::from_slice(body(&answer)?)?)
    }
}

/// The body of a successful answer.
fn body(answer: &[u8]) -> Result<&[u8], Source> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("not an HTTP answer")?;
    let (head, body) = answer.split_at(end);
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    match line.split(|byte| *byte == b' ').nth(1) {
        Some(b"200") => Ok(&body[4..]),
        _ => Err(String::from_utf8_lossy(line).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(servers: &[(Option<bool>, usize)]) -> Said {
        let server = |(n, (sync_always, cluster_size)): (usize, &(Option<bool>, usize))| {
            let config = sync_always.map(|sync_always| Settings { sync_always });
            let meta = (*cluster_size > 0).then_some(Meta { cluster_size: *cluster_size });
            (n.to_string(), JetStream { config, meta })
        };
        servers.iter().enumerate().map(server).collect()
    }

    #[test]
    fn writes_are_synced_if_every_server_that_keeps_them_says_so() {
        let (yes, no) = (Some(true), Some(false));
        for (servers, expected) in [
            (&[][..], Durability::Unknown),
            (&[(yes, 0)], Durability::Synced),
            (&[(no, 0)], Durability::Unsynced),
            (&[(None, 0)], Durability::Unknown),
            (&[(yes, 0), (None, 0)], Durability::Synced),
            (&[(yes, 3), (yes, 3), (yes, 3)], Durability::Synced),
            (&[(yes, 3), (no, 3), (yes, 3)], Durability::Unsynced),
            (&[(yes, 3), (yes, 3)], Durability::Unknown),
            (&[(yes, 3), (no, 3)], Durability::Unsynced),
        ] {
            assert_eq!(judge(&said(servers)), expected, "{servers:?}");
        }
    }

    #[test]
    fn monitoring_addresses_are_parsed() {
        let monitor = |address: &str, path: &str| {
            Some(Monitor { address: address.into(), path: path.into() })
        };
        assert_eq!(Monitor::parse("http://10.0.0.1:8222"), monitor("10.0.0.1:8222", ""));
        assert_eq!(Monitor::parse("http://[::1]:8222/"), monitor("[::1]:8222", ""));
        assert_eq!(Monitor::parse("http://n1:8222/nats/"), monitor("n1:8222", "/nats"));
        for bad in [
            "",
            "n1:8222",
            "https://n1:8222",
            "http://n1",
            "http://n1:x",
            "http://a b:1",
            "http://:1",
        ] {
            assert_eq!(Monitor::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_body_counts_if_the_answer_is_good() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}").unwrap(), b"{}");
        let error = body(b"HTTP/1.0 404 Not Found\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("404"), "{error}");
        assert!(body(b"SSH-2.0").is_err());
    }
}
