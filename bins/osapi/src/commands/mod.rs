//! What each command does: asks, and hands the answer to be rendered.

pub(crate) mod confirm;
pub(crate) mod hint;
pub(crate) mod token;

use osapi_service::datadir::{self, Layout};

use crate::args::Global;
use crate::error::{CliError, Result};
use crate::exit::Exit;

/// Where the data directory is.
///
/// # Errors
/// When nothing says where.
pub(crate) fn layout(global: &Global) -> Result<Layout> {
    datadir::locate(global.data_dir.clone())
        .map_err(|error| CliError::because("no data directory", &error).exit(Exit::USAGE))
}
