//! What running a command through OSAPI costs, beside what the machine must spend anyway, measured in the same run.
//!
//! [`plan`] is how much is measured, [`program`] and [`node`] are the real programs that are measured, [`latency`] takes one command at
//! a time, [`load`] many, [`targets`] what they mean in a large [`fleet`], [`memory`] looks at the size of the process, and [`stats`] and
//! [`table`] say what came out.
//! `docs/benchmarks.md` explains the figures.

mod error;
mod fleet;
mod latency;
mod load;
mod memory;
mod node;
mod plan;
mod program;
mod stats;
mod table;
mod targets;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use crate::error::Failure;
use crate::plan::{Part, Plan};
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
    // One thread, as in a small program that uses the SDK: the other cores belong to the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("start a runtime"))?;
    runtime.block_on(parts(plan))
}

async fn parts(plan: &Plan) -> Result<String, Failure> {
    let mut text = program::machine(plan);
    let mut add = |part: &dyn Display| text.push_str(&format!("\n{part}"));
    if plan.only != Some(Part::Targets) {
        let program = Program::find(plan)?;
        if plan.includes(Part::Latency) {
            add(&latency::measure(plan, &program).await?);
        }
        if plan.includes(Part::Load) {
            add(&load::measure(plan, &program).await?);
        }
        if plan.includes(Part::Memory) {
            add(&memory::measure(plan, &program).await?);
        }
    }
    if plan.includes(Part::Targets) {
        add(&targets::measure(plan).await?);
    }
    Ok(text)
}
