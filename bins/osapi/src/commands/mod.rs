//! What each command does: asks, and hands the answer to be rendered.

pub(crate) mod confirm;
pub(crate) mod connect;
pub(crate) mod hint;
pub(crate) mod start;
pub(crate) mod token;

use std::io;

use osapi_core::executor::process::prepare_this_process;
use osapi_service::datadir::{self, Layout};
use tokio::runtime::{Builder, Runtime};

use crate::args::{Cli, Command, Global};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::render::Screen;

/// Does what was typed.
///
/// # Errors
/// Whatever keeps it from being done. How commands on hosts end is no error but the exit code.
pub(crate) fn run(cli: Cli) -> Result<Exit> {
    let Cli { global, command } = cli;
    match command {
        Command::Token(command) => token::run(command, &global, &mut Screen::standard(false)),
        Command::Start(args) => {
            let mut screen = Screen::standard(false);
            node_runtime()?.block_on(start::run(args, &global, &mut screen))
        }
        _ => todo!(),
    }
}

/// The runtime for a node, after this process was prepared for starting commands.
fn node_runtime() -> Result<Runtime> {
    prepare_this_process()
        .map_err(|error| CliError::because("cannot run commands on this machine", &error))?;
    runtime(Builder::new_multi_thread().enable_all().build())
}

fn runtime(built: io::Result<Runtime>) -> Result<Runtime> {
    built.map_err(|error| CliError::because("cannot start", &error))
}

/// Where the data directory is.
///
/// # Errors
/// When nothing says where.
pub(crate) fn layout(global: &Global) -> Result<Layout> {
    datadir::locate(global.data_dir.clone())
        .map_err(|error| CliError::because("no data directory", &error).exit(Exit::USAGE))
}
