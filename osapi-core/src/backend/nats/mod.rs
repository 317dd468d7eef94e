//! The backend between machines: a [`NatsStore`] on JetStream and a [`NatsBus`] on core NATS, over one connection, [`Nats`].
//!
//! `options` say how to connect, `login` who, `connect` makes the connection and checks the server by its `version`, and `connection`
//! keeps it: `signals` is what it tells of itself, `inbox` where answers arrive. On it stand `bus` with its `relay`, and the store: `open`
//! makes its buckets with their `settings` or checks them, `api` is what JetStream is asked, `store` reads and writes, `watch` follows, and
//! `progress` decides how far it has come; `keeper` looks whether it is still the same, and `durability` whether it syncs. All names stand in `names`; `jwt` is what makes users of a server in operator mode.

pub mod jwt;
pub mod names;

mod api;
mod bus;
mod connect;
mod connection;
mod durability;
mod error;
mod inbox;
mod keeper;
mod login;
mod open;
mod options;
mod progress;
mod pulse;
mod relay;
mod settings;
mod signals;
mod store;
mod version;
mod watch;

pub use bus::NatsBus;
pub use connect::check_address;
pub use connection::Nats;
pub use error::{ConnectError, OpenError};
pub use login::InvalidLogin;
pub use names::Namespace;
pub use options::{DurabilitySource, Login, Options, StoreOptions, Tls};
pub use settings::Difference;
pub use store::NatsStore;
