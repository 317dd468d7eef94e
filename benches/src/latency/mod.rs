//! One thing at a time: what a caller waits for, and what the machine needs at least.
//!
//! All are measured in turns, so that what else the machine does meets them alike; each round begins with another one, so that none is
//! always measured after the same.

mod bench;
mod step;

use std::fmt;
use std::time::Duration;

use crate::error::Failure;
use crate::plan::Plan;
use crate::program::Program;
use crate::stats::Samples;
use crate::table::{Table, times};

use bench::Bench;
use step::Step;

/// What was measured, per step.
pub(crate) struct Latency {
    samples: Vec<(Step, Samples)>,
}

/// Measures every step of the plan in turns.
///
/// # Errors
/// When one fails.
pub(crate) async fn measure(plan: &Plan, program: &Program) -> Result<Latency, Failure> {
    let mut bench = Bench::start(plan, program)?;
    let mut latency = Latency { samples: Step::ALL.map(|step| (step, Samples::default())).into() };
    for step in Step::ALL {
        bench.take(step).await?; // caches are warm before anything counts
    }
    for round in 0..plan.rounds {
        let first = round % Step::ALL.len();
        let (before, after) = latency.samples.split_at_mut(first);
        for (step, samples) in after.iter_mut().chain(before) {
            if step.takes_part(round, plan) {
                samples.push(bench.take(*step).await?);
            }
        }
    }
    bench.stop().await?;
    Ok(latency)
}

impl Latency {
    fn median(&self, wanted: Step) -> Duration {
        let of = self.samples.iter().find(|(step, _)| *step == wanted);
        of.and_then(|(_, samples)| samples.summary()).map_or(Duration::ZERO, |s| s.median)
    }

    /// What a job cannot do without: three records one after the other (reservation with the envelope beside it, job, report), one sync
    /// of the journal before the command starts, the command, and one exchange by HTTP.
    fn floor(&self) -> Duration {
        3 * self.median(Step::Create)
            + self.median(Step::Sync)
            + self.median(Step::Spawn)
            + self.median(Step::Ping)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (spawn, floor) = (self.median(Step::Spawn), self.floor());
        let mut table =
            Table::new(&["one at a time", "p10", "median", "p90", "n", "to spawn", "to floor"]);
        for (step, samples) in &self.samples {
            let Some(summary) = samples.summary() else { continue };
            let ratios = [spawn, floor].map(|limit| times(summary.times(limit)));
            table.measured(step.name(), &summary, ratios);
        }
        writeln!(f, "{table}")?;
        writeln!(
            f,
            "floor = 3 creates + 1 sync + spawn + GET /health = {:.3} ms",
            floor.as_secs_f64() * 1e3
        )
    }
}
