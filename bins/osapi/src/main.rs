//! The OSAPI command line: runs commands on hosts through the API, and runs the API on this machine.
//!
//! [`args`] is what can be typed, [`commands`] does it, [`render`] writes what people read, [`local`] is server, store and agent in
//! this process, [`nats`] what is made for a broker, [`exit`] and [`error`] are how it ends.

mod args;
mod commands;
mod error;
mod exit;
mod local;
mod nats;
mod render;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let exit = commands::run(args::Cli::parse()).unwrap_or_else(|error| {
        // If standard error is closed, the exit code is all that can be told.
        drop(std::io::stderr().write_all(error.report().as_bytes()));
        error.code()
    });
    exit.into()
}
