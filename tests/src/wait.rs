//! Waiting for a condition. No test concludes anything from how long something took.

use std::time::{Duration, Instant};

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What `probe` finds, as soon as it finds something.
///
/// # Panics
/// When it finds nothing for a long time; `what` was waited for.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begin = now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "real processes live by the real clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "between two looks at a condition, in no runtime")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
