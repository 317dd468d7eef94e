//! How a client is made.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use osapi_core::job::limits::START_DEADLINE;

use crate::client::{Client, Settings};
use crate::error::{Error, ErrorKind};
use crate::retry::Pace;
use crate::transport::Transport;
use crate::url::BaseUrl;

/// Makes a [`Client`]. It starts with [`Client::builder`].
#[derive(Clone)]
pub struct Builder {
    url: String,
    token: Option<String>,
    connect_timeout: Duration,
    settings: Settings,
}

impl Builder {
    pub(crate) fn new(url: String) -> Self {
        let settings = Settings {
            timeout: Duration::from_secs(20),
            retry_for: START_DEADLINE,
            answer_max: 64 * 1024 * 1024,
            pace: Pace::DEFAULT,
            first_wait: Duration::from_secs(5),
            next_wait: Duration::from_secs(25),
            look_every: Duration::from_secs(1),
        };
        Self { url, token: None, connect_timeout: Duration::from_secs(5), settings }
    }

    /// The access token. Without one only the open endpoints answer: [`Client::health`] and [`Client::ready`].
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// How long one exchange with the server may take, beyond the time that the server is asked to wait for an outcome; 20 s by
    /// default.
    ///
    /// It does not bound how long a command may run. [`Command::send`](crate::Command::send) asks the server to wait in slices of at
    /// most 25 s, so that a silent connection is noticed and no proxy cuts a quiet one, and takes in all at most the command's timeout
    /// and what the server needs to be sure of an outcome.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// How long the TCP connection may take to be made; 5 s by default.
    #[must_use]
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// For how long a request that failed is sent again, counted from its first attempt; 30 s by default, which is the start deadline
    /// of a job, and at most that for what makes one. Zero: never, which suits a program with a person before it.
    ///
    /// Sent again is what met a connection that was refused or broke, no answer in time, or 502, 503, 504, or 429 with `Retry-After`.
    #[must_use]
    pub fn retry_for(mut self, retry_for: Duration) -> Self {
        self.settings.retry_for = retry_for;
        self
    }

    /// Largest answer that is taken, in bytes; 64 MiB by default, which is enough for 20,000 hosts with 3 KiB of output each.
    #[must_use]
    pub fn answer_limit(mut self, bytes: usize) -> Self {
        self.settings.answer_max = bytes;
        self
    }

    /// How the client waits and repeats.
    #[cfg(test)]
    pub(crate) fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when the URL is not that of a server, or the token holds characters that no token has;
    /// [`ErrorKind::Connect`] when the URL is https and the system has no certificates that can be read.
    pub fn build(self) -> Result<Client, Error> {
        let invalid = |what: String| Error::new(ErrorKind::InvalidRequest, what);
        let base: BaseUrl =
            self.url.parse().map_err(|err: crate::url::InvalidUrl| invalid(err.to_string()))?;
        let token = self.token.as_deref().map(bearer).transpose()?;
        let transport = if base.is_https() {
            Transport::tls(self.connect_timeout).map_err(|err| {
                let what = "cannot read the system's certificates, which https needs";
                Error::new(ErrorKind::Connect, what).because(err)
            })?
        } else {
            Transport::plain(self.connect_timeout)
        };
        Ok(Client::new(base, token, transport, self.settings))
    }
}

/// The header field that carries the token (RFC 6750 §2.1). It is marked as sensitive, so that no `Debug` shows it.
fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| fits);
    let mut value = value.ok_or_else(|| {
        let what = if token.is_empty() {
            "the token is empty: give one, or none at all"
        } else {
            "the token holds characters that no token has, such as a space or a line break"
        };
        Error::new(ErrorKind::InvalidRequest, what)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL is not parsed yet and may hold a password.
        f.debug_struct("Builder")
            .field("has_token", &self.token.is_some())
            .field("connect_timeout", &self.connect_timeout)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_never_shown() {
        let builder = Client::builder("http://user:hunter2@x").token("v4.public.hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        assert!(!format!("{:?}", builder.build().unwrap_err()).contains("hunter2"));
        let client = Client::builder("http://x").token("v4.public.hunter2").build().unwrap();
        let shown = format!("{client:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("http://x"), "{shown}");
        let token = bearer("v4.public.hunter2").unwrap();
        assert!(!format!("{token:?}").contains("hunter2"), "nor in a request that is shown");
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_refused_without_being_shown() {
        for token in ["", "hunter2 ", "hunter2\n", "hunter2\u{e9}"] {
            let err = Client::builder("http://x").token(token).build().unwrap_err();
            assert_eq!(err.kind(), ErrorKind::InvalidRequest);
            assert!(!format!("{err} {err:?}").contains("hunter2"));
        }
    }
}
