//! The rules of the machine, driven without a runtime.

mod cancel;
mod claim;
mod claim_crash;
mod claim_property;
mod crash;
mod delivery;
mod drain;
mod intake;
mod policy;
mod property;
mod seen;
mod session;
mod start;
mod world;
