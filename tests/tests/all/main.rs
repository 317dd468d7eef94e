//! From end to end: the real program, real sockets, real processes, and nothing that reads the clock to judge.

#![expect(clippy::unwrap_used, reason = "all of this is tests, and none of it is anything else")]

mod bad_input;
mod docs;
mod doubles;
mod escapes;
mod fleet;
mod keys;
mod local;
mod members;
mod metrics;
mod nats;
mod operators;
mod output;
mod person;
mod policy;
mod processes;
mod restart;
mod roles;
mod scripts;
mod side_by_side;
mod structure;
mod surroundings;
mod targets;
mod tree;
mod waiting;
mod world;
