//! The server over real sockets: first with handlers that say what reached them, then over a controller with an agent.

mod answers;
mod bodies;
mod connections;
pub(crate) mod fleet;
mod jobs;
mod logs;
mod output;
mod routes;
mod shutdown;
mod table;
mod tokens;
pub(crate) mod world;
