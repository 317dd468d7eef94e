//! Machines to test on: a directory that stands for a host, the program, a running `osapi start`, and its API spoken to by hand.

mod daemon;
mod http;
mod machine;
mod metrics;
mod processes;
mod program;
mod run;
mod server;
mod terminal;
mod wire;

pub(crate) use daemon::Daemon;
pub(crate) use http::{Answer, Api, answer};
pub(crate) use machine::Machine;
pub(crate) use osapi_tests::wait::until;
pub(crate) use processes::{end_all_of, of_job};
pub(crate) use program::{PROGRAMS, built, workspace};
pub(crate) use run::{Invocation, Ran, finish};
pub(crate) use server::Server;
pub(crate) use terminal::Terminal;
pub(crate) use wire::{Arrived, Wire};
