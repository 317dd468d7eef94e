//! The rules of the machine, driven without a runtime.

mod cancel;
mod claim;
mod claim_crash;
mod claim_refused;
mod crash;
mod delivery;
mod drain;
mod intake;
mod model;
mod policy;
mod repair;
mod seen;
mod session;
mod start;
mod world;
