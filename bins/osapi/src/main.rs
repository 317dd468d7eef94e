//! The OSAPI command line.

mod args;
mod commands;
mod error;
mod exit;
mod render;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    let cli = args::Cli::parse();
    println!("{cli:?}");
    exit::Exit::SUCCESS.into()
}
