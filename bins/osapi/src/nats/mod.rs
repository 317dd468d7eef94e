//! What `nats config` writes: [`conf`] is the configuration of a `nats-server`, [`files`] everything that is made for a fleet, and
//! [`node`] how a server is named on the command line. Pure.

pub(crate) mod conf;
pub(crate) mod files;
pub(crate) mod node;

pub(crate) use node::Node;
