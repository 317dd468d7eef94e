//! Waiting in tests for what other tasks bring about.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Far longer than anything a test waits for, so that what never comes fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(120);

/// Looks until it is so. It sleeps between two looks, since a paused clock stands still for as long as some task only yields: what
/// waits for the next timer would never come.
pub(crate) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let looks = async {
        while !is_so().await {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, looks).await.expect("what the test waits for comes within two minutes");
}
