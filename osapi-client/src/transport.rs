//! One exchange with the server: a request out, a whole answer in, within bounds of time and memory.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::answer::Reply;
use crate::error::{Error, ErrorKind};
use crate::request::{Outgoing, Place};
use crate::retry::{Repeat, Setback, Trace};

/// Idle connections are closed before the server does it: its own limit is 30 s, and a request on a connection that is just being
/// closed is lost.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Connections to the server. HTTP/1.1, and no redirect is followed: the token is for one server only.
pub(crate) enum Transport {
    /// Without TLS. The system's certificates are not even read.
    Plain(legacy::Client<HttpConnector, Full<Bytes>>),
    /// With TLS, by the system's certificates.
    Tls(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Transport {
    pub(crate) fn plain(connect_timeout: Duration) -> Self {
        Self::Plain(pool().build(connector(connect_timeout)))
    }

    /// # Errors
    /// When the system has no certificates that can be read.
    pub(crate) fn tls(connect_timeout: Duration) -> io::Result<Self> {
        let mut tcp = connector(connect_timeout);
        tcp.enforce_http(false);
        // The provider is named: a program that links two has no default, and rustls would panic.
        let tls = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self::Tls(pool().build(tls)))
    }

    /// Sends `outgoing` and takes the whole answer, of at most `size_max` bytes, within `timeout` beyond the time that the server was
    /// asked to wait.
    pub(crate) async fn exchange(
        &self,
        outgoing: &Outgoing,
        timeout: Duration,
        size_max: usize,
    ) -> Result<Reply, Setback> {
        let limit = outgoing.wait.saturating_add(timeout);
        let answer = async {
            let response = self.send(outgoing.request()).await.map_err(Failure::Send)?;
            receive(response, size_max).await
        };
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer.map_err(|failure| failure.setback(&outgoing.place)),
            Err(_) => Err(Failure::Late(limit).setback(&outgoing.place)),
        }
    }

    fn send(&self, request: Request<Full<Bytes>>) -> legacy::ResponseFuture {
        match self {
            Self::Plain(client) => client.request(request),
            Self::Tls(client) => client.request(request),
        }
    }
}

fn connector(connect_timeout: Duration) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(connect_timeout));
    connector.set_nodelay(true);
    // A server that is cut off while it is waited for is noticed although nothing is sent.
    connector.set_keepalive(Some(Duration::from_secs(15)));
    connector
}

fn pool() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_MAX);
    builder
}

async fn receive(response: Response<Incoming>, size_max: usize) -> Result<Reply, Failure> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, size_max).collect().await.map_err(|err| {
        if err.is::<LengthLimitError>() { Failure::TooLarge(size_max) } else { Failure::Read(err) }
    })?;
    Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
}

/// Why there is no whole answer.
enum Failure {
    Send(legacy::Error),
    Read(Box<dyn StdError + Send + Sync>),
    TooLarge(usize),
    Late(Duration),
}

impl Failure {
    fn setback(self, place: &Place) -> Setback {
        match self {
            Self::Send(err) if err.is_connect() => {
                let repeat = if may_pass(&err) { Repeat::Paced } else { Repeat::Never };
                let what = format!("cannot connect to {}", place.server());
                let error = Error::new(ErrorKind::Connect, what).because(Broken(err));
                Setback { error, repeat, trace: Trace::None }
            }
            Self::Send(err) => broke(place, Broken(err).into()),
            Self::Read(err) => broke(place, err),
            Self::TooLarge(size_max) => {
                let what = format!(
                    "{place} answered more than {size_max} bytes, which is the limit of this client"
                );
                let error = Error::new(ErrorKind::Protocol, what);
                Setback { error, repeat: Repeat::Never, trace: Trace::Possible }
            }
            Self::Late(limit) => {
                let what = format!("{place} did not answer within {} s", limit.as_secs_f32());
                let error = Error::new(ErrorKind::Timeout, what);
                Setback { error, repeat: Repeat::Paced, trace: Trace::Possible }
            }
        }
    }
}

fn broke(place: &Place, source: Box<dyn StdError + Send + Sync>) -> Setback {
    let what = format!("the connection broke before {place} had answered");
    let error = Error::new(ErrorKind::Connect, what).because(source);
    Setback { error, repeat: Repeat::Paced, trace: Trace::Possible }
}

/// Whether a connection may succeed later. A name that does not resolve and a certificate that is not trusted are for a person to
/// mend, who wants to know now.
fn may_pass(err: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(err);
    while let Some(err) = next {
        if let Some(err) = err.downcast_ref::<io::Error>() {
            return matches!(
                err.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::NetworkDown
            );
        }
        next = err.source();
    }
    false
}

/// An error of the HTTP client without its outermost layer, which says only "client error".
#[derive(Debug)]
struct Broken(legacy::Error);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.source() {
            Some(inner) => fmt::Display::fmt(inner, f),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl StdError for Broken {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()?.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn only_what_time_may_mend_is_tried_again() {
        for (kind, expected) in [
            (io::ErrorKind::ConnectionRefused, true),
            (io::ErrorKind::TimedOut, true),
            (io::ErrorKind::InvalidData, false), // how rustls refuses a certificate
            (io::ErrorKind::Other, false),       // how a name does not resolve
        ] {
            assert_eq!(may_pass(&Outer(kind.into())), expected, "{kind}");
        }
        assert!(!may_pass(&std::fmt::Error));
    }
}
