//! What tests and benches of several packages need: a private, real `nats-server`, alone or as a cluster, a link to it that can be bad, and
//! waiting with a limit.
//!
//! Every [`NatsServer`] listens on a loopback address of its own, at ports that the kernel chose, and keeps its streams in a directory
//! that goes with it; so any number of tests run at once, and a server that was killed comes back at the same address with the same store.
//!
//! The program is the one that `OSAPI_TEST_NATS_SERVER` names, else a fitting one on the `PATH`, else the one that `tests/run` has put into
//! `target/`; see [`binary`].

pub mod binary;
pub mod cluster;
pub mod proxy;
pub mod server;
pub mod wait;

pub use cluster::NatsCluster;
pub use proxy::{Fault, Proxy};
pub use server::NatsServer;
