//! Work that may block, off the runtime's workers.

/// Runs `work` on a thread where it may block. A panic in it goes on here.
///
/// # Cancel safety
/// If it is dropped, `work` still runs to its end.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(err) if err.is_panic() => std::panic::resume_unwind(err.into_panic()),
        // The runtime is shutting down: whoever awaits this is dropped at this very await.
        Err(_) => std::future::pending().await,
    }
}
