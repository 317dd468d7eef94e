//! The contract of [`Store`] and [`Bus`](super::Bus) as checks that every implementation and every wrapper passes.
//!
//! Each check uses keys and names of its own, so the suites run also on a store that others use and that keeps what earlier runs
//! wrote. A check that fails panics and says what was promised. No check waits for time to pass: that something does not come is
//! seen by something later coming first. Waiting is limited all the same, so that a broken backend fails instead of hanging.

mod bus;
mod persistence;
mod space;
mod watches;
mod writes;

use std::sync::Arc;

pub use bus::bus_suite;
pub use persistence::persistence_suite;

use super::Store;
use space::Space;

/// Where stores that keep the contract differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promises {
    /// A running watch tells removals. One that does not may leave them to the next full scan.
    pub tells_removals: bool,
}

/// Runs a check with keys of its own and says its name if it fails.
macro_rules! check {
    ($store:expr, $($module:ident :: $name:ident),* $(,)?) => {
        $($module::$name(&Space::new(&$store, stringify!($name))).await;)*
    };
}

/// Checks a store.
///
/// # Panics
/// When the store breaks a promise.
pub async fn store_suite(store: Arc<dyn Store>, promises: Promises) {
    check!(
        store,
        writes::an_absent_record_is_none,
        writes::a_created_record_is_there,
        writes::create_fails_when_the_key_is_present,
        writes::one_of_many_creates_wins,
        writes::put_writes_there_or_not,
        writes::update_needs_the_present_revision,
        writes::one_of_many_updates_wins,
        writes::write_once_buckets_refuse_a_second_write,
        writes::values_are_bounded,
        writes::values_are_bytes,
        writes::buckets_are_apart,
        writes::purge_takes_whole_tokens,
        writes::a_purged_key_can_be_created_again,
        writes::the_head_never_goes_back,
        writes::a_healthy_store_says_so,
        watches::it_tells_what_is_there_and_then_what_comes,
        watches::it_goes_on_after_a_cursor,
        watches::it_keeps_the_order_of_cursors,
        watches::it_tells_its_prefix_only,
        watches::it_tells_the_last_value,
        watches::it_does_not_tell_earlier_removals,
        watches::beyond_the_end_a_rescan_is_called_for,
        watches::a_slow_watcher_loses_nothing,
        watches::nothing_falls_between_what_is_there_and_what_comes,
        watches::it_reaches_the_head,
        watches::it_reaches_the_head_over_a_removal,
    );
    if promises.tells_removals {
        check!(store, watches::it_tells_removals_in_order);
    }
}
