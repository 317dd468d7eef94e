//! What the OSAPI programs share besides the library.
//!
//! In the order of a start ([`startup`]): the configuration ([`config`]), logging ([`logging`]), the data directory and its lock
//! ([`datadir`]), the keys in it ([`keystore`]; [`broker`] for those of NATS), the connection to NATS ([`nats`]), the credential of the
//! local command line ([`credential`]), how a host comes to a fleet ([`invitation`]), and the end: signals ([`signals`]), or an error ([`fault`]), in which the words of others are
//! shown and not obeyed ([`escape`]).

pub mod broker;
pub mod config;
pub mod credential;
pub mod datadir;
pub mod duration;
pub mod escape;
pub mod fault;
pub mod invitation;
pub mod keystore;
pub mod logging;
pub mod nats;
pub mod private_file;
pub mod signals;
pub mod startup;
