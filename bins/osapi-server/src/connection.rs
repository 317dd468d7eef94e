//! One connection: HTTP/1.1 with timeouts, and an end that lets the client read the last answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::failure::chain;
use crate::handler::BodyRead;
use crate::pipeline::Pipeline;
use crate::stall::Stall;

/// Bytes of a request's header, and of what is buffered of its body.
const BUFFER_MAX: usize = 64 * 1024;
/// Bytes that are read and thrown away after the last answer.
const LINGER_MAX: usize = 4 * 1024 * 1024;

/// Serves `stream` until the client closes it, it is idle for too long, an answer ends it, or the server shuts down.
pub(crate) async fn run<S: Clone + Send + Sync + 'static>(
    stream: TcpStream,
    peer: SocketAddr,
    pipeline: Arc<Pipeline<S>>,
) {
    let all_read = BodyRead::new(true);
    let shutdown = pipeline.life.shutdown.clone();
    let limits = pipeline.limits;
    let service = service_fn(|request| {
        let (pipeline, all_read) = (Arc::clone(&pipeline), &all_read);
        Box::pin(async move {
            let handled = pipeline.answer(request, peer).await;
            if !handled.body_read {
                all_read.clear();
            }
            Ok::<_, Infallible>(handled.response)
        })
    });
    let io = TokioIo::new(Stall::new(stream, limits.stall_time));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new()) // without one the next line does nothing
        .header_read_timeout(limits.header_time)
        .max_buf_size(BUFFER_MAX)
        .serve_connection(io, service);

    // Both branches only poll: a connection that is polled again goes on where it was.
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        () = shutdown.cancelled() => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    match ended {
        Ok(()) => {}
        Err(error) if error.is_user() => {
            tracing::warn!(error = chain(&error), "an answer broke off");
        }
        Err(error) => tracing::debug!(error = chain(&error), "connection ended early"),
    }
    let mut stream = connection.into_parts().io.into_inner().into_inner();
    if stream.shutdown().await.is_ok() && !all_read.is_whole() {
        linger(stream, limits.linger_time).await;
    }
}

/// Reads what a client still sends, for at most `time`, and throws it away. Closing a socket with unread bytes makes the kernel reset
/// it, and the client then loses an answer that it has not read yet (RFC 9112 §9.6).
async fn linger(mut stream: TcpStream, time: Duration) {
    let drain = async {
        let (mut buffer, mut left) = ([0; 8 * 1024], LINGER_MAX);
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            left = left.saturating_sub(count);
            if left == 0 {
                break;
            }
        }
    };
    if tokio::time::timeout(time, drain).await.is_err() {
        tracing::debug!("client kept sending after the last answer");
    }
}
