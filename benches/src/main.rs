//! What running a command through OSAPI costs, beside what the machine must spend anyway, measured in the same run.
//!
//! [`plan`] is how much is measured, [`program`] and [`node`] are the real programs that are measured, [`latency`] takes one command at
//! a time, [`load`] many, [`memory`] looks at the size of the process, and [`stats`] and [`table`] say what came out.
//! `docs/benchmarks.md` explains the figures.

mod error;
mod latency;
mod load;
mod memory;
mod node;
mod plan;
mod program;
mod stats;
mod table;

use std::io::Write as _;
use std::process::ExitCode;

use crate::error::Failure;
use crate::plan::Plan;
use crate::program::Program;

fn main() -> ExitCode {
    let outcome = Plan::from_arguments(std::env::args().skip(1)).and_then(|plan| measure(&plan));
    let written = match outcome {
        Ok(text) => std::io::stdout().write_all(text.as_bytes()).map(|()| ExitCode::SUCCESS),
        Err(failure) => {
            let text = failure.report();
            std::io::stderr().write_all(text.as_bytes()).map(|()| ExitCode::FAILURE)
        }
    };
    written.unwrap_or(ExitCode::FAILURE)
}

/// Measures everything and returns the tables.
fn measure(plan: &Plan) -> Result<String, Failure> {
    let program = Program::find(plan)?;
    // One thread, as in a small program that uses the SDK: the other cores belong to the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("start a runtime"))?;
    runtime.block_on(async {
        let latency = latency::measure(plan, &program).await?;
        let load = load::measure(plan, &program).await?;
        let memory = memory::measure(plan, &program).await?;
        Ok(format!("{}\n{latency}\n{load}\n{memory}", program::machine(plan)))
    })
}
