//! `exec`, `shell`, `node get` and `job retry`: something is done on hosts, and its outcome is this program's.

use std::collections::BTreeMap;
use std::time::Duration;

use osapi_client::{Client, Command, Error, Job, JobOutcome, Surrounded};
use osapi_core::api::types::JobResults;
use osapi_core::id::JobId;
use osapi_core::job::{Exec, QueueFor, Shell, Target};
use serde::Serialize;

use super::output;
use crate::args::Format;
use crate::args::remote::{JobRetryArgs, NodeGetArgs};
use crate::args::run::{Run, RunArgs, What, check_queue_for};
use crate::error::Result;
use crate::exit::Exit;
use crate::render::{Screen, Side, outcome};

/// Runs a command on hosts; that it is meant was settled.
///
/// # Errors
/// When it cannot be sent, or its outcome cannot be learned.
///
/// # Cancel safety
/// Dropping it ends the waiting, not the command.
pub(crate) async fn run(client: &Client, run: Run, screen: &mut Screen) -> Result<Exit> {
    let Run { what, options } = run;
    if options.detach {
        let job = submit(client, what, &options).await?;
        return detached(job.id(), options.format, screen);
    }
    let outcome = send(client, what, &options).await?;
    show(client, outcome, options.format, screen).await
}

/// Asks hosts for their facts.
///
/// # Errors
/// When they cannot be asked, or what they said cannot be learned.
pub(crate) async fn facts(client: &Client, args: NodeGetArgs, screen: &mut Screen) -> Result<Exit> {
    check_queue_for(args.queue_for, &args.target)?;
    let outcome = waiting(client.node(&args.target).facts(), args.queue_for).send().await?;
    show(client, outcome, args.format, screen).await
}

/// Does again what a job did; its outcome is this program's.
///
/// # Errors
/// When nothing can be tried again, the server cannot be asked, or the outcome cannot be learned.
///
/// # Cancel safety
/// Dropping it ends the waiting, not the command.
pub(crate) async fn retry(
    client: &Client,
    args: &JobRetryArgs,
    screen: &mut Screen,
) -> Result<Exit> {
    let retry = client.job(args.id).retry().hosts(args.hosts());
    let retry = match args.queue_for {
        Some(time) => retry.queue_for(time.duration()),
        None => retry,
    };
    if args.detach {
        return detached(retry.submit().await?.id(), args.format, screen);
    }
    show(client, retry.send().await?, args.format, screen).await
}

/// How many hosts `target` means, if the token lets us know: it only helps to decide.
pub(crate) async fn count_hosts(client: &Client, target: &Target) -> Option<u32> {
    client.target(target).preview().await.ok().map(|preview| preview.count)
}

async fn send(client: &Client, what: What, options: &RunArgs) -> Result<JobOutcome, Error> {
    match what {
        What::Exec(command) => exec(client, options, command).send().await,
        What::Shell(script) => shell(client, options, script).send().await,
    }
}

async fn submit(client: &Client, what: What, options: &RunArgs) -> Result<Job, Error> {
    match what {
        What::Exec(command) => exec(client, options, command).submit().await,
        What::Shell(script) => shell(client, options, script).submit().await,
    }
}

fn exec(client: &Client, options: &RunArgs, exec: Exec) -> Command<Exec> {
    let Exec { command, args, cwd, env, timeout } = exec;
    let command = client.node(&options.target).exec(command).args(args);
    waiting(surrounded(command, cwd, env, timeout), options.queue_for)
}

fn shell(client: &Client, options: &RunArgs, shell: Shell) -> Command<Shell> {
    let Shell { command, cwd, env, timeout } = shell;
    let command = client.node(&options.target).shell(command);
    waiting(surrounded(command, cwd, env, timeout), options.queue_for)
}

fn waiting<O>(command: Command<O>, queue_for: Option<QueueFor>) -> Command<O> {
    match queue_for {
        Some(time) => command.queue_for(time.duration()),
        None => command,
    }
}

fn surrounded<O: Surrounded>(
    command: Command<O>,
    cwd: Option<String>,
    env: BTreeMap<String, String>,
    timeout: u32,
) -> Command<O> {
    let command = command.envs(env).timeout(Duration::from_secs(timeout.into()));
    match cwd {
        Some(cwd) => command.cwd(cwd),
        None => command,
    }
}

async fn show(
    client: &Client,
    outcome: JobOutcome,
    format: Format,
    screen: &mut Screen,
) -> Result<Exit> {
    let results: JobResults = outcome.into_results();
    let exit = Exit::of_all(&results.results);
    if format.json {
        screen.json(&results)?;
        return Ok(exit);
    }
    let hosts = output::complete(client, results.job_id, &results.results).await?;
    outcome::write(screen, results.job_id, &hosts)?;
    if hosts.len() > 1 {
        screen.line(Side::Err, &outcome::tally(&hosts))?;
    }
    Ok(exit)
}

fn detached(job_id: JobId, format: Format, screen: &mut Screen) -> Result<Exit> {
    #[derive(Serialize)]
    struct Detached {
        job_id: JobId,
    }
    if format.json {
        screen.json(&Detached { job_id })?;
    } else {
        screen.line(Side::Out, &job_id.to_string())?;
    }
    Ok(Exit::SUCCESS)
}
