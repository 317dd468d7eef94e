//! The whole protocol between machines: controllers and agents of one process, over real servers.

mod footprint;
mod fresh;
mod reports;
mod world;
