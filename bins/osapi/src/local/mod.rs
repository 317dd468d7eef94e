//! Server, store and agent in one process, as `start` and `--local` run them.
//!
//! [`home`] opens what is on disk, [`node`] starts the parts on it and ends them, [`access`] makes the credential of the local
//! command line and keeps it fresh.

pub(crate) mod access;
pub(crate) mod error;
pub(crate) mod home;
pub(crate) mod node;

pub(crate) use error::NodeError;
pub(crate) use node::{Node, Plan};
