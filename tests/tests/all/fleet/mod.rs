//! The whole protocol between machines: controllers and agents of one process, over real servers.

mod client;
mod clocks;
mod footprint;
mod fresh;
mod hostile;
mod output;
mod reports;
mod world;
