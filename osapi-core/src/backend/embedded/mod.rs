//! The backend of one machine: a [`EmbeddedStore`] in one redb file, and an [`EmbeddedBus`] inside one process.
//!
//! A write goes through `store` into the queue of `commit`, which collects what arrives while a commit runs and hands it to
//! `disk` in one synced transaction; `feed` then tells the heads, and `watch` reads from the file what is new. `layout` is what
//! the file looks like, `open` how it is made and checked, `limits` what bounds it all.

pub mod bus;
pub mod limits;
pub mod open;
pub mod store;

mod batch;
mod commit;
mod disk;
mod feed;
mod layout;
mod watch;

#[cfg(test)]
mod tests;

pub use bus::EmbeddedBus;
pub use limits::{Cap, Limits};
pub use open::OpenError;
pub use store::{EmbeddedStore, Stats};
