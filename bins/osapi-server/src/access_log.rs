//! One log line per request. It never holds a token, an argument, a variable or a body.

use osapi_core::id::{RequestId, TokenId};
use tokio::time::Instant;

/// Where access lines go, so that a filter can name them.
const TARGET: &str = "osapi_server::access";

/// The line of one request. It is written when it is dropped, so that also a request whose client left has one.
pub(crate) struct AccessLine {
    id: RequestId,
    begun: Instant,
    method: Option<&'static str>,
    template: Option<&'static str>,
    caller: Option<(String, TokenId)>,
    status: Option<u16>,
}

impl AccessLine {
    /// The line of a request that begins now.
    pub(crate) fn begin(id: RequestId) -> Self {
        let begun = Instant::now();
        Self { id, begun, method: None, template: None, caller: None, status: None }
    }

    /// Which endpoint it is for. Paths stand in the log as their templates: what fills them is the caller's.
    pub(crate) fn route(&mut self, method: &'static str, template: &'static str) {
        (self.method, self.template) = (Some(method), Some(template));
    }

    /// Whose token it came with.
    pub(crate) fn caller(&mut self, subject: &str, token: TokenId) {
        self.caller = Some((subject.to_owned(), token));
    }

    /// What it was answered.
    pub(crate) fn status(&mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (subject, token) = self.caller.as_ref().map(|(s, t)| (s.as_str(), t)).unzip();
        tracing::info!(
            target: TARGET,
            request_id = %self.id,
            method = self.method,
            path = self.template,
            status = self.status,
            duration_ms,
            subject,
            token_id = token.map(tracing::field::display),
            "{}",
            if self.status.is_some() { "answered" } else { "client left" },
        );
    }
}
