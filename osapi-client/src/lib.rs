//! A typed, asynchronous client of the OSAPI HTTP API: run a command on some Linux hosts, and know for every one of them what happened.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use osapi_client::{Client, Target};
//!
//! # async fn example() -> Result<(), osapi_client::Error> {
//! let client = Client::builder("http://127.0.0.1:8080").token("v4.public...").build()?;
//!
//! // One host, any that is live. No shell: every argument arrives as it is.
//! let outcome = client
//!     .node(Target::Any)
//!     .exec("ls")
//!     .args(["-l", "-a"])
//!     .cwd("/var/log")
//!     .env("LANG", "C")
//!     .timeout(Duration::from_secs(10))
//!     .send()
//!     .await?;
//! let host = outcome.host()?;
//! println!("{} exited {:?}", host.name(), host.exit_code());
//! print!("{}", host.stdout_text()?);
//!
//! // Every host. A host that failed is a row, not an error.
//! for host in client.node("_all").shell("df -h / | tail -n 1").send().await?.hosts() {
//!     match host.stdout_text() {
//!         Ok(text) if host.success() => print!("{}: {text}", host.name()),
//!         _ => println!("{}: {}", host.name(), host.status()),
//!     }
//! }
//!
//! // Whom a target means, before anything is done.
//! let preview = client.target("group:web&env:prod,!web-07").preview().await?;
//! println!("{} hosts, {} of them live", preview.count, preview.live);
//!
//! // A host that may be down: it runs it once if it is back within two hours, and certainly never later.
//! let later = client.node("db-03").exec("uptime").queue_for(Duration::from_secs(7200)).submit().await?;
//! println!("{} waits for db-03", later.id());
//!
//! // A job to come back to.
//! let job = client.node("web-01").exec("sleep").arg("60").submit().await?;
//! if !job.wait_for(Duration::from_secs(5)).await?.is_settled() {
//!     job.cancel().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **Nothing runs twice because of it.** Every request that makes a job carries an idempotency key, and is sent again with the same key
//!   and body only: after a broken connection it finds the job that the first attempt made. No attempt begins later than the start deadline
//!   of the job after the first.
//! - **What is not known is said to be not known**: [`ErrorKind::OutcomeUnknown`].
//! - **Bounds** on time ([`Builder::timeout`], [`Builder::connect_timeout`], [`Builder::retry_for`]) and memory
//!   ([`Builder::answer_limit`], [`OutputReader`]).
//! - **The token** goes to the server that it was given for, and into no error and no `Debug`. No redirect is followed and no proxy used.
//!
//! It needs a tokio runtime with time and I/O enabled.

mod again;
mod agents;
mod answer;
mod builder;
mod client;
mod command;
mod error;
mod hosts;
mod job;
mod jobs;
mod keys;
mod making;
mod node;
mod outcome;
mod output;
mod request;
mod retry;
mod transport;
mod url;

#[cfg(test)]
mod tests;

pub use again::Retry;
pub use agents::Agents;
pub use builder::Builder;
pub use client::Client;
pub use command::{Command, Facts, Sendable, Surrounded, SurroundingsMut};
pub use error::{Error, ErrorKind};
pub use hosts::Hosts;
pub use job::Job;
pub use jobs::{Jobs, Pages};
pub use keys::Keys;
pub use node::{IntoTarget, Node};
pub use outcome::{HostOutcome, JobOutcome};
pub use output::OutputReader;

pub use osapi_core::api::Problem;
pub use osapi_core::api::params::JobsQuery;
pub use osapi_core::api::problem::Code;
pub use osapi_core::api::types;
pub use osapi_core::id::{AgentName, JobId};
pub use osapi_core::job::host_facts::HostFacts;
pub use osapi_core::job::report::Stream;
pub use osapi_core::job::{
    Exec, ExecutionState, JobStatus, Operation, Resource, ResourceLimit, ResourceLimits,
    RetryHosts, Shell, Stdin, Target, Umask, UserName,
};
