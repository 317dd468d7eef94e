//! What the OSAPI programs share besides the library.
//!
//! In the order of a start: the configuration ([`config`]), logging ([`logging`]), the data directory and its lock ([`datadir`]), the
//! keys in it ([`keystore`]), the credential of the local command line ([`credential`]), and the end: signals ([`signals`]), or an
//! error ([`fault`]), in which the words of others are shown and not obeyed ([`escape`]).

pub mod config;
pub mod credential;
pub mod datadir;
pub mod duration;
pub mod escape;
pub mod fault;
pub mod keystore;
pub mod logging;
mod private_file;
pub mod signals;
