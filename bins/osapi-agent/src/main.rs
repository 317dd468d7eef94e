//! The OSAPI agent.

fn main() -> std::process::ExitCode {
    osapi_agent::program::main()
}
