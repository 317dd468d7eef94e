//! Whether anything of the product panicked, in whatever task.

use std::panic;
use std::sync::{Mutex, Once};

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Watches from now on. Other tests of this process are watched as well: none of them makes the product panic.
pub(super) fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            if place.contains("osapi-core/src/") {
                SEEN.lock().unwrap().push(place);
            }
            usual(info);
        }));
    });
}

pub(super) fn none_was_seen() {
    let seen = SEEN.lock().unwrap().clone();
    assert!(seen.is_empty(), "{seen:?}");
}
