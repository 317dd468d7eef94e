//! HTTP around the controller: HTTP/1.1, one request at a time per connection, and no rule of its own about jobs.
//!
//! In the order in which a request flows: [`listen`] binds, [`mod@serve`] accepts and ends, `connection` speaks HTTP with timeouts,
//! `pipeline` takes one request through its numbered steps (`router`, `gate`, `params`, `body`, then one of the `handlers`), and
//! `answer` or `failure` makes the response (`metrics`: that of figures). [`program`] is `osapi-server` from its start to its end. Which endpoints there are is declared in [`osapi_core::api::endpoints`], nowhere here.

mod access_log;
mod answer;
mod body;
mod connection;
mod failure;
mod gate;
mod handler;
mod handlers;
mod idempotency;
pub mod limits;
pub mod listen;
mod metrics;
mod params;
mod pipeline;
mod prefer;
pub mod program;
mod range;
pub mod router;
pub mod serve;
mod stall;

use osapi_core::controller;
use osapi_service::config::Config;

pub use limits::Limits;
pub use listen::{BindError, bind};
pub use router::RouterError;
pub use serve::{Ended, Server, serve};

/// How the controller of a server with this configuration behaves.
#[must_use]
pub fn controller_config(config: &Config) -> controller::Config {
    controller::Config { retention: config.store.retention, max_jobs: config.jobs.max_retained }
}

#[cfg(test)]
mod tests;
