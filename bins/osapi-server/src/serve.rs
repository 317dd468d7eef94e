//! The server: accepts connections until it is told to stop, and says how it ended.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use osapi_core::api::endpoints::table;
use osapi_core::auth::role::Roles;
use osapi_core::clock::Clock;
use osapi_core::controller::Controller;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::Gate;
use crate::limits::Limits;
use crate::pipeline::{Life, Pipeline};
use crate::router::RouterError;
use crate::{connection, handlers};

/// Pause after a failed accept: the usual reason is that the process has no descriptor left, and then trying at once only burns.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server works with.
pub struct Server {
    /// What every request is passed to.
    pub controller: Controller,
    /// What roles grant.
    pub roles: Roles,
    /// The clock by which tokens are valid and requests arrive.
    pub clock: Arc<dyn Clock>,
    /// What one client may take.
    pub limits: Limits,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every request that had begun was answered.
    Drained,
    /// The time to drain ran out, and this many connections were cut.
    Cut {
        /// How many.
        connections: usize,
    },
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("every request was answered"),
            Self::Cut { connections: 1 } => f.write_str("1 connection cut"),
            Self::Cut { connections } => write!(f, "{connections} connections cut"),
        }
    }
}

/// Serves `listener` until `shutdown` is cancelled. Then nothing new is accepted, who waits for a job is told at once how it stands,
/// and what is not answered within [`Limits::drain_time`] is cut. Nothing of the server is left when this returns.
///
/// # Errors
/// When the handlers do not fit the endpoint table; nothing was accepted then.
///
/// # Cancel safety
/// Not cancel-safe: connections go on by themselves. Cancel `shutdown` instead.
pub async fn serve(
    listener: TcpListener,
    server: Server,
    shutdown: CancellationToken,
) -> Result<Ended, RouterError> {
    let Server { controller, roles, clock, limits } = server;
    let router = handlers::router().build(&table())?;
    let gate = Gate { keys: controller.key_ring(), fleet: controller.fleet(), roles, clock };
    let life = Life { shutdown, cut: CancellationToken::new(), requests: TaskTracker::new() };
    let pipeline = Pipeline { router, gate, state: controller, limits, life };
    Ok(run(listener, Arc::new(pipeline)).await)
}

/// Serves `listener` through `pipeline` until the end of its life.
pub(crate) async fn run<S: Clone + Send + Sync + 'static>(
    listener: TcpListener,
    pipeline: Arc<Pipeline<S>>,
) -> Ended {
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(pipeline.limits.connections));
    let accept_all = async {
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await;
            let slot = slot.expect("the semaphore is never closed");
            let (stream, peer) = accept(&listener).await;
            let cut = pipeline.life.cut.clone();
            let connection = connection::run(stream, peer, Arc::clone(&pipeline));
            connections.spawn(async move {
                cut.run_until_cancelled_owned(connection).await;
                drop(slot);
            });
        }
    };
    // What is dropped at the end is a connection that nobody has said anything on yet.
    tokio::select! {
        () = pipeline.life.shutdown.cancelled() => {}
        () = accept_all => {}
    }
    drop(listener);
    drain(&connections, &pipeline.life, pipeline.limits.drain_time).await
}

async fn drain(connections: &TaskTracker, life: &Life, time: Duration) -> Ended {
    tracing::info!(connections = connections.len(), "no longer accepting connections");
    connections.close();
    life.requests.close();
    let all = async {
        connections.wait().await;
        life.requests.wait().await;
    };
    let ended = match tokio::time::timeout(time, all).await {
        Ok(()) => Ended::Drained,
        Err(_) => Ended::Cut { connections: connections.len() },
    };
    life.cut.cancel();
    connections.wait().await;
    life.requests.wait().await;
    tracing::info!(?ended, "HTTP server ended");
    ended
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written in one piece: waiting for more only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
