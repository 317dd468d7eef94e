//! Configuration: a YAML file, overridden by environment variables.
//!
//! A mistake of syntax or type ends the reading and is shown with its place and an excerpt. Everything else that is wrong, unknown
//! keys, values out of bounds, custom roles, variables, is reported at once.

mod bounds;
mod environment;
mod load;
mod model;
mod nats;
mod problem;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod unknown;

pub use environment::{RESERVED, UnknownVariable, variables};
pub use load::{DEFAULT_FILE, Loaded, Source, load, message};
pub use model::{Agent, Api, Config, Format, Jobs, Level, Log, Role, Security, Server, Store};
pub use nats::{Nats, Tls};
pub use problem::{ConfigError, Problem};
pub use text::parse_size;
