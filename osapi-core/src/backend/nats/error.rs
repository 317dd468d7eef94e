//! Why a connection or a store was not opened. Each says the way out.

use super::login::InvalidLogin;
use super::settings::Difference;
use super::version::{FIXED_IN, OLDEST, Version};
use crate::backend::{Bucket, Source};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing to connect to.
    #[error("no NATS server is named: give at least one address, such as nats://127.0.0.1:4222")]
    NoServers,
    /// An address that cannot be one.
    #[error("invalid NATS address '{}': {rule}", address.escape_debug())]
    Address {
        /// The address.
        address: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A login that cannot be used.
    #[error("invalid NATS login")]
    Login(#[from] InvalidLogin),
    /// Certificates that cannot be used.
    #[error("invalid TLS settings for NATS: {0}")]
    TlsFiles(String),
    /// Nobody answers.
    #[error("NATS cannot be reached at {addresses}: check the address, and that the server runs")]
    Unreachable {
        /// Where it was tried.
        addresses: String,
        /// Why it failed.
        source: Source,
    },
    /// The server knows nobody by this login.
    #[error(
        "NATS at {addresses} refuses the login: check that the credentials are for this server and were not revoked"
    )]
    Refused {
        /// Where it was tried.
        addresses: String,
        /// What the server said.
        source: Source,
    },
    /// No protected connection came about.
    #[error(
        "TLS with NATS at {addresses} failed: check the CA certificate and the name in the address"
    )]
    Tls {
        /// Where it was tried.
        addresses: String,
        /// Why it failed.
        source: Source,
    },
    /// The server does not have what the store rests on.
    #[error(
        "NATS server {server} has version {found}: {OLDEST} or newer is needed, and {FIXED_IN} has the security fixes"
    )]
    TooOld {
        /// The server's name.
        server: String,
        /// Its version.
        found: String,
    },
    /// The server takes smaller messages only.
    #[error(
        "NATS server {server} takes messages of at most {found} bytes: set max_payload to {needed}"
    )]
    SmallMessages {
        /// The server's name.
        server: String,
        /// What it takes.
        found: usize,
        /// What is needed.
        needed: usize,
    },
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing is kept there.
    #[error("JetStream is off: enable it in the server's configuration, and for the account")]
    NoJetStream,
    /// A bucket that was made otherwise.
    #[error(
        "bucket {bucket} has other settings: {}; change them with 'nats stream edit {stream}', remove the stream if nothing in it is needed, or choose another namespace",
        list(differences)
    )]
    Settings {
        /// The bucket.
        bucket: Bucket,
        /// Its stream.
        stream: String,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// More copies than there are servers.
    #[error(
        "{replicas} replicas need as many servers with JetStream: {description}; start them, or set fewer replicas"
    )]
    Replicas {
        /// What was asked for.
        replicas: usize,
        /// What the server said.
        description: String,
    },
    /// Less room than is to be set aside.
    #[error(
        "JetStream has no room for {wanted} bytes of output: set fewer in jobs.max_output_bytes, or give it more by max_file_store"
    )]
    Room {
        /// What was to be set aside.
        wanted: u64,
    },
    /// The first bucket does not say which store it is.
    #[error(
        "stream {0} was not made by OSAPI: remove it if nothing in it is needed, or choose another namespace"
    )]
    NotAStore(String),
    /// Where durability is read.
    #[error("invalid login of the NATS system account")]
    System(#[source] InvalidLogin),
    /// An address of a monitoring port that cannot be one.
    #[error("invalid monitoring address '{}': must be like http://127.0.0.1:8222", .0.escape_debug())]
    Monitoring(String),
    /// JetStream refused to make a bucket.
    #[error("bucket {bucket} cannot be made: {description}")]
    Refused {
        /// The bucket.
        bucket: Bucket,
        /// What the server said.
        description: String,
    },
    /// JetStream did not answer.
    #[error("JetStream does not answer: check that a majority of the servers runs")]
    Unavailable(#[source] Source),
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What is said of a server that works, and should be newer.
pub(super) fn outdated(server: &str, version: Version) -> String {
    format!(
        "NATS server {server} has version {version}, which lacks security fixes: use {FIXED_IN}"
    )
}
