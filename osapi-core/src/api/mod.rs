//! The HTTP contract, sans I/O: every [`endpoint`] declared once, the [`types`] of its bodies, its [`params`], and the
//! [`problem`]s that it answers. Router, client, command line, OpenAPI document and tests come from the table in [`endpoints`].

pub mod endpoint;
pub mod endpoints;
pub mod header;
mod health;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod params;
pub mod problem;
pub mod types;

pub use endpoint::{Access, Endpoint, Entry, Info, Method, path_of};
pub use params::Params;
pub use problem::{Code, Problem};
