//! The client, and one way for every call: declare, send, send again where that is safe, decode.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use osapi_core::api::Endpoint;
use osapi_core::api::endpoints::{HealthDetails, HealthGet, HealthReady};
use osapi_core::api::types::{Health, HealthStatus, HostResult, Ready};
use osapi_core::id::{AgentName, JobId};
use osapi_core::job::report::Stream;
use tokio::time::{Instant, sleep};

use crate::agents::Agents;
use crate::answer::Reply;
use crate::builder::Builder;
use crate::error::Error;
use crate::hosts::Hosts;
use crate::job::Job;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::node::{IntoTarget, Node};
use crate::outcome;
use crate::output::OutputReader;
use crate::request::Outgoing;
use crate::retry::{Attempts, Pace, dice};
use crate::transport::Transport;
use crate::url::BaseUrl;

/// A client of one OSAPI server. Cloning is cheap, and clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    base: BaseUrl,
    token: Option<HeaderValue>,
    transport: Transport,
    settings: Settings,
}

/// How a client waits and repeats.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// One exchange, beyond the time that the server is asked to wait.
    pub(crate) timeout: Duration,
    /// No attempt of a request begins later than this after its first.
    pub(crate) retry_for: Duration,
    /// Largest answer, in bytes.
    pub(crate) answer_max: usize,
    /// Pauses between attempts.
    pub(crate) pace: Pace,
    /// The server waits this long before it answers what makes a job: short, so that the job's id is known soon.
    pub(crate) first_wait: Duration,
    /// The server waits this long before it answers where a job stands: shorter than the 60 s after which proxies cut a quiet
    /// connection.
    pub(crate) next_wait: Duration,
    /// Least time between two looks at a job, for a server that does not wait.
    pub(crate) look_every: Duration,
}

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:8080`: http or https, a host, perhaps a port and a prefix of the
    /// path.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    pub(crate) fn new(
        base: BaseUrl,
        token: Option<HeaderValue>,
        transport: Transport,
        settings: Settings,
    ) -> Self {
        Self { inner: Arc::new(Inner { base, token, transport, settings }) }
    }

    /// The hosts that `target` names, to run something on: a [`Target`](crate::Target) or its text, such as `web-01`, `group:web` or `_all`. A text that is no
    /// target is refused when the command is sent.
    pub fn node(&self, target: impl IntoTarget) -> Node {
        Node::new(self.clone(), target.into_target())
    }

    /// The hosts that `target` means, to look at. A text that is no target is refused when it is asked about.
    pub fn target(&self, target: impl IntoTarget) -> Hosts {
        Hosts::new(self.clone(), target.into_target())
    }

    /// A job that exists, by its id.
    #[must_use]
    pub fn job(&self, id: JobId) -> Job {
        Job::new(self.clone(), id)
    }

    /// Jobs that exist.
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        Jobs::new(self.clone())
    }

    /// Registered agents.
    #[must_use]
    pub fn agents(&self) -> Agents {
        Agents::new(self.clone())
    }

    /// The keys of the fleet.
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys::new(self.clone())
    }

    /// All that was kept of one output stream of one host, in pieces.
    #[must_use]
    pub fn output(&self, job: JobId, host: &AgentName, stream: Stream) -> OutputReader {
        OutputReader::new(self.clone(), job, host.clone(), stream)
    }

    /// All that was kept of one output stream of a row: what the row carries, or, if that is only its beginning, what it is the
    /// beginning of.
    ///
    /// # Errors
    /// [`ErrorKind::NoOutput`](crate::ErrorKind::NoOutput) when there is none yet or it may not be seen; otherwise those of
    /// [`OutputReader::bytes`].
    pub async fn full_output(
        &self,
        job: JobId,
        row: &HostResult,
        stream: Stream,
    ) -> Result<Bytes, Error> {
        // The link is not followed as it stands: the token goes to the server that it was given for.
        if outcome::is_excerpt(row, stream) {
            return self.output(job, &row.hostname, stream).bytes().await;
        }
        Ok(outcome::carried(row, stream)?.into_owned().into())
    }

    /// Whether the server's process answers. It needs no token, and is asked once.
    ///
    /// # Errors
    /// When it does not.
    pub async fn health(&self) -> Result<Health, Error> {
        self.call_once::<HealthGet>().await
    }

    /// Whether the server takes requests. It needs no token, and is asked once.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when it does not yet; otherwise as [`Client::health`].
    pub async fn ready(&self) -> Result<Ready, Error> {
        self.call_once::<HealthReady>().await
    }

    /// The health in detail: store, bus, agents, jobs. It is asked once.
    ///
    /// # Errors
    /// When the server does not answer, or the token lacks `health:read`.
    pub async fn status(&self) -> Result<HealthStatus, Error> {
        self.call_once::<HealthDetails>().await
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// A request to `E` of this server.
    pub(crate) fn request<E: Endpoint>(
        &self,
        path: &E::Path,
        query: &E::Query,
        body: &E::Body,
    ) -> Result<Outgoing, Error> {
        Outgoing::to::<E>(&self.inner.base, self.inner.token.as_ref(), path, query, body)
    }

    /// Calls `E`, again where that is safe and may help.
    pub(crate) async fn call<E: Endpoint>(
        &self,
        path: &E::Path,
        query: &E::Query,
        body: &E::Body,
    ) -> Result<E::Answer, Error> {
        let outgoing = self.request::<E>(path, query, body)?;
        self.deliver(&outgoing).await?.decode(&outgoing.place)
    }

    /// Calls `E` once: what is asked is how things are now.
    async fn call_once<E: Endpoint<Path = (), Query = (), Body = ()>>(
        &self,
    ) -> Result<E::Answer, Error> {
        let outgoing = self.request::<E>(&(), &(), &())?;
        self.deliver_within(&outgoing, Duration::ZERO).await?.decode(&outgoing.place)
    }

    /// Sends `outgoing` until it is answered, as long as the settings allow.
    pub(crate) async fn deliver(&self, outgoing: &Outgoing) -> Result<Reply, Error> {
        self.deliver_within(outgoing, self.inner.settings.retry_for).await
    }

    pub(crate) async fn deliver_within(
        &self,
        outgoing: &Outgoing,
        budget: Duration,
    ) -> Result<Reply, Error> {
        let Settings { timeout, answer_max, pace, .. } = *self.settings();
        let begun = Instant::now();
        let mut attempts = Attempts::new(budget, pace, outgoing.effect);
        loop {
            let reply = self.inner.transport.exchange(outgoing, timeout, answer_max).await;
            let setback = match reply.and_then(|reply| reply.accept(&outgoing.place)) {
                Ok(reply) => return Ok(reply),
                Err(setback) => setback,
            };
            let pause = attempts.after(&outgoing.place, setback, begun.elapsed(), dice())?;
            sleep(pause).await;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &format_args!("{}", self.inner.base))
            .field("has_token", &self.inner.token.is_some())
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}
