//! Many jobs at once, and a list of many jobs.

use std::fmt;
use std::time::Duration;

use osapi_client::{Client, JobsQuery};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::Failure;
use crate::memory;
use crate::node::{self, Node};
use crate::plan::Plan;
use crate::program::{self, Program, true_command};
use crate::stats::Samples;
use crate::table::{Table, times};

/// The part of the jobs that as many threads run without OSAPI: enough to tell how fast the machine is.
const RAW_PART: usize = 5;

/// What was measured.
pub(crate) struct Load {
    clients: usize,
    jobs: usize,
    /// Commands per second without OSAPI.
    raw_rate: f64,
    /// Jobs per second.
    rate: f64,
    /// How long each job took.
    each: Samples,
    /// How much the node grew, in KiB.
    growth: u64,
    ping: Samples,
    list: Samples,
}

/// Measures a node that gets all jobs of the plan.
///
/// # Errors
/// When one fails.
pub(crate) async fn measure(plan: &Plan, program: &Program) -> Result<Load, Failure> {
    let (clients, jobs) = (plan.clients, plan.jobs);
    let raw_rate = spawn_rate(clients, jobs.div_ceil(RAW_PART))?;
    let node = Node::start(plan, program)?;
    let client = node.client();
    // Connections, slots and buffers are there before anything counts.
    run_jobs(&client, clients, clients).await?;
    let before = memory::resident(&node)?;
    let begun = Instant::now();
    let each = run_jobs(&client, clients, jobs).await?;
    let rate = jobs as f64 / begun.elapsed().as_secs_f64();
    let growth = memory::resident(&node)?.saturating_sub(before);
    let (mut ping, mut list) = (Samples::default(), Samples::default());
    for _ in 0..plan.rounds {
        ping.push(timed(client.health()).await?);
        list.push(timed(client.jobs().list(JobsQuery::default())).await?);
    }
    node.stop()?;
    Ok(Load { clients, jobs, raw_rate, rate, each, growth, ping, list })
}

async fn timed<T>(
    call: impl Future<Output = Result<T, osapi_client::Error>>,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    call.await?;
    Ok(begun.elapsed())
}

/// Runs `jobs` jobs by `clients` callers, each of which waits for one before it makes the next.
async fn run_jobs(client: &Client, clients: usize, jobs: usize) -> Result<Samples, Failure> {
    let mut callers = JoinSet::new();
    for caller in 0..clients {
        let client = client.clone();
        callers.spawn(async move {
            let mut samples = Samples::default();
            for _ in (caller..jobs).step_by(clients) {
                let begun = Instant::now();
                node::run(&client, "true", &[]).await?;
                samples.push(begun.elapsed());
            }
            Ok::<_, Failure>(samples)
        });
    }
    let mut all = Samples::default();
    while let Some(samples) = callers.join_next().await {
        all.extend(samples??);
    }
    Ok(all)
}

/// How many times per second `threads` threads together run `true` and wait for it.
fn spawn_rate(threads: usize, commands: usize) -> Result<f64, Failure> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let run = |thread| {
            let mut mine = (thread..commands).step_by(threads);
            mine.try_for_each(|_| program::run(&mut true_command()))
        };
        let running: Vec<_> = (0..threads).map(|t| scope.spawn(move || run(t))).collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(commands as f64 / begun.elapsed().as_secs_f64())
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, jobs, raw_rate, rate, .. } = self;
        let mut table = Table::new(&["many at a time", "per second", "to limit"]);
        table.row([
            format!("limit: spawn and wait of 'true', {clients} threads"),
            format!("{raw_rate:.0}"),
            times(1.0),
        ]);
        table.row([
            format!("API calls: exec 'true', {clients} callers, {jobs} jobs"),
            format!("{rate:.0}"),
            times(rate / raw_rate),
        ]);
        writeln!(f, "{table}")?;

        let mut table = Table::new(&["with many jobs", "p10", "median", "p90", "n", "to GET"]);
        let rows = [
            (format!("one API call among {clients}"), &self.each),
            (format!("list of 50 among {jobs} jobs"), &self.list),
            ("limit: GET /health, keep-alive".to_owned(), &self.ping),
        ];
        let ping = self.ping.summary().map_or(Duration::ZERO, |summary| summary.median);
        for (what, samples) in rows {
            let Some(summary) = samples.summary() else { continue };
            table.measured(&what, &summary, [times(summary.times(ping))]);
        }
        writeln!(f, "{table}")?;
        let per_job = self.growth as f64 / *jobs as f64;
        writeln!(f, "memory per retained job: {per_job:.2} KiB resident")
    }
}
