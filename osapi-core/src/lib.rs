//! The library behind OSAPI: run a command on some Linux hosts, and know for every one of them what happened.
//!
//! In the order in which a request flows: what is said over HTTP ([`api`]), who may ([`auth`]), what is asked ([`job`]), what
//! controllers and agents say to each other ([`message`]) over a store and a bus ([`backend`]), who decides and records
//! ([`controller`]), who starts and remembers ([`agent`]), and what performs ([`executor`]). [`id`] and [`clock`] are beneath all.
//!
//! Without features the crate is ids, the job model, permission names and the API contract, and no runtime: what a client needs.

pub mod clock;
pub mod id;

#[cfg(feature = "agent")]
pub mod agent;
pub mod api;
pub mod auth;
#[cfg(feature = "runtime")]
pub mod backend;
#[cfg(feature = "agent")]
mod blocking;
#[cfg(feature = "controller")]
pub mod controller;
#[cfg(feature = "crash-points")]
pub mod crash;
#[cfg(test)]
#[cfg(feature = "runtime")]
mod eventually;
#[cfg(feature = "runtime")]
pub mod executor;
pub mod job;
#[cfg(feature = "token")]
pub mod message;
#[cfg(test)]
#[cfg(all(feature = "agent", feature = "controller", feature = "embedded"))]
mod pipeline_tests;
