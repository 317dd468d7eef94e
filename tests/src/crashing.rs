//! `osapi-agent` or `osapi-server`, by the name under which it is started; it crashes at the point that `OSAPI_TEST_CRASH_AT` names, if it
//! names one.

use std::env;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(error) = osapi_core::crash::arm_by_environment() {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    let started_as = env::args_os().next().unwrap_or_default();
    match Path::new(&started_as).file_name().and_then(|name| name.to_str()) {
        Some("osapi-agent") => osapi_agent::program::main(),
        Some("osapi-server") => osapi_server::program::main(),
        Some(_) | None => {
            eprintln!("error: it is started as 'osapi-agent' or as 'osapi-server'");
            ExitCode::from(2)
        }
    }
}
