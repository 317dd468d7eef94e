//! The OSAPI API server.

fn main() -> std::process::ExitCode {
    osapi_server::program::main()
}
