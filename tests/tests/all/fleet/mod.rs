//! The whole protocol between machines: controllers and agents of one process, over real servers.

mod footprint;
mod reports;
mod world;
