//! The way of one request, in numbered steps:
//!
//! 1. an id, made here;
//! 2. the route (`router`);
//! 3. the token, and 4. the permission (`gate`), before a byte of the body is read;
//! 5. the parameters (`params`);
//! 6. the body, within its bounds (`body`);
//! 7. the handler (`handlers`);
//! 8. the problem, if any step found one (`failure`).

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
#[cfg(feature = "crash-points")]
use osapi_core::api::Method;
use osapi_core::api::header::TRACEPARENT;
use osapi_core::api::{Access, Code, Endpoint};
use osapi_core::auth::authorize::{Context, Permit};
#[cfg(feature = "crash-points")]
use osapi_core::crash::{self, Place, Side};
use osapi_core::id::RequestId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::access_log::AccessLine;
use crate::answer::{self, Answer, Body};
use crate::failure::Failure;
use crate::gate::Gate;
use crate::handler::{Admitted, BodyRead, Call};
use crate::limits::Limits;
use crate::router::{Mounted, Router};
use crate::{body, params};

/// What all requests share. `S` is what every handler gets.
pub(crate) struct Pipeline<S> {
    /// The endpoints.
    pub(crate) router: Router<S>,
    /// Who may.
    pub(crate) gate: Gate,
    /// What handlers work with.
    pub(crate) state: S,
    /// What one client may take.
    pub(crate) limits: Limits,
    /// How it ends.
    pub(crate) life: Life,
}

/// The life of a server.
pub(crate) struct Life {
    /// Nothing new is begun.
    pub(crate) shutdown: CancellationToken,
    /// Nothing is finished any more.
    pub(crate) cut: CancellationToken,
    /// The requests that are in steps 5 to 7.
    pub(crate) requests: TaskTracker,
}

/// A response, and whether the request's body was read to its end. If not, the connection ends with the response.
pub(crate) struct Handled {
    pub(crate) response: Response<Body>,
    pub(crate) body_read: bool,
}

impl<S: Clone + Send + Sync + 'static> Pipeline<S> {
    /// Takes `request` through every step.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Handled {
        // 1. The id. A client's own is not taken: two requests must not share one in the log.
        let id = RequestId::random();
        let mut line = AccessLine::begin(id);
        let body_read = BodyRead::new(request.body().is_end_stream());

        let steps = self.steps(request, peer, id, body_read.clone(), &mut line);
        let outcome = steps.instrument(tracing::info_span!("request", %id)).await;

        // 8. The problem.
        let mut response = outcome.unwrap_or_else(|failure| {
            failure.log(id);
            failure.into_response(id)
        });
        answer::finish(response.headers_mut(), id);
        let body_read = body_read.is_whole();
        if !body_read || self.life.shutdown.is_cancelled() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        line.status(response.status().as_u16());
        Handled { response, body_read }
    }

    async fn steps(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        id: RequestId,
        body_read: BodyRead,
        line: &mut AccessLine,
    ) -> Result<Response<Body>, Failure> {
        let arrived_at = self.gate.clock.wall();
        let (head, body) = request.into_parts();

        // 2. The route.
        let (mounted, segments) = self.router.find(&head.method, head.uri.path())?;
        line.route(mounted.info.method.as_str(), mounted.info.path);
        if self.life.shutdown.is_cancelled() {
            let detail = "the server is shutting down, and nothing was done: try again";
            return Err(Failure::new(Code::ShuttingDown, detail));
        }

        // 3. and 4. The token and the permission.
        let permit = self.permit(mounted, &head.headers, peer, id, line)?;

        // Who leaves, or the end of the server, hurries the handler: this guard goes with this future.
        let hurry = self.life.shutdown.child_token();
        let _left = hurry.clone().drop_guard();
        let limits = self.limits;
        let admitted =
            Admitted { head, body, body_read, segments, permit, arrived_at, hurry, limits };
        self.run(mounted, admitted).await
    }

    fn permit(
        &self,
        mounted: &Mounted<S>,
        headers: &HeaderMap,
        peer: SocketAddr,
        request_id: RequestId,
        line: &mut AccessLine,
    ) -> Result<Option<Permit>, Failure> {
        let access = &mounted.info.access;
        if *access == Access::Open {
            return Ok(None);
        }
        let claims = self.gate.identify(headers)?;
        line.caller(&claims.sub, claims.jti);
        let trace = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let trace = trace.filter(|text| text.len() <= 128).map(Into::into);
        let context = Context { request_id, source: Some(peer), trace };
        self.gate.permit(&claims, access, context).map(Some)
    }

    /// Runs steps 5 to 7 in a task of their own: a panic ends this request and nothing else, and a client that leaves does not stop a
    /// job that is half written.
    async fn run(
        &self,
        mounted: &Mounted<S>,
        admitted: Admitted,
    ) -> Result<Response<Body>, Failure> {
        let steps = (mounted.run)(self.state.clone(), admitted);
        let cut = self.life.cut.clone();
        let task = async move { cut.run_until_cancelled_owned(steps).await };
        match self.life.requests.spawn(task.in_current_span()).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                let detail = "the server shut down before the request was answered";
                Err(Failure::new(Code::ShuttingDown, detail))
            }
            Err(panic) => Err(Failure::internal(panic)),
        }
    }
}

/// Steps 5 to 7 of the endpoint `E`.
pub(crate) async fn typed<E, F>(
    admitted: Admitted,
    handler: impl FnOnce(Option<Permit>, Call<E>) -> F,
) -> Result<Response<Body>, Failure>
where
    E: Endpoint,
    F: Future<Output = Result<Answer<E::Answer>, Failure>>,
{
    let Admitted { head, body, body_read, segments, permit, arrived_at, hurry, limits } = admitted;

    // 5. The parameters.
    let path = params::path::<E::Path>(&segments)?;
    let query = params::query::<E::Query>(head.uri.query())?;

    // 6. The body.
    let (bytes, body) = typed_body::<E>(&head.headers, body, &body_read, &limits).await?;

    // 7. The handler.
    let call = Call { path, query, body, bytes, head, arrived_at, hurry };
    #[cfg(feature = "crash-points")]
    pass::<E>(Side::Before);
    let answer = handler(permit, call).await?;
    #[cfg(feature = "crash-points")]
    pass::<E>(Side::After);
    answer.into_response()
}

/// Passes the crash point of requests that change something.
#[cfg(feature = "crash-points")]
fn pass<E: Endpoint>(side: Side) {
    if E::INFO.method != Method::Get {
        crash::pass(Place::Request, side, None);
    }
}

async fn typed_body<E: Endpoint>(
    headers: &HeaderMap,
    body: Incoming,
    body_read: &BodyRead,
    limits: &Limits,
) -> Result<(Bytes, E::Body), Failure> {
    if size_of::<E::Body>() == 0 {
        body::none(body, limits).await?;
        body_read.set();
        // The one value of a type without size is written as null.
        let nothing = serde_json::from_slice(b"null").map_err(Failure::internal)?;
        return Ok((Bytes::new(), nothing));
    }
    body::check_type(headers)?;
    let bytes = body::read(body, limits).await?;
    body_read.set();
    let body = body::parse(&bytes)?;
    Ok((bytes, body))
}
