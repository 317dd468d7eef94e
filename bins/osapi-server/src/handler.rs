//! What a handler gets: a request whose caller is known and allowed, with parameters and body parsed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::request::Parts;
use hyper::body::Incoming;
use osapi_core::api::Endpoint;
use osapi_core::auth::authorize::Permit;
use osapi_core::clock::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;

/// A request that passed steps 1 to 4.
pub(crate) struct Admitted {
    /// Everything of it but the body.
    pub(crate) head: Parts,
    /// The body, of which nothing was read.
    pub(crate) body: Incoming,
    /// Whether the body was read to its end.
    pub(crate) body_read: BodyRead,
    /// The raw segments of the path that fill its parameters.
    pub(crate) segments: Vec<(String, String)>,
    /// The proof that it may; none at an open endpoint.
    pub(crate) permit: Option<Permit>,
    /// When it arrived.
    pub(crate) arrived_at: Timestamp,
    /// See [`Call::hurry`].
    pub(crate) hurry: CancellationToken,
    /// The bounds of its body.
    pub(crate) limits: Limits,
}

/// A request for the endpoint `E`.
pub(crate) struct Call<E: Endpoint> {
    /// Its parameters in the path.
    pub(crate) path: E::Path,
    /// Its parameters in the query.
    pub(crate) query: E::Query,
    /// Its body.
    pub(crate) body: E::Body,
    /// The bytes of its body, as they arrived.
    pub(crate) bytes: Bytes,
    /// Everything else of it.
    pub(crate) head: Parts,
    /// When it arrived.
    pub(crate) arrived_at: Timestamp,
    /// Cancelled when the server shuts down or the client has left: who waits for something answers at once with what there is.
    pub(crate) hurry: CancellationToken,
}

/// Whether the body of a request was read to its end. If not, the connection cannot carry another request.
#[derive(Clone)]
pub(crate) struct BodyRead(Arc<AtomicBool>);

impl BodyRead {
    /// As it is at the start: `whole` if there is no body.
    pub(crate) fn new(whole: bool) -> Self {
        Self(Arc::new(AtomicBool::new(whole)))
    }

    /// Something of it is left.
    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Nothing of it is left.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether nothing of it is left.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
