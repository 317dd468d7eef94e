//! What one client may take of the server.

use std::time::Duration;

use osapi_core::job::limits::HTTP_BODY_MAX;
use osapi_service::config;

/// Bounds of the HTTP server. The defaults suit a fleet; tests make them small.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once. More wait in the kernel's backlog until one ends.
    pub connections: usize,
    /// From the start of a connection, or the end of an answer, to the end of the next request's header. So it also ends idle
    /// connections: clients keep theirs for a shorter time.
    pub header_time: Duration,
    /// From a request's header to the end of its body.
    pub body_time: Duration,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// How long a client may take no byte of an answer.
    pub stall_time: Duration,
    /// For how long what a client still sends is read and thrown away after an answer that ends its connection.
    pub linger_time: Duration,
    /// From the start of a shutdown to the moment at which what is still going on is cut.
    pub drain_time: Duration,
}

impl Limits {
    /// The bounds in a configuration.
    #[must_use]
    pub fn of(config: &config::Server) -> Self {
        Self {
            connections: config.max_connections,
            header_time: config.header_timeout,
            body_time: config.body_timeout,
            drain_time: config.drain,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            header_time: Duration::from_secs(30),
            body_time: Duration::from_secs(30),
            body_bytes: HTTP_BODY_MAX,
            stall_time: Duration::from_secs(30),
            linger_time: Duration::from_secs(2),
            drain_time: Duration::from_secs(10),
        }
    }
}
